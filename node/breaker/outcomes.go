package breaker

import "time"

// MaxCells bounds the cells of [Outcomes].
const MaxCells = 60

// Cell counts the outcomes of a part of the window. A call that was slow and failed is
// in both.
type Cell struct {
	Calls, Failures, Slow uint64
}

// Outcomes are a breaker's window in parts, the oldest first: at most [MaxCells].
type Outcomes struct {
	// Span is the time of one cell in a window of time, 0 in a window of calls.
	Span time.Duration
	// Each is the calls of one cell in a window of calls, 0 in a window of time. The
	// last cell may have fewer.
	Each  uint64
	Cells []Cell
}

// Outcomes returns what is in the window now. Slow calls that are still under way are
// in no cell. It reads at most [MaxWindowCalls] bits; calls that are counted meanwhile
// may be missing.
func (b *Breaker) Outcomes() Outcomes {
	b.lock()
	defer b.unlock() // opens nothing, like Snapshot
	if b.window.ring != nil {
		return b.window.ring.outcomes()
	}
	return b.window.time.outcomes()
}

func (w *timeWindow) outcomes() Outcomes {
	o := Outcomes{Span: w.width}
	for i := range int64(steps) {
		s := w.ring[(w.current+1+i)%steps]
		c := Cell{Failures: s.failures.Load(), Slow: s.slow.Load()}
		c.Calls = max(s.calls.Load(), c.Failures, c.Slow)
		o.Cells = append(o.Cells, c)
	}
	return o
}

func (w *callWindow) outcomes() Outcomes {
	next := w.next.Load()
	n := min(next, w.size)
	if n == 0 {
		return Outcomes{Each: 1}
	}
	o := Outcomes{Each: (n + MaxCells - 1) / MaxCells}
	o.Cells = make([]Cell, (n+o.Each-1)/o.Each)
	for i := range n {
		place := (next - n + i) % w.size
		c := &o.Cells[i/o.Each]
		c.Calls++
		if w.failures.has(place) {
			c.Failures++
		}
		if w.slow.has(place) {
			c.Slow++
		}
	}
	return o
}

func (r *bitRing) has(place uint64) bool {
	return r.words[place/64].Load()&(uint64(1)<<(place%64)) != 0
}
