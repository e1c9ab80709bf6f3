package tui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

func TestOutcomeCells(t *testing.T) {
	for name, c := range map[string]struct {
		cell control.Cell
		w    int
		want string
	}{
		"none":            {control.Cell{}, 4, "····"},
		"all ok":          {control.Cell{Calls: 9}, 4, "▪▪▪▪"},
		"all failed":      {control.Cell{Calls: 9, Failures: 9}, 4, "✗✗✗✗"},
		"half":            {control.Cell{Calls: 10, Failures: 5}, 4, "✗✗▪▪"},
		"one of many":     {control.Cell{Calls: 10000, Failures: 1}, 4, "✗▪▪▪"},
		"few went well":   {control.Cell{Calls: 10000, Failures: 9999}, 4, "✗✗✗▪"},
		"all three":       {control.Cell{Calls: 30, Failures: 1, Slow: 1}, 4, "✗~▪▪"},
		"one column":      {control.Cell{Calls: 30, Failures: 1, Slow: 1}, 1, "✗"},
		"slow ones":       {control.Cell{Calls: 4, Slow: 4}, 2, "~~"},
		"slow and failed": {control.Cell{Calls: 4, Failures: 4, Slow: 4}, 2, "✗✗"},
		"more than calls": {control.Cell{Calls: 4, Failures: 40, Slow: 9}, 2, "✗✗"},
	} {
		if got := outcomeCell(c.cell, c.w).String(); got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}

// Whatever a node answers, the strip stays within its width.
func TestOutcomeStripStaysInside(t *testing.T) {
	for n := range control.MaxCells + 1 {
		for w := 1; w < 150; w += 4 {
			o := control.Outcomes{Each: 3, Cells: make([]control.Cell, n)}
			for _, l := range outcomeStrip(o, w)[:1] {
				if n > 0 && l.width() > w {
					t.Fatalf("%d cells in %d columns take %d", n, w, l.width())
				}
			}
		}
	}
}

// The window of a breaker follows while its drill-down is open, and a node that does
// not tell is asked once.
func TestBreakerDrillShowsTheWindow(t *testing.T) {
	asked := func(s *screen) int {
		return len(slices.DeleteFunc(slices.Clone(s.door.asked), func(a string) bool { return !strings.HasPrefix(a, "outcomes ") }))
	}
	s := newScreen(t, 120, 40).keys("4", "j", "enter")
	s.shows("Outcomes in the window", "✗ failed", "~ slow", "▪ ok", "a cell is 10s", "-1m40s", "62.5% of 48 calls failed")
	n := asked(s)
	s.after(time.Second)
	if asked(s) != n+1 {
		t.Errorf("the window was asked for %d times after a look; want %d", asked(s), n+1)
	}
	s.keys("[").shows("nobody keeps what was in the window then")

	s = newScreen(t, 120, 40, func(d *fakeDoor, _ *Options) { d.old = true }).keys("4", "j", "enter")
	s.shows("the node does not offer this: it is of another version", "does not tell: older events, what is in a breaker's window")
	n = asked(s)
	s.after(time.Second)
	if asked(s) != n {
		t.Error("a node that does not tell is asked again and again")
	}
}
