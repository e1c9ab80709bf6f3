package breaker_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("connection refused")

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// build returns a breaker on a hand-moved clock with the settings changed as asked.
func build(t *testing.T, with map[string]string, options ...breaker.Option) (*breaker.Breaker, *clock, *settings.Registry) {
	t.Helper()
	reg := settings.NewRegistry()
	s := breaker.Declare(reg, "test")
	tune(t, reg, with)
	c := &clock{t: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	return breaker.New("test/one", "test", s, append(options, breaker.WithClock(c.now))...), c, reg
}

func tune(t *testing.T, reg *settings.Registry, with map[string]string) {
	t.Helper()
	for k, v := range with {
		if _, err := reg.Apply([]settings.Change{{Key: "breaker.test." + k, Value: v}}); err != nil {
			t.Fatal(err)
		}
	}
}

func call(t *testing.T, b *breaker.Breaker, err error) {
	t.Helper()
	p, refused := b.Acquire()
	if refused != nil {
		t.Fatalf("refused in state %s", b.State())
	}
	if err != nil {
		p.Failure(err)
	} else {
		p.Success()
	}
}

func TestOpensByRatio(t *testing.T) {
	for _, c := range []struct {
		name      string
		with      map[string]string
		ok, bad   int
		wantState breaker.State
	}{
		{"five of five below minimum calls", map[string]string{"minimum_calls": "100"}, 0, 5, breaker.Closed},
		{"at the threshold", map[string]string{"minimum_calls": "10", "failure_ratio": "0.5"}, 5, 5, breaker.Open},
		{"just below the threshold", map[string]string{"minimum_calls": "10", "failure_ratio": "0.5"}, 6, 5, breaker.Closed},
		{"0.6 % against 0.9 %", map[string]string{"minimum_calls": "1000", "failure_ratio": "0.009"}, 994, 6, breaker.Closed},
		{"window of calls", map[string]string{"window_kind": "calls", "window_calls": "10", "minimum_calls": "10"}, 100, 5, breaker.Open},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _, _ := build(t, c.with)
			for range c.ok {
				call(t, b, nil)
			}
			for range c.bad {
				call(t, b, errDown)
			}
			if got := b.State(); got != c.wantState {
				t.Errorf("state %s, want %s: %+v", got, c.wantState, b.Snapshot())
			}
		})
	}
}

func TestTimeWindowForgets(t *testing.T) {
	b, c, _ := build(t, map[string]string{"minimum_calls": "10", "window": "10s"})
	for range 9 {
		call(t, b, errDown)
	}
	c.add(11 * time.Second)
	call(t, b, errDown)
	if s := b.Snapshot(); s.State != breaker.Closed || s.Calls != 1 {
		t.Errorf("old failures still count: %+v", s)
	}
}

func TestClockGoingBackwards(t *testing.T) {
	b, c, _ := build(t, map[string]string{"minimum_calls": "10"})
	call(t, b, nil)
	c.add(-time.Hour)
	for range 20 {
		call(t, b, nil)
	}
	if s := b.Snapshot(); s.Calls != 21 || s.State != breaker.Closed {
		t.Errorf("%+v", s)
	}
}

func TestSlowCallsOpen(t *testing.T) {
	b, c, _ := build(t, map[string]string{"minimum_calls": "5", "slow_after": "1s", "slow_ratio": "0.8"})
	for range 5 {
		p, err := b.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		c.add(1100 * time.Millisecond)
		p.Success()
	}
	if b.State() != breaker.Open {
		t.Errorf("%+v", b.Snapshot())
	}
}

func open(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	for range 10 {
		call(t, b, errDown)
	}
	if b.State() != breaker.Open {
		t.Fatalf("not open: %+v", b.Snapshot())
	}
}

func probe(t *testing.T, b *breaker.Breaker) breaker.Permit {
	t.Helper()
	p, ok := b.Probe()
	if !ok {
		t.Fatalf("no probe in state %s", b.State())
	}
	return p
}

func TestProbesClose(t *testing.T) {
	b, c, _ := build(t, map[string]string{"probes": "2", "open_for": "250ms"}, breaker.WithProber())
	open(t, b)
	if _, ok := b.Probe(); ok {
		t.Fatal("a probe before the wait was over")
	}
	c.add(time.Second)
	if _, err := b.Acquire(); !errors.Is(err, breaker.ErrOpen) {
		t.Fatal("a client's call was spent as a probe")
	}
	p1, p2 := probe(t, b), probe(t, b)
	if _, ok := b.Probe(); ok {
		t.Fatal("want exactly two probes")
	}
	p1.Success()
	if b.State() != breaker.HalfOpen {
		t.Fatalf("closed after one of two probes")
	}
	p2.Success()
	if b.State() != breaker.Closed {
		t.Fatalf("%+v", b.Snapshot())
	}
	call(t, b, errDown)
	if b.State() != breaker.Closed {
		t.Fatal("the window from before the trip still counts")
	}
}

func TestFailedProbeDoublesTheWait(t *testing.T) {
	b, c, _ := build(t, map[string]string{"open_for": "1s", "open_for_max": "3s"}, breaker.WithProber())
	open(t, b)
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		if got := b.Snapshot().NextProbe.Sub(c.now()); got != want {
			t.Fatalf("wait %s, want %s", got, want)
		}
		c.add(want)
		p := probe(t, b)
		p.Failure(errDown)
	}
}

func TestLostProbeDoesNotLatchHalfOpen(t *testing.T) {
	b, c, _ := build(t, map[string]string{"probes": "1", "probe_timeout": "5s"}, breaker.WithProber())
	open(t, b)
	c.add(time.Second)
	probe(t, b)
	c.add(6 * time.Second)
	b.Probe() // gives the lost one up
	if b.State() != breaker.Open {
		t.Fatalf("state %s", b.State())
	}
	c.add(2 * time.Second)
	p := probe(t, b)
	p.Success()
	if b.State() != breaker.Closed {
		t.Fatalf("state %s", b.State())
	}
}

func TestStaleResultFromBeforeTheTripDoesNotCount(t *testing.T) {
	b, c, _ := build(t, map[string]string{"probes": "1"}, breaker.WithProber())
	stale, err := b.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	open(t, b)
	c.add(time.Second)
	p := probe(t, b)
	stale.Success()
	if b.State() != breaker.HalfOpen {
		t.Fatal("a result from before the trip closed the breaker")
	}
	p.Failure(errDown)
	if b.State() != breaker.Open {
		t.Fatal("the probe did not count")
	}
}

func TestWithoutProberCallsProbe(t *testing.T) {
	b, c, _ := build(t, map[string]string{"probes": "1"})
	open(t, b)
	c.add(time.Second)
	call(t, b, nil)
	if b.State() != breaker.Closed {
		t.Fatalf("state %s", b.State())
	}
}

func TestForcedStates(t *testing.T) {
	b, _, _ := build(t, nil)
	if err := b.Force(breaker.ForcedOpen, "by hand"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Acquire(); err == nil {
		t.Fatal("forced-open allowed a call")
	}
	_ = b.Force(breaker.ForcedClosed, "by hand")
	for range 50 {
		call(t, b, errDown)
	}
	if s := b.Snapshot(); s.State != breaker.ForcedClosed || s.Failures != 50 {
		t.Fatalf("forced-closed must allow and measure: %+v", s)
	}
	b.Reset("by hand")
	if s := b.Snapshot(); s.State != breaker.Closed || s.Calls != 0 {
		t.Fatalf("%+v", s)
	}
	if b.Force(breaker.HalfOpen, "") == nil {
		t.Fatal("half-open was forced")
	}
}

func TestMetricsOnlyReportsOnce(t *testing.T) {
	var seen []breaker.Transition
	b, _, _ := build(t, nil, breaker.OnTransition(func(tr breaker.Transition) { seen = append(seen, tr) }))
	_ = b.Force(breaker.MetricsOnly, "by hand")
	for range 50 {
		call(t, b, errDown)
	}
	if len(seen) != 2 || seen[1].To != breaker.MetricsOnly {
		t.Fatalf("%+v", seen)
	}
}

// Writers, readers, an operator and a tuner at once: no deadlock, no race,
// callbacks may read the breaker, and what comes after is counted as ever.
func TestChangesUnderLoad(t *testing.T) {
	reg := settings.NewRegistry()
	s := breaker.Declare(reg, "test")
	var b *breaker.Breaker
	b = breaker.New("x", "test", s, breaker.OnTransition(func(breaker.Transition) {
		b.Snapshot()
		b.History()
		b.State()
	}))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 20_000 {
				p, err := b.Acquire()
				if err != nil {
					continue
				}
				switch (i + j) % 7 {
				case 0, 1:
					p.Failure(errDown)
				case 2:
					p.Slow()
				case 3:
					p.Ignore()
				default:
					p.Success()
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 500 {
			pick := func(list ...string) string { return list[i%len(list)] }
			var changes []settings.Change
			for key, value := range map[string]string{
				"window_kind": pick("calls", "time"), "window_calls": pick("10", "1000", "65"), "window": pick("1s", "1h", "10s"),
				"minimum_calls": pick("1", "1000"), "failure_ratio": pick("0.001", "1", "0.5"),
				"slow_after": pick("1ms", "2s"), "open_for": "10ms",
			} {
				changes = append(changes, settings.Change{Key: "breaker.test." + key, Value: value})
			}
			if _, err := reg.Apply(changes); err != nil {
				t.Error(err)
			}
			_ = b.Force([]breaker.State{breaker.ForcedOpen, breaker.ForcedClosed, breaker.MetricsOnly}[i%3], "test")
			b.Snapshot()
			b.Reset("test")
		}
	})
	wg.Wait()
	_ = b.Force(breaker.ForcedClosed, "test")
	b.Reset("test")
	tune(t, reg, map[string]string{"window_kind": "calls", "window_calls": "10", "minimum_calls": "10", "failure_ratio": "0.5", "slow_after": "2s"})
	for i := range 10 {
		call(t, b, map[bool]error{true: errDown}[i >= 6])
	}
	if s := b.Snapshot(); s.Calls != 10 || s.Failures != 4 || s.Slow != 0 || s.State != breaker.Closed {
		t.Errorf("%+v", s)
	}
}
