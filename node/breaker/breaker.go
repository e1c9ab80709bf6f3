package breaker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/settings"
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

func (s State) allows() bool { return s == Closed || s == ForcedClosed || s == MetricsOnly }

// judged says whether the window decides something in this state.
func (s State) judged() bool { return s == Closed || s == MetricsOnly }

// Transition is a change of state. One from metrics-only to itself says that the
// breaker would have opened.
type Transition struct {
	Name     string
	From, To State
	Reason   string
	At       time.Time
}

// HistoryLength is how many transitions a breaker remembers.
const HistoryLength = 64

// Snapshot is a breaker at one moment.
type Snapshot struct {
	Name, Class             string
	State                   State
	Reason                  string // why it is in this state
	Since                   time.Time
	Calls, Failures, Slow   uint64 // in the window; slow calls still under way are in Calls and Slow
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

// WithOverrides lets the breaker differ from its class in what the list, from
// [DeclareOverrides], says of its name.
func WithOverrides(list *settings.Value[[]string]) Option {
	return func(b *Breaker) { b.overrides = list }
}

// WithClock replaces the clock, for tests: now is read at every call, and nothing
// happens between calls. Tests that run under testing/synctest do not need it.
func WithClock(now func() time.Time) Option {
	return func(b *Breaker) { b.now, b.manual = now, true }
}

// OnTransition calls f after each change of state, outside the breaker's lock, one
// call at a time and in the order of the changes: in a goroutine that caused a change,
// which may be one of the breaker's timer. f may use the breaker; what it causes is
// heard after it. Where f falls behind by more than 1,024 changes the oldest are dropped.
func OnTransition(f func(Transition)) Option {
	return func(b *Breaker) { b.onTransition = append(b.onTransition, f) }
}

// Breaker is a circuit breaker. All methods may be called from any goroutine.
type Breaker struct {
	// What an ordinary call touches; see page.
	page     atomic.Pointer[page]
	at       atomic.Int64 // time since start, in nanoseconds, as of the last tick
	_        [48]byte     // what follows is written by others: not on the same cache line
	rejected atomic.Uint64
	_        [56]byte

	name, class  string
	prober       bool
	manual       bool // the clock is a test's
	now          func() time.Time
	start        time.Time
	onTransition []func(Transition)
	declared     Settings
	overrides    *settings.Value[[]string]

	mu         sync.Mutex
	settings   Settings // of the class, with overrides
	overridden []string // the list that settings was made with
	limits     limits   // settings as of the last tick
	state      State
	reason     string
	since      time.Time
	generation uint64
	window     window
	fresh      bool                     // window was made for limits
	opened     time.Duration            // when the page was published
	collected  uint32                   // successes on the page that are in its slice
	flying     []former                 // pages of this generation before that one, oldest first
	overdue    uint64                   // calls under way that are slow already
	armed      bool                     // the next success may open the breaker
	failed     int                      // times in a row that probing has failed
	tripped    time.Duration            // since start; when it opened last
	nextProbe  time.Duration            // since start
	probes     map[uint64]time.Duration // outstanding probes by id, with when they began
	probeID    uint64
	passed     int // probes that succeeded in a row
	lastError  string
	trips      uint64 // times opened
	wouldOpen  bool   // metrics-only has reported
	history    []Transition
	pending    []Transition
	reporting  bool // one goroutine reports what is pending

	// The clock; see tick and beat.
	read    time.Duration // what the clock said last
	elapsed time.Duration // time since start; never goes back
	before  time.Duration // elapsed at the tick before
	timer   *time.Timer
	due     time.Duration // when timer fires; 0 when it is not set
	asleep  bool
	idle    int    // beats without a call
	seen    uint64 // window.recorded at the last beat
}

// New returns a closed breaker. It needs no closing: between calls it holds
// neither a goroutine nor a timer.
func New(name, class string, s Settings, options ...Option) *Breaker {
	b := &Breaker{name: name, class: class, declared: s, settings: s, now: time.Now, state: Closed,
		reason: "started", probes: map[uint64]time.Duration{}, asleep: true}
	for _, o := range options {
		o(b)
	}
	b.start = b.now()
	b.since = b.start
	b.asleep = !b.manual
	b.lock()
	b.unlock()
	return b
}

// Name returns the breaker's name.
func (b *Breaker) Name() string { return b.name }

// State returns the state in force. It takes no lock.
func (b *Breaker) State() State { return States[b.page.Load().state] }

// Allows says whether ordinary calls are let through. It takes no lock.
func (b *Breaker) Allows() bool { return b.page.Load().allows }

// Force puts the breaker into one of the operator's states. Reset takes it out.
func (b *Breaker) Force(to State, reason string) error {
	if to != ForcedOpen && to != ForcedClosed && to != MetricsOnly {
		return fmt.Errorf("%s cannot be forced", to)
	}
	b.lock()
	defer b.unlock()
	if b.state != to {
		b.wouldOpen = false
		b.move(to, reason)
	}
	return nil
}

// Trip opens a closed breaker for a reason that its window does not show, such as
// that nothing at all is answered any more. It is probed and closed as always.
func (b *Breaker) Trip(reason string) {
	b.lock()
	defer b.unlock()
	if b.state == Closed {
		b.open(reason)
	}
}

// Reset closes the breaker and forgets its window.
func (b *Breaker) Reset(reason string) {
	b.lock()
	defer b.unlock()
	b.failed, b.lastError = 0, ""
	b.forget()
	if b.state != Closed {
		b.move(Closed, reason)
	}
}

// History returns the last transitions, at most [HistoryLength], oldest first.
func (b *Breaker) History() []Transition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.history)
}

// Snapshot returns the breaker as it is now.
func (b *Breaker) Snapshot() Snapshot {
	b.lock()
	defer b.unlock() // opens nothing: who looks must not cause what he sees
	c := b.totals()
	s := Snapshot{
		Name: b.name, Class: b.class, State: b.state, Reason: b.reason, Since: b.since,
		Calls: c.calls, Failures: c.failures, Slow: c.slow,
		Threshold: b.limits.failureRatio, LastError: b.lastError,
		Opened: b.trips, Rejected: b.rejected.Load(),
	}
	if c.calls > 0 {
		s.FailureRatio = float64(c.failures) / float64(c.calls)
		s.SlowRatio = float64(c.slow) / float64(c.calls)
	}
	if b.state == Open {
		s.NextProbe = b.now().Add(b.nextProbe - b.elapsed)
	}
	return s
}
