package upstream

import (
	"sync"
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

// pace is how often heads come, and when somebody asked for anything.
type pace struct {
	lastUse atomic.Int64 // monotonic

	mu       sync.Mutex
	movedAt  int64         // monotonic, when the head moved; 0 before
	interval time.Duration // between two blocks, a moving average
}

// used notes that a client's call was made. It runs with every call.
func (p *pace) used() {
	if now := monotonic.Now(); now-p.lastUse.Load() > int64(time.Second) {
		p.lastUse.Store(now)
	}
}

// headMoved notes that the head has moved by so many blocks.
func (p *pace) headMoved(blocks uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := monotonic.Now()
	if p.movedAt != 0 {
		const weight = 8
		took := time.Duration(uint64(now-p.movedAt) / max(blocks, 1))
		if p.interval == 0 {
			p.interval = took
		}
		p.interval += (took - p.interval) / weight
	}
	p.movedAt = now
}

// pollEvery is how often a provider is asked for its head now: upstream.poll_every, or,
// while nobody asks for anything, twice between two blocks.
func (s *Set) pollEvery() time.Duration {
	every := s.settings.PollEvery.Get()
	if monotonic.Now()-s.pace.lastUse.Load() < int64(idleAfter) {
		return every
	}
	s.pace.mu.Lock()
	defer s.pace.mu.Unlock()
	return max(every, min(s.pace.interval/2, longestIdlePoll))
}
