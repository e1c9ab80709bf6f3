package upstream

import (
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

const (
	// idleAfter is how long nobody may have asked for anything until the providers are
	// asked for their heads no more often than heads come: calls cost money.
	idleAfter = time.Minute
	// longestIdlePoll bounds the time between two questions all the same: within it a
	// provider that has died is noticed.
	longestIdlePoll = 10 * time.Second
)

// pace is when somebody asked for anything.
type pace struct{ lastUse atomic.Int64 } // monotonic

// used notes that a client's call was made. It runs with every call.
func (p *pace) used() {
	if now := monotonic.Now(); now-p.lastUse.Load() > int64(time.Second) {
		p.lastUse.Store(now)
	}
}

// pollEvery is how often a provider is asked for its head now: upstream.poll_every, or,
// while nobody asks for anything, twice between two blocks.
func (s *Set) pollEvery() time.Duration {
	every := s.settings.PollEvery.Get()
	if monotonic.Now()-s.pace.lastUse.Load() < int64(idleAfter) {
		return every
	}
	return max(every, min(s.heads.Interval()/2, longestIdlePoll))
}
