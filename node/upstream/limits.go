package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

const (
	// restDefault is how long a provider that says "not now" is left alone at least, and
	// where it does not say how long; longestRest is the most that it may ask for.
	restDefault = 250 * time.Millisecond
	longestRest = 10 * time.Minute
)

// rest leaves the provider alone for as long as a Retry-After header says (RFC 9110,
// 10.2.3).
func (p *provider) rest(retryAfter string) {
	d := restDefault
	if seconds, err := strconv.ParseUint(strings.TrimSpace(retryAfter), 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(retryAfter); err == nil {
		d = time.Until(at)
	}
	until := monotonic.Now() + int64(min(max(d, restDefault), longestRest))
	for {
		now := p.restUntil.Load()
		if until <= now || p.restUntil.CompareAndSwap(now, until) {
			return
		}
	}
}

// resting says whether the provider has asked to be left alone, and still means it.
func (p *provider) resting() bool {
	until := p.restUntil.Load()
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
