package supervise_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/bizra/bizra-top/node/supervise"
)

// A panic in a goroutine becomes the error of what it did, is counted and reported.
func TestAPanicIsAFailedCall(t *testing.T) {
	var reported atomic.Pointer[supervise.Panic]
	supervise.OnPanic(func(p *supervise.Panic) { reported.Store(p) })
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	supervise.Go(&wg, "test decoder", func() { var list []int; _ = list[len(list)] }, func(err error) { failed <- err })
	wg.Wait()
	err := <-failed
	var p *supervise.Panic
	if !errors.As(err, &p) || !strings.Contains(err.Error(), "out of range") || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("%v", err)
	}
	if got := reported.Load(); got == nil || got.Name != "test decoder" || !strings.Contains(got.Stack, "supervise_test.go") {
		t.Errorf("reported %+v", got)
	}
	want := `bizra_node_panics_total{task="test decoder"} 1`
	if got, err := testutil.CollectAndFormat(supervise.Collector(), expfmt.TypeTextPlain, "bizra_node_panics_total"); err != nil || !strings.Contains(string(got), want) {
		t.Errorf("%s %v", got, err)
	}
	if err := supervise.Call("fine", func() error { return nil }); err != nil {
		t.Error(err)
	}
}

// State that is known to be broken is not gone on with.
func TestCorruptedStateEndsTheProcess(t *testing.T) {
	defer func() {
		if p := recover(); p != supervise.Corrupted("the ring has lost a slot") {
			t.Errorf("recovered %v", p)
		}
	}()
	_ = supervise.Call("test", func() error { panic(supervise.Corrupted("the ring has lost a slot")) })
	t.Error("it went on")
}

// A loop is started again after a rest, until its context ends.
func TestALoopIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		runs := 0
		supervise.Loop(ctx, &wg, "test loop", func(ctx context.Context) {
			if runs++; runs < 3 {
				panic("again")
			}
			<-ctx.Done()
		})
		time.Sleep(time.Minute)
		stop()
		wg.Wait()
		if runs != 3 {
			t.Errorf("%d runs", runs)
		}
	})
}
