package cache

import (
	"testing"
	"time"
)

// BenchmarkHitMetrics is what a hit of L1 pays for its metrics, with the reading of
// the clock that expiry needs too.
func BenchmarkHitMetrics(b *testing.B) {
	m := newMetrics()
	b.ReportAllocs()
	for b.Loop() {
		m.hit(L1, Block, time.Now())
	}
}
