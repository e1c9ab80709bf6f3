package breaker

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// MaxWindowCalls is the longest window of calls. Two bits a call make it 25 KB.
const MaxWindowCalls = 100_000

// counts are the outcomes inside a window.
type counts struct {
	calls, failures, slow uint64
}

// window keeps the latest outcomes in fixed memory. One of its parts is nil.
type window struct {
	time *timeWindow
	ring *callWindow
}

func newWindow(l limits, at time.Duration) window {
	if l.windowKind == "calls" {
		return window{ring: newCallWindow(l.windowCalls)}
	}
	return window{time: newTimeWindow(l.window, at)}
}

// advance makes the window end at at. The caller holds the breaker's lock.
func (w window) advance(at time.Duration) {
	if w.time != nil {
		w.time.advance(at)
	}
}

// record counts one call. It may be called from any goroutine for a window of
// calls, and under the breaker's lock for one of time.
func (w window) record(failed, slow bool) {
	if w.ring != nil {
		w.ring.record(failed, slow)
		return
	}
	w.time.newest().record(failed, slow)
}

// totals counts the outcomes in the window. The caller holds the breaker's lock;
// calls that are counted meanwhile may be missing.
func (w window) totals() counts {
	if w.ring != nil {
		return w.ring.totals()
	}
	return w.time.totals()
}

// recorded returns a number that changes as calls are recorded, and may also
// change when the window moves.
func (w window) recorded() uint64 {
	if w.ring != nil {
		return w.ring.next.Load()
	}
	return w.time.newest().calls.Load()
}

// steps is the number of steps in which a time window moves.
const steps = 10

// slice counts the outcomes of a tenth of a time window. Successes reach it
// through the pages on which they were counted.
type slice struct {
	calls, failures, slow atomic.Uint64
}

func (s *slice) record(failed, slow bool) {
	s.calls.Add(1)
	if failed {
		s.failures.Add(1)
	}
	if slow {
		s.slow.Add(1)
	}
}

// timeWindow is a ring of slices. A slice that leaves is dropped, never used
// again: who was about to write to it writes to nobody's slice.
type timeWindow struct {
	width   time.Duration // of one slice
	ring    [steps]*slice
	current int64 // index of the newest slice since the start
}

func newTimeWindow(length, at time.Duration) *timeWindow {
	w := &timeWindow{width: max(length/steps, time.Millisecond)}
	w.current = int64(at / w.width)
	for i := range w.ring {
		w.ring[i] = new(slice)
	}
	return w
}

func (w *timeWindow) newest() *slice { return w.ring[w.current%steps] }

// advance drops the slices that have left the window. at never goes back.
func (w *timeWindow) advance(at time.Duration) {
	now := int64(at / w.width)
	for i := range min(now-w.current, steps) {
		w.ring[(now-i)%steps] = new(slice)
	}
	w.current = max(w.current, now)
}

func (w *timeWindow) totals() (c counts) {
	for _, s := range w.ring {
		c.failures += s.failures.Load()
		c.slow += s.slow.Load()
		c.calls += s.calls.Load() // last, so that no ratio exceeds 1
	}
	return c
}

// callWindow is a bit-packed ring: one bit an outcome for failed, one for slow.
// Any number of goroutines may write. Each claims a place and turns its bits by
// an atomic operation that tells what they were, so the running counts move by
// exactly what the bits do: once the writers are quiet they equal the popcount.
type callWindow struct {
	next           atomic.Uint64 // calls ever recorded; the next place, modulo size
	_              [56]byte      // a cache line of its own: every call writes it
	size           uint64
	failures, slow bitRing
}

func newCallWindow(size int) *callWindow {
	words := (size + 63) / 64
	w := &callWindow{size: uint64(size)}
	w.failures.words = make([]atomic.Uint64, words)
	w.slow.words = make([]atomic.Uint64, words)
	return w
}

func (w *callWindow) record(failed, slow bool) {
	place := (w.next.Add(1) - 1) % w.size
	w.failures.set(place, failed)
	w.slow.set(place, slow)
}

func (w *callWindow) totals() counts {
	return counts{min(w.next.Load(), w.size), w.failures.count(), w.slow.count()}
}

// bitRing is a fixed row of bits and how many of them are set.
type bitRing struct {
	ones  atomic.Int64
	words []atomic.Uint64
}

func (r *bitRing) set(place uint64, on bool) {
	word, bit := &r.words[place/64], uint64(1)<<(place%64)
	if on {
		if word.Or(bit)&bit == 0 {
			r.ones.Add(1)
		}
	} else if word.Load()&bit != 0 { // seldom: most calls replace one that went well
		if word.And(^bit)&bit != 0 {
			r.ones.Add(-1)
		}
	}
}

// count returns the running count. Between a bit's turn and its count's a reader
// may be early by as many as there are writers.
func (r *bitRing) count() uint64 { return uint64(max(r.ones.Load(), 0)) }

// popcount counts the bits themselves.
func (r *bitRing) popcount() (n uint64) {
	for i := range r.words {
		n += uint64(bits.OnesCount64(r.words[i].Load()))
	}
	return n
}
