package breaker

import (
	"math/bits"
	"time"
)

// MaxWindowCalls is the longest window of calls. Two bits a call make it 25 KB.
const MaxWindowCalls = 100_000

// counts are the outcomes inside a window.
type counts struct {
	calls, failures, slow uint64
}

func (c *counts) add(o counts) {
	c.calls += o.calls
	c.failures += o.failures
	c.slow += o.slow
}

func (c *counts) sub(o counts) {
	c.calls -= o.calls
	c.failures -= o.failures
	c.slow -= o.slow
}

func outcome(failed, slow bool) counts {
	c := counts{calls: 1}
	if failed {
		c.failures = 1
	}
	if slow {
		c.slow = 1
	}
	return c
}

// window keeps the latest outcomes in fixed memory with running totals.
// at is a monotonic time since some start; it may stand still or go back.
type window interface {
	record(at time.Duration, failed, slow bool)
	totals(at time.Duration) counts
}

// slices is the number of steps in which a time window moves.
const slices = 10

// timeWindow is a ring of slices, each a tenth of the window long.
type timeWindow struct {
	width   time.Duration // of one slice
	ring    [slices]counts
	sum     counts
	current int64 // index of the newest slice since the start
}

func newTimeWindow(length time.Duration) *timeWindow {
	return &timeWindow{width: max(length/slices, time.Millisecond)}
}

func (w *timeWindow) record(at time.Duration, failed, slow bool) {
	w.advance(at)
	c := outcome(failed, slow)
	w.ring[w.current%slices].add(c)
	w.sum.add(c)
}

func (w *timeWindow) totals(at time.Duration) counts {
	w.advance(at)
	return w.sum
}

// advance drops the slices that have left the window. A clock that went back
// leaves the window where it is.
func (w *timeWindow) advance(at time.Duration) {
	now := int64(at / w.width)
	steps := min(now-w.current, slices)
	for i := range steps {
		slot := &w.ring[(now-i)%slices]
		w.sum.sub(*slot)
		*slot = counts{}
	}
	w.current = max(w.current, now)
}

// callWindow is a bit-packed ring: one bit an outcome for failed, one for slow.
type callWindow struct {
	failed, slow []uint64
	size, next   int
	sum          counts
}

func newCallWindow(size int) *callWindow {
	words := (size + 63) / 64
	return &callWindow{failed: make([]uint64, words), slow: make([]uint64, words), size: size}
}

func (w *callWindow) record(_ time.Duration, failed, slow bool) {
	word, bit := w.next/64, uint64(1)<<(w.next%64)
	if w.sum.calls == uint64(w.size) {
		w.sum.sub(outcome(w.failed[word]&bit != 0, w.slow[word]&bit != 0))
	}
	set(&w.failed[word], bit, failed)
	set(&w.slow[word], bit, slow)
	w.sum.add(outcome(failed, slow))
	if w.next++; w.next == w.size {
		w.next = 0
	}
}

func (w *callWindow) totals(time.Duration) counts { return w.sum }

// popcount counts the ring's bits, which the running totals must equal.
func (w *callWindow) popcount() (failures, slow uint64) {
	for i := range w.failed {
		failures += uint64(bits.OnesCount64(w.failed[i]))
		slow += uint64(bits.OnesCount64(w.slow[i]))
	}
	return failures, slow
}

func set(word *uint64, bit uint64, on bool) {
	if on {
		*word |= bit
	} else {
		*word &^= bit
	}
}
