package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/exp/golden"
)

const ownFile = `
views:
  - name: rollup
    panels:
      - {title: Share by provider, expr: waves, unit: ratio, legend: provider}
      - {title: One number, expr: one, unit: seconds, shape: number}
      - {title: Waves, expr: waves, unit: per_second, shape: spark, legend: provider}
      - {title: Bars, expr: waves, unit: ratio, shape: gauge, legend: provider}
      - {title: All of them, expr: many, shape: table}
      - {title: Nothing, expr: missing}
  - name: disk
    panels:
      - {title: Alone, expr: one, unit: bytes}
`

// ownScreen is a screen with the operator's panels, and what writes their file anew.
func ownScreen(t *testing.T, w, h int, change ...func(*fakeDoor, *Options)) (*screen, func(from, to string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "panels.yaml")
	write := func(from, to string) {
		if err := os.WriteFile(path, []byte(strings.Replace(ownFile, from, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("", "")
	return newScreen(t, w, h, append(change, func(_ *fakeDoor, o *Options) { o.Panels = path })...), write
}

func TestGoldenOwnView(t *testing.T) {
	for size, wh := range sizes {
		t.Run(size, func(t *testing.T) {
			s, _ := ownScreen(t, wh[0], wh[1])
			golden.RequireEqual(t, s.keys("9").text())
		})
	}
}

// The operator's views have keys, names in help and palette, focus, zoom and the past
// like those of the screen.
func TestOwnViews(t *testing.T) {
	s, _ := ownScreen(t, 160, 50)
	s.shows("9 rollup", "0 disk")
	s.keys("0").shows("Alone")
	s.keys(">").shows("Traffic")
	s.keys("<", "<").shows("Share by provider", "no such metric: missing", "One number")
	s.keys("tab", "z").shows("▸ Share by provider", "mean")
	s.keys("esc", "esc", "esc", ":").typed("view disk").keys("enter").shows("Alone")
	s.keys("?").typed("rollup").shows("rollup", "9")
	s.keys("esc", "9")
	asked := len(s.door.asked)
	s.after(time.Second)
	if n := len(s.door.asked) - asked; n != 6 {
		t.Errorf("%d expressions were asked for with a look; want 6", n)
	}
	s.keys("{").shows("PAST", "Share by provider")
	s.hides("the node is asked")
	at := s.own.at
	s.after(time.Second)
	if !s.own.at.Equal(at) || !at.Equal(s.past.at) {
		t.Errorf("in the past of %v the panels are of %v and %v", s.past.at, at, s.own.at)
	}
	s.keys("L")
	s.after(time.Second)
	if !s.own.at.Equal(s.look.Time) {
		t.Errorf("live at %v the panels are of %v", s.look.Time, s.own.at)
	}
	s.keys("p")
	s.after(10 * time.Second)
	if s.own.at.Equal(s.liveNow()) {
		t.Error("a frozen screen moves")
	}
}

// Panels that have no room come with the arrows.
func TestOwnViewScrolls(t *testing.T) {
	s, _ := ownScreen(t, 80, 24)
	s.keys("9").shows("Share by provider")
	s.hides("All of them")
	for range 9 {
		s.keys("down").text()
	}
	s.shows("Nothing", "All of them")
}

// A file is read again when it changes; a broken one says where, and the views before
// go on.
func TestOwnViewsAreReadAgain(t *testing.T) {
	s, write := ownScreen(t, 160, 50)
	s.keys("9")
	write("title: Waves", "title: Ripples on the water")
	s.reread()
	s.run(s.fetchOwn())
	s.shows("Ripples on the water")
	write("shape: number", "shape: pie")
	s.reread()
	s.shows("panels not taken: ", "panels.yaml:6:", "Ripples on the water")
	s.keys("0")
	write("  - name: disk\n    panels:\n      - {title: Alone, expr: one, unit: bytes}\n", "")
	s.reread()
	if s.view != viewOverview {
		t.Errorf("the view that is gone leaves the screen in view %d", s.view)
	}
	s.keys("0").shows("Traffic")
}

// No payload in a panel file, and none in the labels of a series, reaches the terminal.
func TestOwnViewsAreCleaned(t *testing.T) {
	for i, payload := range payloads {
		s, write := ownScreen(t, 160, 50, func(d *fakeDoor, _ *Options) { d.evil = payload })
		s.keys("9")
		checkClean(t, s, i)
		for _, from := range []string{"Share by provider", "rollup", "waves", "ratio", "number", "missing"} {
			write(from, yamlString(payload))
			s.reread()
			s.run(s.fetchOwn())
			checkClean(t, s, fmt.Sprint(i, " as ", from))
			s.keys("?")
			checkClean(t, s, fmt.Sprint(i, " in the help, as ", from))
			s.keys("esc", "tab", "z")
			checkClean(t, s, fmt.Sprint(i, " zoomed, as ", from))
			s.keys("esc", "esc", "9")
		}
	}
}

func TestOwnViewsAtEverySize(t *testing.T) {
	s, _ := ownScreen(t, 80, 24)
	s.keys("9")
	for w := 1; w <= 300; w += 1 + w/6 {
		for h := 1; h <= 100; h += 1 + h/5 {
			s.Update(tea.WindowSizeMsg{Width: w, Height: h})
			checkSize(t, s.draw(), w, h, "the operator's view")
		}
	}
}
