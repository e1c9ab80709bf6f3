package breaker_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

// Two of three probes have passed when two become enough: the breaker closes. It once
// gave no probe ever again.
func TestHalfOpenDoesNotLatchWhenProbesIsLowered(t *testing.T) {
	t.Run("with a prober", func(t *testing.T) {
		b, c, reg := build(t, map[string]string{"probes": "3"}, breaker.WithProber())
		open(t, b)
		c.add(time.Second)
		for range 2 {
			p := probe(t, b)
			p.Success()
		}
		tune(t, reg, map[string]string{"probes": "2"})
		if p, ok := b.Probe(); ok || b.State() != breaker.Closed {
			t.Errorf("%s, another probe: %t %v", b.State(), ok, p)
		}
	})
	t.Run("by ordinary calls", func(t *testing.T) {
		b, c, reg := build(t, map[string]string{"probes": "3"})
		open(t, b)
		c.add(time.Second)
		for range 2 {
			call(t, b, nil)
		}
		tune(t, reg, map[string]string{"probes": "2"})
		call(t, b, nil)
		if b.State() != breaker.Closed {
			t.Errorf("%s", b.State())
		}
	})
	t.Run("with a probe under way that says nothing", func(t *testing.T) {
		b, c, reg := build(t, map[string]string{"probes": "3"}, breaker.WithProber())
		open(t, b)
		c.add(time.Second)
		for range 2 {
			p := probe(t, b)
			p.Success()
		}
		p := probe(t, b)
		tune(t, reg, map[string]string{"probes": "2"})
		p.Ignore()
		if b.State() != breaker.Closed {
			t.Errorf("%s", b.State())
		}
	})
}

// An open breaker that would wait for an hour obeys a shorter wait that is set
// meanwhile, and so does a probe that was lost under a long timeout.
func TestWaitsUnderWayObeyWhatIsSetMeanwhile(t *testing.T) {
	for _, prober := range []bool{true, false} {
		t.Run(fmt.Sprint("prober ", prober), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var options []breaker.Option
				if prober {
					options = append(options, breaker.WithProber())
				}
				reg := settings.NewRegistry()
				b := breaker.New("x", "test", breaker.Declare(reg, "test"), options...)
				tune(t, reg, map[string]string{"open_for_max": "1h", "open_for": "1h", "probe_timeout": "300s", "probes": "1"})
				open(t, b)
				tune(t, reg, map[string]string{"open_for": "1s", "open_for_max": "2s"})
				time.Sleep(3100 * time.Millisecond)
				if s := b.Snapshot(); s.NextProbe.After(time.Now()) {
					t.Errorf("the next probe is in %s", time.Until(s.NextProbe))
				}
				probeBy := func() bool {
					if prober {
						_, ok := b.Probe()
						return ok
					}
					_, err := b.Acquire()
					return err == nil
				}
				if !probeBy() { // and it is lost
					t.Fatalf("no probe: %+v", b.Snapshot())
				}
				tune(t, reg, map[string]string{"probe_timeout": "1s"})
				time.Sleep(2100 * time.Millisecond)
				probeBy()
				if s := b.Snapshot(); s.Reason == "" || s.Opened != 1 || len(b.History()) < 3 {
					t.Errorf("the lost probe holds on: %+v", s)
				}
			})
		})
	}
}

// Four goroutines change the state at once: the callbacks hear every step, one at a
// time, in the order in which they were made.
func TestCallbacksComeInOrder(t *testing.T) {
	var mu sync.Mutex
	var heard []breaker.Transition
	b, _, _ := build(t, nil, breaker.OnTransition(func(tr breaker.Transition) {
		if !mu.TryLock() {
			t.Error("two callbacks at once")
			return
		}
		defer mu.Unlock()
		heard = append(heard, tr)
	}))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 { // together fewer than the transitions that may wait
				switch (i + j) % 3 {
				case 0:
					_ = b.Force(breaker.ForcedOpen, "test")
				case 1:
					_ = b.Force(breaker.ForcedClosed, "test")
				default:
					b.Reset("test")
				}
			}
		})
	}
	wg.Wait()
	for i := 1; i < len(heard); i++ {
		if heard[i].From != heard[i-1].To {
			t.Fatalf("step %d is %s -> %s, the one before %s -> %s", i, heard[i].From, heard[i].To, heard[i-1].From, heard[i-1].To)
		}
	}
	if last := heard[len(heard)-1]; last.To != b.State() {
		t.Errorf("the last that was heard is %s, the breaker is %s", last.To, b.State())
	}
}

// A callback may change the breaker itself: what it causes is heard after it.
func TestACallbackMayChangeTheBreaker(t *testing.T) {
	var heard []breaker.State
	var b *breaker.Breaker
	b, _, _ = build(t, nil, breaker.OnTransition(func(tr breaker.Transition) {
		if tr.To == breaker.ForcedOpen {
			b.Reset("back")
		}
		heard = append(heard, tr.To)
	}))
	_ = b.Force(breaker.ForcedOpen, "test")
	if fmt.Sprint(heard) != "[forced-open closed]" {
		t.Errorf("heard %v", heard)
	}
}
