package api

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// bodies bounds the memory that large requests take together. Those that fit into the
// buffers kept for all are not counted: api.max_in_flight bounds them.
type bodies struct {
	limit func() int64
	held  atomic.Int64
	shed  prometheus.Counter
}

// bodyCopies is how often a large body is in memory: as it came, as the parser keeps it,
// and once more for what it was read into before.
const bodyCopies = 3

// take takes so many bytes, if there is room. Alone, a request may take what it needs.
func (b *bodies) take(n int64) bool {
	if now := b.held.Add(n); now > b.limit() && now != n {
		b.held.Add(-n)
		b.shed.Inc()
		return false
	}
	return true
}

// hold takes memory for an exchange, which gives it back with release.
func (x *exchange) hold(n int64) bool {
	if n <= 0 {
		return true
	}
	if x.held > 0 { // what it has is no reason to refuse it more
		x.bodies.held.Add(-x.held)
		n += x.held
		x.held = 0
	}
	if !x.bodies.take(n) {
		return false
	}
	x.held = n
	return true
}
