package supervise_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/bizra/bizra-top/node/supervise"
)

// What a part of a call panicked with fails the call, with the stack of the part.
func TestAPanicInAPartFailsTheWhole(t *testing.T) {
	err := supervise.Call("whole", func() error {
		var g supervise.Group
		g.SetLimit(2)
		g.Go(func() error { panic("a part is broken") })
		g.Go(func() error { return nil })
		return g.Wait()
	})
	var p *supervise.Panic
	if !errors.As(err, &p) || p.Value != "a part is broken" || !strings.Contains(p.Stack, "TestAPanicInAPart") {
		t.Errorf("%v", err)
	}
	var g supervise.Group
	want := errors.New("no")
	g.Go(func() error { return want })
	if got := g.Wait(); got != want {
		t.Errorf("%v", got)
	}
}

// Everybody who asks for a value learns that it could not be made: nobody gets its zero.
func TestAPanicOfOnceReachesAll(t *testing.T) {
	calls := 0
	value := supervise.Once(func() int { calls++; panic("no value") })
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := supervise.Call("user", func() error { value(); return nil }); err == nil {
				t.Error("somebody got a value")
			}
		})
	}
	wg.Wait()
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	fine := supervise.Once(func() int { return 7 })
	for range 2 {
		if fine() != 7 {
			t.Error("no value")
		}
	}
}
