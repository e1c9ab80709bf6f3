package tui

import (
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Tab reaches every panel of every view and says so without colours; z shows it over
// the whole body, and esc goes back.
func TestEveryPanelCanBeZoomed(t *testing.T) {
	for _, size := range []string{"40x10", "80x24", "120x40", "200x50"} {
		wh := sizes[size]
		t.Run(size, func(t *testing.T) {
			s := newScreen(t, wh[0], wh[1])
			for v := viewOverview; v < viewEnd; v++ {
				s.show(v)
				panels := s.viewPanels(s.body())
				if len(panels) == 0 {
					t.Fatalf("%s has no panels", viewNames[v])
				}
				for i := range panels {
					s.keys("tab")
					panels = s.viewPanels(s.body())
					if at := s.focused(panels); at != i {
						t.Fatalf("%s: tab %d reaches panel %d", viewNames[v], i+1, at)
					}
					if n := strings.Count(s.text(), focusMark); n != 1 {
						t.Fatalf("%s: %d panels look focused with the focus on %s:\n%s", viewNames[v], n, panels[i].id, s.text())
					}
					s.keys("z").shows(focusMark)
					checkSize(t, s.draw(), wh[0], wh[1], viewNames[v]+" with "+panels[i].id+" zoomed")
					if len(panels[i].plots) > 0 {
						s.shows(" mean ", " max ")
					}
					s.keys("esc")
					if s.zoomed || s.view != v {
						t.Fatalf("%s: esc leaves the zoom of %s to %s", viewNames[v], panels[i].id, viewNames[s.view])
					}
				}
				s.keys("tab")
				if at := s.focused(s.viewPanels(s.body())); at != 0 {
					t.Errorf("%s: after the last panel comes panel %d", viewNames[v], at)
				}
				s.keys("esc").hides(focusMark)
			}
		})
	}
}

// A panel has an id of its own within its view: tab would stop there for ever.
func TestPanelsHaveDifferentNames(t *testing.T) {
	s := newScreen(t, 80, 24)
	for v := viewOverview; v < viewEnd; v++ {
		s.show(v)
		for w := 20; w < 320; w += 13 {
			for h := 5; h < 100; h += 7 {
				s.Update(tea.WindowSizeMsg{Width: w, Height: h})
				ids := map[string]bool{}
				for _, p := range s.viewPanels(s.body()) {
					if ids[p.id] {
						t.Fatalf("%s at %dx%d has two panels %q", viewNames[v], w, h, p.id)
					}
					ids[p.id] = true
				}
			}
		}
	}
}

func TestEnterZoomsWhatIsNoTable(t *testing.T) {
	s := newScreen(t, 120, 40).keys("4", "j", "tab", "enter")
	if _, ok := s.overlay.(*breakerDrill); !ok {
		t.Fatal("enter on the table of breakers drills down no more")
	}
	s.keys("esc", "tab", "tab", "enter")
	if !s.zoomed {
		t.Fatal("enter on a chart does not zoom it")
	}
	s.shows("Failure ratio of upstream/beta", "mean")
	s.keys("4")
	if s.zoomed {
		t.Error("another view is zoomed from the start")
	}
}

// Arrows bring up the charts that have no room; the numbers are those of the columns
// that are drawn.
func TestZoomScrollsItsCharts(t *testing.T) {
	s := newScreen(t, 80, 24).keys("2", "z")
	s.shows("▸ Connections", "↑↓ 3 more")
	s.hides("Use of a connection")
	s.keys("down", "down", "down").shows("▸ Use of a connection")
	s.keys("down").shows("▸ Use of a connection")
	s.keys("up").shows("▸ Wait for a connection")
}

// A zoomed chart follows the screen into the past and stands still with it.
func TestZoomInThePastAndFrozen(t *testing.T) {
	s := newScreen(t, 120, 40).keys("2", "z", "{")
	s.shows("PAST", "▸ Connections", "11:55:00")
	s.keys("L", "p").shows("PAUSED", "▸ Connections")
	before := strings.Join(strings.Split(s.text(), "\n")[6:], "\n")
	s.after(20 * time.Second)
	if now := strings.Join(strings.Split(s.text(), "\n")[6:], "\n"); now != before {
		t.Error("a frozen chart moves")
	}
}

// A mark is never in the place of the axis' words.
func TestMarksHideNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var marks []happened
	for i := range 12 {
		marks = append(marks, happened{at: now.Add(time.Duration(-i) * time.Second), alert: true, ink: inkBad})
	}
	for n := 16; n < 200; n += 7 {
		axis := timeAxis(gutter, n, time.Second, "now")
		got := marked(axis, marks, now, n, time.Second).String()
		for _, word := range strings.Fields(axis.String()) {
			if !strings.Contains(got, word) {
				t.Fatalf("%d columns: %q has lost %q", n, got, word)
			}
		}
		if !strings.Contains(got, "▲") {
			t.Fatalf("%d columns: %q has no mark", n, got)
		}
	}
}
