package head

import "time"

// Decide takes the votes.
func (t *Tracker) Decide(now time.Time) { t.decide(now) }
