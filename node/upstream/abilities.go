package upstream

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/upstream/refusal"
)

const (
	// learnedFor is how long it is remembered that a provider lacks something: providers
	// are upgraded, and plans are changed.
	learnedFor = 10 * time.Minute
	// missedFor is how long a provider is not asked again for a method that another does not
	// serve either.
	missedFor = 10 * time.Second
	// mostMethods bounds the methods that are remembered as missing at one provider.
	mostMethods = 64
	// shallowest is how many states below its head every full node keeps.
	shallowest = 128
	// lackCost puts a provider that is known to lack what is asked for behind all others
	// that have not been tried.
	lackCost = 1e6
)

// abilities are what a provider was found not to have or not to allow. The hot path reads
// them without a lock.
type abilities struct {
	shallow bool // by upstream.archive: no old states
	archive bool // by upstream.archive: all states

	mu      sync.Mutex                       // of who learns
	missing atomic.Pointer[map[string]int64] // methods, and until when that is remembered
	pruned  atLeast                          // depth below the head
	span    atLeast                          // blocks of logs
}

// keepers marks the providers that are configured to keep all states, and all others.
func (s *Set) keepers(names []string) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(s.providers, func(p *provider) bool { return p.name == name }) {
			return fmt.Errorf("upstream.archive: no provider is named %q", name)
		}
	}
	for _, p := range s.providers {
		p.abilities.archive = slices.Contains(names, p.name)
		p.abilities.shallow = !p.abilities.archive
	}
	return nil
}

// atLeast is a number at and above which a provider refuses, while that is remembered.
type atLeast struct{ least, until atomic.Int64 }

// refuses says whether n is too much. A least of 0 means that nothing is known.
func (a *atLeast) refuses(n uint64) bool {
	least := a.least.Load()
	return least != 0 && n >= uint64(least) && monotonic.Now() < a.until.Load()
}

func (a *atLeast) learn(n uint64) {
	if n == 0 || n > math.MaxInt64 {
		return
	}
	now := monotonic.Now()
	if least := a.least.Load(); least == 0 || int64(n) < least || now >= a.until.Load() {
		a.least.Store(int64(n))
	}
	a.until.Store(now + int64(learnedFor))
}

// unlearn takes in that n was answered.
func (a *atLeast) unlearn(n uint64) {
	if least := a.least.Load(); least != 0 && n >= uint64(least) {
		a.least.Store(0)
	}
}

// lacks says whether the provider is known not to have what is asked for. It runs with
// every call.
func (a *abilities) lacks(q *Question, head uint64) bool {
	if m := a.missing.Load(); m != nil {
		if until, ok := (*m)[q.Method]; ok && monotonic.Now() < until {
			return true
		}
	}
	if q.State && q.Height != 0 && !a.archive && a.pruned.refuses(depth(head, q.Height)) {
		return true
	}
	return q.Span != 0 && a.span.refuses(q.Span)
}

// learn takes in what a refusal teaches.
func (a *abilities) learn(q *Question, head uint64, teaches refusal.Capability) {
	switch teaches {
	case refusal.TheMethod:
		a.miss(q.Method)
	case refusal.TheState:
		if q.State && q.Height != 0 && !a.archive {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.pruned.learn(depth(head, q.Height))
		}
	case refusal.TheSpan:
		a.mu.Lock()
		defer a.mu.Unlock()
		a.span.learn(q.Span)
	}
}

// miss remembers a method as missing; of too many, the one that is forgotten next goes.
func (a *abilities) miss(method string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := monotonic.Now()
	next := map[string]int64{}
	if old := a.missing.Load(); old != nil {
		next = maps.Clone(*old)
	}
	maps.DeleteFunc(next, func(_ string, until int64) bool { return now >= until })
	for len(next) >= mostMethods {
		oldest := ""
		for name, until := range next {
			if oldest == "" || until < next[oldest] {
				oldest = name
			}
		}
		delete(next, oldest)
	}
	next[method] = now + int64(learnedFor)
	a.missing.Store(&next)
}

// justMissed says whether the provider has said so lately that it does not serve a method
// that it would say the same again.
func (a *abilities) justMissed(method string) bool {
	m := a.missing.Load()
	return m != nil && (*m)[method]-monotonic.Now() > int64(learnedFor-missedFor)
}

// answered takes in that a question was answered. It runs with every call.
func (a *abilities) answered(q *Question, head uint64) {
	if m := a.missing.Load(); m != nil {
		if _, ok := (*m)[q.Method]; ok {
			a.mu.Lock()
			next := maps.Clone(*a.missing.Load())
			delete(next, q.Method)
			a.missing.Store(&next)
			a.mu.Unlock()
		}
	}
	if q.State && q.Height != 0 {
		a.pruned.unlearn(depth(head, q.Height))
	}
	if q.Span != 0 {
		a.span.unlearn(q.Span)
	}
}

// words say what is known, for the screens.
func (a *abilities) words() []string {
	now := monotonic.Now()
	var out []string
	if m := a.missing.Load(); m != nil {
		spaces := map[string][]string{}
		for name, until := range *m {
			if now < until {
				space, _, _ := strings.Cut(name, "_")
				spaces[space] = append(spaces[space], name)
			}
		}
		for space, names := range spaces {
			if len(names) > 1 && space != "eth" {
				names = []string{space + "_*"}
			}
			for _, name := range names {
				out = append(out, "no "+name)
			}
		}
		slices.Sort(out)
	}
	switch {
	case a.archive:
		out = append(out, "archive")
	case a.shallow:
		out = append(out, fmt.Sprintf("pruned below %d", shallowest))
	case a.pruned.refuses(math.MaxInt64):
		out = append(out, fmt.Sprintf("pruned below %d", a.pruned.least.Load()))
	}
	if a.span.refuses(math.MaxInt64) {
		out = append(out, fmt.Sprintf("logs ≤ %d", a.span.least.Load()-1))
	}
	return out
}
