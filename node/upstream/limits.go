package upstream

import (
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

const (
	// restDefault is how long a provider that says "not now" is left alone at least, and
	// where it does not say how long. It doubles with each time that it says so again, up
	// to longestDefault: a quota of a month is not over in a second.
	restDefault    = 250 * time.Millisecond
	longestDefault = time.Minute
	// longestRest is the most that it may ask for.
	longestRest = 10 * time.Minute
)

// rests are when a provider has asked to be left alone.
type rests struct {
	until atomic.Int64 // monotonic; when it may be asked again
	row   atomic.Int32 // how often it has said so since it last answered
}

// rest leaves the provider alone for as long as it asks, 0 where it does not say, and
// returns for how long.
func (p *provider) rest(asked time.Duration) time.Duration {
	if asked <= 0 {
		asked = min(restDefault<<min(p.rests.row.Add(1)-1, 16), longestDefault)
	}
	d := min(max(asked, restDefault), longestRest)
	until := monotonic.Now() + int64(d)
	for {
		now := p.rests.until.Load()
		if until <= now || p.rests.until.CompareAndSwap(now, until) {
			return d
		}
	}
}

// resting says whether the provider has asked to be left alone, and still means it.
func (p *provider) resting() bool {
	until := p.rests.until.Load()
	return until != 0 && monotonic.Now() < until
}

// full says whether the provider has as many calls under way as it may have.
func (p *provider) full() bool { return p.underWay.Load() >= int64(p.maxCalls()) }

// begin counts a call in, if there is room for it; end counts it out.
func (p *provider) begin() bool {
	if p.underWay.Add(1) > int64(p.maxCalls()) {
		p.underWay.Add(-1)
		return false
	}
	return true
}

func (p *provider) end() { p.underWay.Add(-1) }
