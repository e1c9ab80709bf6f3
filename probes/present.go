package probes

import (
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

// anchor is a moment of the history and when that was by the monotonic clock.
type anchor struct{ at, monotonic int64 } // Unix milliseconds; nanoseconds

// anchor makes at, in Unix milliseconds, the newest moment of the history; now is when that
// is by the host's clock.
func (h *History) anchor(at int64, now time.Time) { h.newest.Store(&anchor{at, monotonic.Of(now)}) }

// Present returns what time it is in the history: that of the host's clock, unless it was
// set back behind the newest sample, which no sample can be written in front of. From there
// the history goes on as time passes, so that rates stay true, until the clock has caught up.
func (h *History) Present() time.Time {
	now := time.Now()
	return now.Add(h.leadAt(now)).Round(0) // the monotonic clock has no lead
}

// Lead returns by how much the history is ahead of the host's clock because that was set
// back; 0 as a rule.
func (h *History) Lead() time.Duration { return h.leadAt(time.Now()) }

func (h *History) leadAt(now time.Time) time.Duration {
	newest := h.newest.Load()
	if newest == nil {
		return 0
	}
	goes := time.UnixMilli(newest.at).Add(time.Duration(monotonic.Of(now) - newest.monotonic))
	return max(0, goes.Sub(now))
}
