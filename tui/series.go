package tui

import (
	"math"
	"sort"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// What the screen asks the node to remember for it at the start, and what it
// keeps itself.
const (
	seedSpan  = 15 * time.Minute
	seedStep  = 5 * time.Second
	maxPoints = 1000 // of one series: 15 minutes and some, at one a second
	maxSeries = 600
	// carry is how long a point stands for what follows it when nothing does.
	carry = 2 * int64(seedStep/time.Millisecond)
)

// history is the recent past of every panel.
type history struct {
	rings map[seriesKey]*ring
}

type seriesKey struct{ panel, label string }

// ring holds at most maxPoints points in the order of their time.
type ring struct{ points []control.Point }

func (r *ring) add(p control.Point) {
	if n := len(r.points); n > 0 && p.T <= r.points[n-1].T {
		return
	}
	if len(r.points) >= 2*maxPoints {
		r.points = append(r.points[:0], r.points[len(r.points)-maxPoints:]...)
	}
	r.points = append(r.points, p)
}

func newHistory() *history { return &history{rings: map[seriesKey]*ring{}} }

func (h *history) ring(panel, label string) *ring {
	k := seriesKey{panel, label}
	r := h.rings[k]
	if r == nil {
		if len(h.rings) >= maxSeries {
			return &ring{}
		}
		r = &ring{}
		h.rings[k] = r
	}
	return r
}

// add appends one look's values.
func (h *history) add(t time.Time, panels map[string][]control.Value) {
	ms := t.UnixMilli()
	for id, values := range panels {
		for _, v := range values {
			n := control.Number(math.NaN())
			if v.Value != nil {
				n = *v.Value
			}
			h.ring(id, v.Label).add(control.Point{T: ms, V: n})
		}
	}
}

// seed puts what the node remembers before what the screen saw itself.
func (h *history) seed(past map[string][]control.Series) {
	for id, list := range past {
		for _, s := range list {
			r := h.ring(id, s.Label)
			own := r.points
			r.points = nil
			for _, p := range s.Points[max(0, len(s.Points)-maxPoints):] {
				if len(own) > 0 && p.T >= own[0].T {
					break
				}
				r.add(p)
			}
			r.points = append(r.points, own...)
		}
	}
}

// peak returns the greatest value of a series that is kept, -Inf when there is none.
func (h *history) peak(panel, label string) float64 {
	top := math.Inf(-1)
	if r := h.rings[seriesKey{panel, label}]; r != nil {
		for _, p := range r.points {
			if v := float64(p.V); v > top {
				top = v
			}
		}
	}
	return top
}

// columns returns the greatest value in each of n spans of wall time, the last
// one being that of now. A span without points takes the value before it for a
// short while, then it is NaN. Spans are aligned to the clock, so a column keeps
// its value until it leaves.
func (h *history) columns(panel, label string, now time.Time, step time.Duration, n int) []float64 {
	if n <= 0 {
		return nil
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	r := h.rings[seriesKey{panel, label}]
	if r == nil {
		return out
	}
	ms := step.Milliseconds()
	start := (now.UnixMilli()/ms - int64(n) + 1) * ms
	from := sort.Search(len(r.points), func(i int) bool { return r.points[i].T >= start-carry })
	last, lastAt := math.NaN(), int64(math.MinInt64/2)
	i := from
	for c := range out {
		end := start + int64(c+1)*ms
		seen := false
		for ; i < len(r.points) && r.points[i].T < end; i++ {
			v := float64(r.points[i].V)
			if math.IsInf(v, 0) {
				v = math.NaN()
			}
			last, lastAt = v, r.points[i].T
			if r.points[i].T < start || math.IsNaN(v) {
				continue
			}
			if !seen || v > out[c] {
				out[c], seen = v, true
			}
		}
		if !seen && end-ms-lastAt <= carry {
			out[c] = last
		}
	}
	return out
}
