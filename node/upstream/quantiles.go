package upstream

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

// recent is a log-linear histogram of microseconds over the last one to two
// spans of time: 32 steps an octave, so a quantile is at most 1/32 too high
// (HdrHistogram's layout with 5 significant bits).
type recent struct {
	windows [2][octaves * steps]atomic.Uint32
	current atomic.Uint32
	turned  atomic.Int64 // Unix nanoseconds of the last turn
}

const (
	octaves = 28 // up to 2^32 us, over an hour
	steps   = 32
	span    = 30 * time.Second
)

func bucket(us uint64) int {
	if us < steps {
		return int(us)
	}
	shift := bits.Len64(us) - 6
	return min((shift+1)*steps+int(us>>shift)-steps, octaves*steps-1)
}

// upper returns the largest value of a bucket.
func upper(i int) uint64 {
	if i < steps {
		return uint64(i)
	}
	shift := i/steps - 1
	return uint64(i%steps+steps+1)<<shift - 1
}

func (l *recent) observe(d time.Duration) {
	w := l.turn(time.Now())
	l.windows[w][bucket(uint64(max(d, 0).Microseconds()))].Add(1)
}

// turn starts a new window when the current one is a span old.
func (l *recent) turn(now time.Time) uint32 {
	w, t := l.current.Load(), l.turned.Load()
	if at := monotonic.Of(now); at-t < int64(span) || !l.turned.CompareAndSwap(t, at) {
		return w
	}
	next := 1 - w
	for i := range l.windows[next] {
		l.windows[next][i].Store(0)
	}
	l.current.Store(next)
	return next
}

// quantiles returns the latency below which each share of the calls stayed, and
// 0 for all when there were no calls.
func (l *recent) quantiles(shares ...float64) []time.Duration {
	var counts [octaves * steps]uint64
	var total uint64
	for i := range counts {
		counts[i] = uint64(l.windows[0][i].Load()) + uint64(l.windows[1][i].Load())
		total += counts[i]
	}
	out := make([]time.Duration, len(shares))
	for k, share := range shares {
		rank, sum := uint64(share*float64(total)), uint64(0)
		for i, n := range counts {
			if sum += n; sum > rank || (sum == total && total > 0) {
				out[k] = time.Duration(upper(i)) * time.Microsecond
				break
			}
		}
	}
	return out
}
