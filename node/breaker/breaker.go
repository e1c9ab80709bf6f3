package breaker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

// ErrOpen is returned instead of a permit by a breaker that refuses calls.
var ErrOpen = errors.New("circuit breaker is open")

// State is what a breaker does with calls.
type State string

// The states.
const (
	Closed       State = "closed"        // allows calls
	Open         State = "open"          // refuses calls
	HalfOpen     State = "half-open"     // refuses calls, allows a few probes
	ForcedOpen   State = "forced-open"   // the operator refuses calls
	ForcedClosed State = "forced-closed" // the operator allows calls
	MetricsOnly  State = "metrics-only"  // allows calls, says when it would have opened
)

// States lists every state.
var States = []State{Closed, Open, HalfOpen, ForcedOpen, ForcedClosed, MetricsOnly}

// Transition is a change of state.
type Transition struct {
	Name     string
	From, To State
	Reason   string
	At       time.Time
}

// Snapshot is a breaker at one moment.
type Snapshot struct {
	Name, Class             string
	State                   State
	Reason                  string // why it is in this state
	Since                   time.Time
	Calls, Failures, Slow   uint64 // in the window
	FailureRatio, SlowRatio float64
	Threshold               float64   // failure ratio that opens it
	NextProbe               time.Time // zero unless open
	LastError               string
	Opened                  uint64 // times opened
	Rejected                uint64 // calls refused
}

// Option changes how a breaker is built.
type Option func(*Breaker)

// WithProber says that the owner probes the breaker with Probe, so that
// ordinary calls are never spent as probes.
func WithProber() Option { return func(b *Breaker) { b.prober = true } }

// WithClock replaces time.Now, for tests.
func WithClock(now func() time.Time) Option { return func(b *Breaker) { b.now = now } }

// OnTransition calls f after each change of state, outside the breaker's lock,
// in the goroutine that caused it. f may use the breaker.
func OnTransition(f func(Transition)) Option {
	return func(b *Breaker) { b.onTransition = append(b.onTransition, f) }
}

// Breaker is a circuit breaker. All methods may be called from any goroutine.
type Breaker struct {
	name, class  string
	settings     Settings
	prober       bool
	now          func() time.Time
	start        time.Time
	onTransition []func(Transition)

	mu         sync.Mutex
	state      State
	reason     string
	since      time.Time
	generation uint64
	window     window
	windowFor  windowShape
	wait       time.Duration // before the next probe
	nextProbe  time.Time
	probes     map[uint64]time.Time // outstanding probes by permit id, with their deadlines
	probeID    uint64
	passed     int // probes that succeeded in a row
	lastError  string
	opened     uint64
	rejected   uint64
	wouldOpen  bool // metrics-only has reported
	pending    []Transition
}

type windowShape struct {
	kind  string
	span  time.Duration
	calls int
}

// New returns a closed breaker.
func New(name, class string, s Settings, options ...Option) *Breaker {
	b := &Breaker{name: name, class: class, settings: s, now: time.Now, state: Closed,
		reason: "started", probes: map[uint64]time.Time{}}
	for _, o := range options {
		o(b)
	}
	b.start = b.now()
	b.since = b.start
	return b
}

// Name returns the breaker's name.
func (b *Breaker) Name() string { return b.name }

// Permit allows one call. Exactly one of its methods should be called with the
// call's result; the first counts, further ones do nothing. A permit of a probe
// that is never answered fails at its deadline.
type Permit struct {
	b          *Breaker
	generation uint64
	probe      uint64 // 0 for an ordinary call
	began      time.Time
	done       bool
}

// Acquire asks to make a call. It returns ErrOpen, at once, when the breaker
// refuses.
func (b *Breaker) Acquire() (*Permit, error) {
	now := b.now()
	b.mu.Lock()
	defer b.flush()
	switch b.state {
	case Open, HalfOpen:
		if !b.prober {
			if p := b.probeLocked(now); p != nil {
				return p, nil
			}
		}
		fallthrough
	case ForcedOpen:
		b.rejected++
		return nil, ErrOpen
	}
	return &Permit{b: b, generation: b.generation, began: now}, nil
}

// Probe asks for a permit to try whether the other side works again. It returns
// nil unless the breaker is open, its wait is over and fewer probes than needed
// are under way.
func (b *Breaker) Probe() *Permit {
	now := b.now()
	b.mu.Lock()
	defer b.flush()
	return b.probeLocked(now)
}

func (b *Breaker) probeLocked(now time.Time) *Permit {
	if b.state == Open && !now.Before(b.nextProbe) {
		b.move(HalfOpen, "probing after "+b.wait.String(), now)
		b.passed = 0
	}
	if b.state != HalfOpen {
		return nil
	}
	for id, deadline := range b.probes {
		if now.After(deadline) {
			delete(b.probes, id)
			b.probeFailed("a probe was not answered in time", now)
			return nil
		}
	}
	if len(b.probes)+b.passed >= b.settings.Probes.Get() {
		return nil
	}
	b.probeID++
	b.probes[b.probeID] = now.Add(b.settings.ProbeTimeout.Get())
	return &Permit{b: b, generation: b.generation, probe: b.probeID, began: now}
}

// Success reports that the call worked. Whether it was slow is measured from
// the moment the permit was given.
func (p *Permit) Success() { p.finish(nil, result{}) }

// Slow reports that the call would have worked but another was faster: it
// counts as slow, however long it took.
func (p *Permit) Slow() { p.finish(nil, result{slow: true}) }

// Failure reports that the call failed with err.
func (p *Permit) Failure(err error) { p.finish(err, result{}) }

// Ignore reports that the call says nothing about the other side: the caller
// left, or was not ready.
func (p *Permit) Ignore() { p.finish(nil, result{ignore: true}) }

type result struct{ slow, ignore bool }

func (p *Permit) finish(err error, r result) {
	b := p.b
	now := b.now()
	b.mu.Lock()
	defer b.flush()
	if p.done || p.generation != b.generation {
		p.done = true
		return
	}
	p.done = true
	if err != nil {
		b.lastError = printable.Clean(err.Error(), 160)
	}
	if p.probe != 0 {
		b.finishProbe(p, err, r.ignore, now)
		return
	}
	if r.ignore {
		return
	}
	slow := r.slow || now.Sub(p.began) > b.settings.SlowAfter.Get()
	b.measure().record(now.Sub(b.start), err != nil, slow)
	b.judge(now)
}

func (b *Breaker) finishProbe(p *Permit, err error, ignore bool, now time.Time) {
	if _, ok := b.probes[p.probe]; !ok {
		return // given up at its deadline
	}
	delete(b.probes, p.probe)
	switch {
	case ignore:
	case err != nil:
		b.probeFailed("probe failed: "+b.lastError, now)
	default:
		if b.passed++; b.passed >= b.settings.Probes.Get() {
			b.move(Closed, fmt.Sprintf("%d probes in a row succeeded", b.passed), now)
			b.wait = 0
			b.window = nil
		}
	}
}

func (b *Breaker) probeFailed(reason string, now time.Time) {
	b.open(reason, now)
}

// open moves to open with a wait that doubles each time in a row.
func (b *Breaker) open(reason string, now time.Time) {
	longest := max(b.settings.OpenForMax.Get(), b.settings.OpenFor.Get())
	if b.wait == 0 {
		b.wait = b.settings.OpenFor.Get()
	} else {
		b.wait = min(b.wait*2, longest)
	}
	b.nextProbe = now.Add(b.wait)
	if b.state == Closed {
		b.opened++
	}
	b.move(Open, reason, now)
}

// judge opens a closed breaker whose window says so.
func (b *Breaker) judge(now time.Time) {
	if b.state != Closed && b.state != MetricsOnly {
		return
	}
	c := b.measure().totals(now.Sub(b.start))
	over, reason := b.over(c)
	if b.state == MetricsOnly {
		if over && !b.wouldOpen {
			b.pending = append(b.pending, Transition{b.name, MetricsOnly, MetricsOnly, "would have opened: " + reason, now})
		}
		b.wouldOpen = over
		return
	}
	if over {
		b.open(reason, now)
	}
}

// over compares exactly: no ratio is rounded.
func (b *Breaker) over(c counts) (bool, string) {
	if c.calls == 0 || c.calls < uint64(b.settings.MinimumCalls.Get()) {
		return false, ""
	}
	calls := float64(c.calls)
	if limit := b.settings.FailureRatio.Get(); float64(c.failures) >= limit*calls {
		return true, fmt.Sprintf("%d of %d calls failed, threshold %.4g %%", c.failures, c.calls, limit*100)
	}
	if limit := b.settings.SlowRatio.Get(); float64(c.slow) >= limit*calls {
		return true, fmt.Sprintf("%d of %d calls took over %s, threshold %.4g %%", c.slow, c.calls, b.settings.SlowAfter.Get(), limit*100)
	}
	return false, ""
}

// measure returns the window, built anew when its settings have changed.
func (b *Breaker) measure() window {
	shape := windowShape{b.settings.WindowKind.Get(), b.settings.Window.Get(), b.settings.WindowCalls.Get()}
	if b.window == nil || b.windowFor != shape {
		b.windowFor = shape
		if shape.kind == "calls" {
			b.window = newCallWindow(shape.calls)
		} else {
			b.window = newTimeWindow(shape.span)
			b.window.totals(b.now().Sub(b.start))
		}
	}
	return b.window
}

// move changes the state. Permits issued before it count no more.
func (b *Breaker) move(to State, reason string, now time.Time) {
	b.pending = append(b.pending, Transition{b.name, b.state, to, reason, now})
	b.state, b.reason, b.since = to, reason, now
	b.generation++
	clear(b.probes)
}

// flush unlocks and reports the transitions that were made under the lock.
func (b *Breaker) flush() {
	pending := b.pending
	b.pending = nil
	b.mu.Unlock()
	for _, t := range pending {
		for _, f := range b.onTransition {
			f(t)
		}
	}
}

// Force puts the breaker into one of the operator's states. Reset takes it out.
func (b *Breaker) Force(to State, reason string) error {
	if to != ForcedOpen && to != ForcedClosed && to != MetricsOnly {
		return fmt.Errorf("%s cannot be forced", to)
	}
	b.mu.Lock()
	defer b.flush()
	if b.state != to {
		b.wouldOpen = false
		b.move(to, reason, b.now())
	}
	return nil
}

// Reset closes the breaker and forgets its window.
func (b *Breaker) Reset(reason string) {
	b.mu.Lock()
	defer b.flush()
	b.window, b.wait, b.lastError = nil, 0, ""
	if b.state != Closed {
		b.move(Closed, reason, b.now())
	}
}

// State returns the state in force.
func (b *Breaker) State() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Allows says whether ordinary calls are let through.
func (b *Breaker) Allows() bool {
	switch b.State() {
	case Open, HalfOpen, ForcedOpen:
		return false
	}
	return true
}

// Snapshot returns the breaker as it is now.
func (b *Breaker) Snapshot() Snapshot {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.measure().totals(now.Sub(b.start))
	s := Snapshot{
		Name: b.name, Class: b.class, State: b.state, Reason: b.reason, Since: b.since,
		Calls: c.calls, Failures: c.failures, Slow: c.slow,
		Threshold: b.settings.FailureRatio.Get(), LastError: b.lastError,
		Opened: b.opened, Rejected: b.rejected,
	}
	if c.calls > 0 {
		s.FailureRatio = float64(c.failures) / float64(c.calls)
		s.SlowRatio = float64(c.slow) / float64(c.calls)
	}
	if b.state == Open {
		s.NextProbe = b.nextProbe
	}
	return s
}
