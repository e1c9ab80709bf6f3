package breaker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
)

var errTest = errors.New("refused")

// sums adds the cells.
func sums(o breaker.Outcomes) (c breaker.Cell) {
	for _, one := range o.Cells {
		c.Calls += one.Calls
		c.Failures += one.Failures
		c.Slow += one.Slow
	}
	return c
}

// The cells of a window of time are its slices, the oldest first.
func TestOutcomesOfTime(t *testing.T) {
	b, clock, _ := build(t, map[string]string{"window": "100s", "minimum_calls": "1000"})
	call(t, b, errTest)
	clock.add(30 * time.Second)
	call(t, b, nil)
	call(t, b, nil)
	o := b.Outcomes()
	if o.Span != 10*time.Second || len(o.Cells) != 10 || o.Each != 0 {
		t.Fatalf("a window of 100 s is %+v", o)
	}
	if got := o.Cells[9]; got != (breaker.Cell{Calls: 2}) {
		t.Errorf("the newest cell is %+v", got)
	}
	if got := o.Cells[6]; got != (breaker.Cell{Calls: 1, Failures: 1}) {
		t.Errorf("the cell of 30 s ago is %+v", got)
	}
	clock.add(200 * time.Second)
	if got := sums(b.Outcomes()); got != (breaker.Cell{}) {
		t.Errorf("after the window: %+v", got)
	}
}

// The cells of a window of calls are its bits in the order of the calls, also after
// the ring has turned over; there are never too many.
func TestOutcomesOfCalls(t *testing.T) {
	b, _, _ := build(t, map[string]string{"window_kind": "calls", "window_calls": "100", "minimum_calls": "1000"})
	if o := b.Outcomes(); len(o.Cells) != 0 {
		t.Fatalf("an empty window has cells: %+v", o)
	}
	for range 5 {
		call(t, b, nil)
	}
	call(t, b, errTest)
	o := b.Outcomes()
	if o.Each != 1 || o.Span != 0 || len(o.Cells) != 6 || o.Cells[5].Failures != 1 || sums(o).Failures != 1 {
		t.Fatalf("six calls: %+v", o)
	}
	for i := range 250 {
		err := error(nil)
		if i >= 240 {
			err = errTest
		}
		call(t, b, err)
	}
	o = b.Outcomes()
	if len(o.Cells) > breaker.MaxCells || sums(o) != (breaker.Cell{Calls: 100, Failures: 10}) {
		t.Fatalf("a full ring: %+v", o)
	}
	last := uint64(0)
	for _, c := range o.Cells[len(o.Cells)-5:] {
		last += c.Failures
	}
	if o.Each != 2 || last != 10 {
		t.Errorf("the newest ten calls failed: %+v", o)
	}
}
