package head

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/supervise"
)

// Config is what a Tracker needs to know. All functions may be called from any goroutine.
// Quorum, Depth, StaleAfter and Usable are called under the Tracker's lock: of its methods
// they may use Now, Number, Age and Interval alone.
type Config struct {
	Providers  int
	Quorum     func() int           // providers that must agree
	Depth      func() int           // blocks below the head that are final where the tag is not known
	StaleAfter func() time.Duration // how long what a provider said counts
	Usable     func(provider int) bool
	// Ask asks one provider for a block: "0x…" with 64 digits is a hash, with fewer a number.
	Ask func(ctx context.Context, provider int, block string) (Header, error)
	// Moved is told of each change of the moment.
	Moved func(Moment)
	// Replaced is told when the chain below what is kept was replaced: what rests on any
	// block may be wrong.
	Replaced func()
	// Report is told of what an operator cares for; provider is -1 where it is the chain.
	Report func(provider int, severity, text string)
}

// Tracker follows the chain. Its methods may be called from any goroutine; Run must be
// running for it to decide anything.
type Tracker struct {
	Config
	now       atomic.Pointer[Moment]
	window    atomic.Pointer[window]
	confirmed atomic.Int64 // when a quorum last stood behind the head, monotonic; 0 before
	interval  atomic.Int64 // between two blocks, a moving average, in nanoseconds
	stances   []atomic.Uint32
	wake      chan struct{}
	meter     meter

	mu      sync.Mutex
	seats   []seat
	links   map[Hash]*link
	wanted  map[int]question
	changed chan struct{} // closed when the moment changes
	began   time.Time
	moved   time.Time    // when the head did last
	low     time.Time    // since when a quorum is below it with nothing that ties them
	split   bool         // it was reported that the providers do not agree
	pending *reorganised // found, and not reported yet
	walk    walk
}

// question is what the tracker wants to know of a provider: what stands at a height, or
// the parent of a block.
type question struct {
	height uint64
	hash   Hash
}

// reorganised is a reorganisation while its depth is found out.
type reorganised struct {
	blocks int
	top    uint64 // of the chain before
	lowest uint64 // of the blocks that were replaced
}

// New returns a tracker, and registers its metrics.
func New(c Config, reg prometheus.Registerer) *Tracker {
	t := &Tracker{Config: c, seats: make([]seat, c.Providers), stances: make([]atomic.Uint32, c.Providers), links: map[Hash]*link{}, wanted: map[int]question{},
		wake: make(chan struct{}, 1), changed: make(chan struct{}), began: time.Now(), meter: newMeter()}
	reg.MustRegister(t.meter.collectors(t)...)
	return t
}

// Now returns the moment; nil until a head is known.
func (t *Tracker) Now() *Moment { return t.now.Load() }

// Number returns the height of the trusted head; 0 until it is known.
func (t *Tracker) Number() uint64 {
	if m := t.now.Load(); m != nil {
		return m.Number
	}
	return 0
}

// Canonical returns the hash of the canonical block at a height, and false where it is not
// known. It takes some nanoseconds.
func (t *Tracker) Canonical(number uint64) (Hash, bool) { return t.window.Load().hash(number) }

// Final says whether a block is final.
func (t *Tracker) Final(number uint64) bool {
	m := t.now.Load()
	return m != nil && m.Final.Number >= number && (m.Final != Block{})
}

// Age returns how long ago a quorum stood behind the head; false where none ever did.
func (t *Tracker) Age() (time.Duration, bool) {
	at := t.confirmed.Load()
	return time.Duration(monotonic.Now() - at), at != 0
}

// Interval returns the time between two blocks, a moving average; 0 until it is known.
func (t *Tracker) Interval() time.Duration { return time.Duration(t.interval.Load()) }

// Await waits until the head is at a height or above, and says whether it is.
func (t *Tracker) Await(ctx context.Context, number uint64) bool {
	for {
		t.mu.Lock()
		changed := t.changed
		t.mu.Unlock()
		if m := t.now.Load(); m != nil && m.Number >= number {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// Heard takes in the newest block of a provider.
func (t *Tracker) Heard(provider int, h Header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.seats[provider]
	s.hashless = false
	s.reach(h.Number, time.Now())
	s.learn(h)
	t.vouch(provider, h)
	t.nudge()
}

// HeardNumber takes in the height of a provider that tells no hashes.
func (t *Tracker) HeardNumber(provider int, number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.seats[provider]
	s.hashless = true
	s.reach(number, time.Now())
	t.nudge()
}

// HeardTags takes in which blocks a provider calls safe and final; known is false for one
// that does not know the tags.
func (t *Tracker) HeardTags(provider int, safe, final Block, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.seats[provider]
	s.tags, s.safe, s.final = tagMissing, safe, final
	if known {
		s.tags = tagKnown
	}
	t.nudge()
}

// Forget takes a provider's votes away: it serves another chain.
func (t *Tracker) Forget(provider int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seats[provider] = seat{asking: t.seats[provider].asking}
	t.nudge()
}

// vouch counts what a header says of its block's parent. The caller holds mu.
func (t *Tracker) vouch(provider int, h Header) {
	l := t.links[h.Hash]
	if l == nil {
		if len(t.links) >= maxLinks { // somebody makes them up
			clear(t.links)
		}
		l = newLink(h.Number)
		t.links[h.Hash] = l
	}
	if h.Proven {
		l.parent = h.Parent
	}
	if !l.said[provider] {
		l.said[provider] = true
		l.votes[h.Parent]++
	}
	l.asked[provider] = true
}

func (t *Tracker) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// want notes a question for a provider. The caller holds mu.
func (t *Tracker) want(provider int, q question) {
	if _, ok := t.wanted[provider]; !ok && !t.seats[provider].asking {
		t.wanted[provider] = q
	}
}

// Run decides until ctx ends.
func (t *Tracker) Run(ctx context.Context) {
	var questions sync.WaitGroup
	defer questions.Wait()
	tick := time.NewTicker(time.Second) // who votes changes with time, too
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-tick.C:
		}
		t.decide(time.Now())
		t.mu.Lock()
		for provider, q := range t.wanted {
			t.seats[provider].asking = true
			supervise.Go(&questions, "question for a block", func() { t.ask(ctx, provider, q) }, nil)
		}
		clear(t.wanted)
		t.mu.Unlock()
	}
}

// ask asks a provider for what is wanted of it.
func (t *Tracker) ask(ctx context.Context, provider int, q question) {
	limited, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	block := fmt.Sprintf("0x%x", q.height)
	if (q.hash != Hash{}) {
		block = fmt.Sprintf("0x%x", q.hash[:])
	}
	h, err := t.Ask(limited, provider, block)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.seats[provider]
	s.asking = false
	switch {
	case (q.hash != Hash{}):
		if err == nil && h.Hash == q.hash {
			t.vouch(provider, h)
		} else if l := t.links[q.hash]; l != nil {
			l.asked[provider] = true
		}
	case err == nil && h.Number == q.height:
		s.learn(h)
		t.vouch(provider, h)
	default:
		if s.missing == nil {
			s.missing = map[uint64]bool{}
		}
		s.missing[q.height] = true
	}
	t.nudge()
}
