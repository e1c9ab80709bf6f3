package upstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/descriptors"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/secret"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/node/upstream/head"
)

// tellLiesEvery keeps the events of one lying provider apart.
const tellLiesEvery = 10 * time.Second

// Event is something worth telling an operator.
type Event struct {
	Provider string
	Severity string // good, info, warn, bad
	Text     string
}

// Set holds the providers of one chain. All methods may be called from any
// goroutine.
type Set struct {
	settings  Settings
	providers []*provider
	chain     atomic.Uint64 // 0 until known
	heads     *head.Tracker
	active    atomic.Int64 // calls under way
	budget    budget
	pace      pace
	polledNow atomic.Int64 // monotonic, when all were asked for their heads out of turn
	sends     sends
	metrics   *metrics
	notify    func(Event)
	distrust  func() // what one provider said is not to be used again; may be nil
}

// Chain is what the set needs to follow the chain, and who is told of it. Any of it may be
// nil.
type Chain struct {
	Quorum   func() int // providers that must agree on a block; 2
	Depth    func() int // confirmations that make a block final where the tag is not known; 64
	Moved    func()     // the trusted head, the safe or the final block has changed
	Replaced func()     // more of the chain was replaced than is kept
}

// New returns the set of configured providers. newBreaker makes the breaker of
// one; notify, which may be nil, is told of what operators care for. Run must be
// running for heads and recovery to be found.
func New(s Settings, newBreaker func(provider string) *breaker.Breaker, reg prometheus.Registerer, notify func(Event), chain Chain) (*Set, error) {
	if notify == nil {
		notify = func(Event) {}
	}
	set := &Set{settings: s, metrics: newMetrics(), notify: notify, distrust: chain.Moved}
	set.chain.Store(uint64(s.ChainID.Get()))
	perProvider := max(2, descriptors.Providers()/max(1, len(s.Providers.Get())))
	for i, text := range s.Providers.Get() {
		a, err := parseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("upstream.providers: %w", err)
		}
		set.providers = append(set.providers, &provider{
			name: a.name, url: a.url, secrets: secret.InURL(a.url), header: headerOf(a.url), transport: newTransport(perProvider),
			index: i, counters: set.metrics.of(a.name), breaker: newBreaker(a.name), maxBody: s.MaxBody.Get,
			maxCalls: func() int { return min(s.MaxCalls.Get(), max(1, perProvider-perProvider/8)) },
			pollNow:  make(chan struct{}, 1),
		})
	}
	if len(set.providers) == 0 {
		return nil, errors.New("upstream.providers is empty: the node needs at least one JSON-RPC provider, " +
			"such as upstream.providers: [\"name=https://host/path\"]; `bizra-top demo` runs without any")
	}
	if err := set.keepers(s.Archive.Get()); err != nil {
		return nil, err
	}
	reg.MustRegister(set.metrics.collectors(set)...)
	set.heads = set.follow(chain, reg)
	return set, nil
}

// newTransport returns the connections to one provider. An eighth is for the watch: it must
// find a provider that is back however many calls there are.
func newTransport(connections int) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxConnsPerHost:       connections,
		MaxIdleConnsPerHost:   min(connections, 64),
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   3 * time.Second,
		ForceAttemptHTTP2:     true,
		ResponseHeaderTimeout: 2 * time.Minute, // attempts have their own, shorter limit
	}
}

func (s *Set) closeIdle() {
	for _, p := range s.providers {
		p.transport.CloseIdleConnections()
	}
}

// Len returns how many providers are configured.
func (s *Set) Len() int { return len(s.providers) }

// ChainID returns the chain the providers serve; 0 until one has said.
func (s *Set) ChainID() uint64 { return s.chain.Load() }

// Head returns the height of the trusted head; 0 until it is known.
func (s *Set) Head() uint64 { return s.heads.Number() }

// Available returns why no provider can be asked, nil where one can.
func (s *Set) Available() error {
	if p, _ := s.pick(&call{}); p != nil {
		return nil
	}
	return s.cannot(&Question{})
}

// Distrust counts a lie against a provider and lowers it in the choice; the
// mistrust halves every minute.
func (s *Set) Distrust(name, lie string) {
	for _, p := range s.providers {
		if p.name == name {
			p.lies.Add(1)
			p.distrust.Store(math.Float64bits(math.Float64frombits(p.distrust.Load()) + 1))
			p.remember(errors.New("lied: " + lie))
			// A liar lies in every answer: the first is told, and how it goes on.
			if last, now := p.toldLie.Load(), monotonic.Now(); (last == 0 || now-last > int64(tellLiesEvery)) && p.toldLie.CompareAndSwap(last, now) {
				s.notify(Event{name, "bad", fmt.Sprintf("lied: %s (%d lies so far)", lie, p.lies.Load())})
			}
		}
	}
}

// Drain takes a provider out of the choice, or back in. Calls under way end as
// they would.
func (s *Set) Drain(name string, out bool) error {
	for _, p := range s.providers {
		if p.name == name {
			p.drained.Store(out)
			return nil
		}
	}
	return fmt.Errorf("no provider is named %q", name)
}

// Status is one provider at one moment.
type Status struct {
	Name, Host, Breaker   string
	State                 string // of its breaker, or why it is not asked
	Healthy, Drained      bool
	Head, Lag             uint64
	P50, P95, P99         time.Duration
	InFlight              int64
	Calls, Failures, Lies uint64
	LastError             string
	Lacks                 []string // what it was found not to have, in a few words each
	Preference            int      // 1 is asked first; 0 is not asked
}

// Status returns every provider in the order of the configuration.
func (s *Set) Status() []Status {
	preference := map[*provider]int{}
	for i, p := range s.candidates(&Question{}) {
		preference[p] = i + 1
	}
	out := make([]Status, 0, len(s.providers))
	for _, p := range s.providers {
		ok, why := p.usable(s.chain.Load())
		st := Status{Name: p.name, Host: p.url.Host, State: why, Breaker: p.breaker.Name(), Healthy: ok, Drained: p.drained.Load(),
			Head: p.head.Load(), P50: time.Duration(p.p50.Load()), P95: time.Duration(p.p95.Load()), P99: time.Duration(p.p99.Load()),
			InFlight: p.inFlight.Load(), Calls: p.calls.Load(), Failures: p.failures.Load(), Lies: p.lies.Load(),
			Preference: preference[p], Lacks: p.abilities.words()}
		switch {
		case ok && p.failing():
			st.State = stateFailing
		case ok:
			st.State = string(p.breaker.State())
		}
		if h := s.Head(); st.Head != 0 && h > st.Head {
			st.Lag = h - st.Head
		}
		if e := p.lastErr.Load(); e != nil {
			st.LastError = *e
		}
		out = append(out, st)
	}
	return out
}

// Run polls heads and probes open breakers until ctx ends.
func (s *Set) Run(ctx context.Context) {
	var wg sync.WaitGroup
	supervise.Loop(ctx, &wg, "trusted head", s.heads.Run)
	for _, p := range s.providers {
		supervise.Loop(ctx, &wg, "watch of a provider", func(ctx context.Context) { s.watch(ctx, p) })
	}
	wg.Wait()
	s.sends.end()
	s.closeIdle()
}

// Discover asks all providers at once which chain they serve, again and again
// until enough have said, and returns the chain: the configured one, or else the
// one that most of those who answer serve. With a chain configured it asks each
// once only: a node starts without its providers. After an error no connection is
// left open.
func (s *Set) Discover(ctx context.Context) (uint64, error) {
	for {
		var wg sync.WaitGroup
		for _, p := range s.providers {
			if permit, err := p.breaker.Acquire(); err == nil {
				supervise.Go(&wg, "question for the chain", func() { s.checkChain(ctx, p, permit) }, nil)
			}
		}
		wg.Wait()
		if id := s.ChainID(); id != 0 {
			return id, nil
		}
		id, err := s.majority()
		if err == nil {
			s.chain.Store(id)
			return id, nil
		}
		if !sleep(ctx, 250*time.Millisecond) {
			s.closeIdle()
			return 0, fmt.Errorf("%w; mend upstream.providers, or set upstream.chain_id", err)
		}
	}
}

// Assume sets the chain that the providers must serve, where none has said.
func (s *Set) Assume(id uint64) { s.chain.CompareAndSwap(0, id) }

// majority returns the chain that more providers serve than any other: the
// first to answer must not decide, it may be the one that lies.
func (s *Set) majority() (uint64, error) {
	votes := map[uint64]int{}
	var best uint64
	for _, p := range s.providers {
		if id := p.chain.Load(); id != 0 {
			if votes[id]++; votes[id] > votes[best] {
				best = id
			}
		}
	}
	for id, n := range votes {
		if id != best && n == votes[best] {
			return 0, fmt.Errorf("the providers disagree whether this is chain %d or %d", min(id, best), max(id, best))
		}
	}
	if best != 0 {
		return best, nil
	}
	var last error = ErrUnavailable
	for _, st := range s.Status() {
		if st.LastError != "" {
			last = errors.New(st.LastError)
		}
	}
	return 0, fmt.Errorf("no provider says which chain it serves: %w", last)
}
