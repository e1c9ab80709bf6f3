package breaker_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

func acquire(t *testing.T, b *breaker.Breaker) breaker.Permit {
	t.Helper()
	p, err := b.Acquire()
	if err != nil {
		t.Fatalf("refused: %+v", b.Snapshot())
	}
	return p
}

// A provider on which every call hangs opens its breaker before any has ended.
func TestHungCallsOpenBeforeTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fresh(t)
		began := time.Now()
		var hung []breaker.Permit
		for range 10 {
			hung = append(hung, acquire(t, b))
			time.Sleep(10 * time.Millisecond)
		}
		for b.State() == breaker.Closed && time.Since(began) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		took := time.Since(began)
		if s := b.Snapshot(); s.State != breaker.Open || s.Slow < 8 || !strings.Contains(s.Reason, "over 2s") {
			t.Fatalf("%+v", s)
		}
		if took < 2*time.Second || took > 2250*time.Millisecond {
			t.Errorf("opened after %s, slow_after is 2s", took)
		}
		before := b.Snapshot()
		for i := range hung {
			hung[i].Failure(errDown)
		}
		if s := b.Snapshot(); s.Calls != before.Calls || s.Failures != 0 {
			t.Errorf("results from before the trip count: %+v", s)
		}
	})
}

// A slow call counts once: while it is under way, and no second time when it ends.
func TestASlowCallCountsOnce(t *testing.T) {
	for _, kind := range []string{"time", "calls"} {
		t.Run(kind, func(t *testing.T) {
			b, c, _ := build(t, map[string]string{"window_kind": kind, "slow_after": "1s", "minimum_calls": "100"})
			ok, bad, lost := acquire(t, b), acquire(t, b), acquire(t, b)
			want := func(calls, slow, failures uint64) {
				t.Helper()
				if s := b.Snapshot(); s.Calls != calls || s.Slow != slow || s.Failures != failures {
					t.Fatalf("%d calls, %d slow, %d failures; want %d, %d, %d", s.Calls, s.Slow, s.Failures, calls, slow, failures)
				}
			}
			c.add(900 * time.Millisecond)
			want(0, 0, 0)
			c.add(200 * time.Millisecond)
			want(3, 3, 0)
			ok.Success()
			want(3, 3, 0)
			bad.Failure(errDown)
			want(3, 3, 1)
			c.add(11 * time.Second) // the lost one is forgotten
			_ = lost
			if kind == "time" {
				want(0, 0, 0)
			} else {
				want(2, 2, 1)
			}
		})
	}
}

func TestReportingTwice(t *testing.T) {
	b, _, _ := build(t, map[string]string{"minimum_calls": "100"})
	p := acquire(t, b)
	p.Success()
	p.Failure(errDown)
	p.Ignore()
	var zero breaker.Permit
	zero.Success()
	zero.Failure(errDown)
	if s := b.Snapshot(); s.Calls != 1 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAProbeReportsOnceWhateverCopiesReport(t *testing.T) {
	b, c, _ := build(t, map[string]string{"probes": "3"}, breaker.WithProber())
	open(t, b)
	c.add(time.Second)
	p := probe(t, b)
	for range 5 {
		again := p
		again.Success()
	}
	p.Failure(errDown)
	if b.State() != breaker.HalfOpen {
		t.Errorf("one probe reported many times made it %s", b.State())
	}
}

// The success that makes up minimum_calls is judged: the failures are there.
func TestASuccessCanMakeUpTheMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fresh(t) // minimum 10, half must fail
		for i := range 10 {
			if i < 5 {
				call(t, b, errDown)
			} else {
				call(t, b, nil)
			}
			if want := map[bool]breaker.State{true: breaker.Open, false: breaker.Closed}[i == 9]; b.State() != want {
				t.Fatalf("%s after call %d, want %s", b.State(), i+1, want)
			}
		}
	})
}

// A breaker that rests holds neither goroutine nor timer, and wakes with a call.
func TestRestsBetweenCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fresh(t)
		for range 3 {
			for range 4 {
				call(t, b, nil)
			}
			time.Sleep(time.Hour) // synctest ends only if nothing ticks for ever
			call(t, b, nil)
			if s := b.Snapshot(); s.Calls != 1 {
				t.Fatalf("an hour later: %+v", s)
			}
			p := acquire(t, b)
			time.Sleep(2100 * time.Millisecond)
			if s := b.Snapshot(); s.Slow != 1 {
				t.Fatalf("a call under way is overlooked after a rest: %+v", s)
			}
			p.Ignore()
			time.Sleep(time.Hour)
		}
	})
}

// slow_after below half a second is measured by reading the clock.
func TestShortSlowAfterIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fresh(t, settings.Change{Key: "breaker.test.slow_after", Value: "10ms"},
			settings.Change{Key: "breaker.test.minimum_calls", Value: "100"})
		for i, d := range []time.Duration{9 * time.Millisecond, 10 * time.Millisecond, 10*time.Millisecond + 1, time.Second} {
			p := acquire(t, b)
			time.Sleep(d)
			p.Success()
			if s := b.Snapshot(); s.Slow != uint64(max(0, i-1)) || s.Calls != uint64(i+1) {
				t.Fatalf("after %s: %+v", d, s)
			}
		}
	})
}

// A lost probe is given up at its deadline though nobody asks again.
func TestALostProbeIsGivenUpByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := fresh(t)
		open(t, b)
		time.Sleep(time.Second)
		probe(t, b)
		time.Sleep(4900 * time.Millisecond)
		if b.State() != breaker.HalfOpen {
			t.Fatalf("given up early: %s", b.State())
		}
		time.Sleep(200 * time.Millisecond)
		if b.State() != breaker.Open {
			t.Fatalf("latched %s", b.State())
		}
	})
}

// Without a prober, the call after the wait is the probe, by the real clock too.
func TestWithoutProberByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := settings.NewRegistry()
		b := breaker.New("x", "test", breaker.Declare(reg, "test"))
		tune(t, reg, map[string]string{"probes": "1"})
		open(t, b)
		if _, err := b.Acquire(); !errors.Is(err, breaker.ErrOpen) {
			t.Fatal("allowed before the wait was over")
		}
		time.Sleep(260 * time.Millisecond)
		p := acquire(t, b)
		if _, err := b.Acquire(); !errors.Is(err, breaker.ErrOpen) {
			t.Fatal("more probes than asked for")
		}
		p.Success()
		if b.State() != breaker.Closed {
			t.Fatalf("%+v", b.Snapshot())
		}
	})
}

func TestSettingsTakeEffectWithinABeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := settings.NewRegistry()
		b := breaker.New("x", "test", breaker.Declare(reg, "test"), breaker.WithProber())
		for i := range 20 {
			call(t, b, map[bool]error{true: errDown, false: nil}[i < 4])
		}
		if b.State() != breaker.Closed {
			t.Fatalf("%+v", b.Snapshot())
		}
		tune(t, reg, map[string]string{"failure_ratio": "0.2"})
		time.Sleep(21 * time.Millisecond)
		if s := b.Snapshot(); s.State != breaker.Open || s.Threshold != 0.2 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestHistory(t *testing.T) {
	b, _, _ := build(t, nil)
	for i := range 50 {
		_ = b.Force(breaker.ForcedOpen, fmt.Sprint("force ", i))
		b.Reset(fmt.Sprint("reset ", i))
	}
	h := b.History()
	if len(h) != breaker.HistoryLength || h[0].Reason != "force 18" || h[63].Reason != "reset 49" {
		t.Fatalf("%d: %+v … %+v", len(h), h[0], h[len(h)-1])
	}
	h[0].Reason = "mine"
	if b.History()[0].Reason == "mine" {
		t.Error("the history was handed out")
	}
}

func TestClockGoingBackwardsDoesNotStopTime(t *testing.T) {
	b, c, _ := build(t, map[string]string{"probes": "1"}, breaker.WithProber())
	open(t, b)
	c.add(-time.Hour)
	if _, ok := b.Probe(); ok {
		t.Fatal("going back ended the wait")
	}
	c.add(300 * time.Millisecond)
	p := probe(t, b)
	p.Success()
	call(t, b, errDown)
	c.add(11 * time.Second)
	if s := b.Snapshot(); s.State != breaker.Closed || s.Calls != 0 {
		t.Fatalf("%+v", s)
	}
}

// The counts equal what was reported once the writers are quiet.
func TestCountsUnderWriters(t *testing.T) {
	for _, kind := range []string{"time", "calls"} {
		t.Run(kind, func(t *testing.T) {
			b := fresh(t, settings.Change{Key: "breaker.test.window_kind", Value: kind},
				settings.Change{Key: "breaker.test.window", Value: "1h"},
				settings.Change{Key: "breaker.test.window_calls", Value: "100000"})
			_ = b.Force(breaker.ForcedClosed, "test")
			var wg sync.WaitGroup
			var failures atomic.Uint64
			const writers, each = 8, 10_000
			for i := range writers {
				wg.Go(func() {
					for j := range each {
						p, err := b.Acquire()
						switch {
						case err != nil:
							t.Error(err)
						case (i+j)%97 == 0:
							failures.Add(1)
							p.Failure(errDown)
						default:
							p.Success()
						}
					}
				})
			}
			wg.Wait()
			if s := b.Snapshot(); s.Calls != writers*each || s.Failures != failures.Load() || s.Slow != 0 {
				t.Errorf("%d calls, %d failures, %d slow; want %d, %d", s.Calls, s.Failures, s.Slow, writers*each, failures.Load())
			}
		})
	}
}

// The largest window, a full history and everything hanging fit in 400 KB.
func TestMemory(t *testing.T) {
	size := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := size()
	list := make([]*breaker.Breaker, 4)
	for i := range list {
		var c *clock
		list[i], c, _ = build(t, map[string]string{"window_kind": "calls", "window_calls": "100000", "window": "1h",
			"minimum_calls": "100000"})
		for range 40 {
			_ = list[i].Force(breaker.ForcedOpen, strings.Repeat("r", 160))
			list[i].Reset(strings.Repeat("r", 160))
		}
		for range 1500 {
			acquire(t, list[i]) // lost
			c.add(50 * time.Millisecond)
		}
	}
	each := (size() - before) / uint64(len(list))
	t.Logf("%d KB a breaker, with its registry of settings", each>>10)
	if each > 400<<10 {
		t.Errorf("%d KB a breaker", each>>10)
	}
	runtime.KeepAlive(list)
}

// The operator's word holds under load from the moment Force returns.
func TestForcedStatesUnderLoad(t *testing.T) {
	b := fresh(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if p, err := b.Acquire(); err == nil {
					p.Failure(errDown)
				}
			}
		})
	}
	for range 100 {
		_ = b.Force(breaker.ForcedOpen, "test")
		for range 20 {
			if _, err := b.Acquire(); err == nil || b.State() != breaker.ForcedOpen {
				t.Errorf("forced open let a call through in state %s", b.State())
			}
		}
		for _, to := range []breaker.State{breaker.ForcedClosed, breaker.MetricsOnly} {
			_ = b.Force(to, "test")
			for range 20 {
				p, err := b.Acquire()
				if err != nil || b.State() != to {
					t.Errorf("%s refused a call in state %s", to, b.State())
				}
				p.Failure(errDown)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// A callback sees the state it is told of, also when time caused the change.
func TestCallbacksSeeTheNewState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *breaker.Breaker
		var told atomic.Int64
		reg := settings.NewRegistry()
		b = breaker.New("x", "test", breaker.Declare(reg, "test"), breaker.WithProber(), breaker.OnTransition(func(tr breaker.Transition) {
			told.Add(1)
			h := b.History()
			if s := b.Snapshot(); b.State() != tr.To || s.State != tr.To || h[len(h)-1] != tr {
				t.Errorf("told of %+v in state %s", tr, s.State)
			}
		}))
		for range 10 {
			acquire(t, b) // hangs
		}
		time.Sleep(3 * time.Second)
		probe(t, b) // is lost
		time.Sleep(6 * time.Second)
		if told.Load() != 3 || b.State() != breaker.Open {
			t.Errorf("told %d times, %s", told.Load(), b.State())
		}
	})
}
