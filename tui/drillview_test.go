package tui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/golden"
)

// steps are what the door was asked to practise.
func (d *fakeDoor) steps() []string {
	var out []string
	for _, a := range d.asked {
		if s, ok := strings.CutPrefix(a, "drill "); ok && s != "how it goes" {
			out = append(out, s)
		}
	}
	return out
}

func TestGoldenDrill(t *testing.T) {
	for name, c := range map[string]struct {
		real bool
		keys []string
	}{
		"running": {false, []string{"ctrl+u", "y", "s", "y", "j", "j", "j", "j", "enter", "y", "j", "j", "j", "enter", "y"}},
		"start":   {false, []string{"ctrl+u", "y", "right", "j", "right", "s"}},
		"fault":   {false, []string{"ctrl+u", "y", "G", "enter"}},
		"real":    {true, nil},
		"word":    {true, []string{"ctrl+u", "y", "s", "l", "o", "a"}},
		"past":    {false, []string{"s", "y", "y", "{"}},
	} {
		for size, wh := range sizes {
			t.Run(name+"-"+size, func(t *testing.T) {
				s := newScreen(t, wh[0], wh[1], func(d *fakeDoor, _ *Options) { d.real = c.real }).keys("D").keys(c.keys...)
				golden.RequireEqual(t, s.text())
			})
		}
	}
}

// A load is chosen with the arrows, starts after a question, and ends with one key.
func TestALoadIsStartedAndStopped(t *testing.T) {
	s := newScreen(t, 120, 40).keys("D", "right", "j", "right", "j", "left")
	s.shows("‹burst›", "‹200/s›", "‹30s›")
	s.keys("s").shows("Unlock for 10 minutes?")
	s.keys("y").shows("Start a load", "burst, at most 200/s for 30s", "▸ Cancel")
	s.keys("enter").shows("cancelled")
	if got := s.door.steps(); len(got) > 0 {
		t.Fatalf("asked for %v", got)
	}
	s.keys("s", "y").shows("Load: burst 200/s", "● 30s left", "■ stop", "most fail with transaction: undecided", "D drill!")
	s.after(time.Second)
	s.keys("s")
	if got := s.door.steps(); !slices.Equal(got, []string{"load burst 200 30s", "stop"}) {
		t.Errorf("asked for %v", got)
	}
	s.shows("ended", "▸ start")
	// The greatest rate is what the node takes.
	s.keys("g", "j", "right", "right", "right", "right", "right", "right", "right").shows("‹1.0k/s›")
}

// Faults are chosen one by one, and one key lifts all.
func TestFaultsAreChosenAndLifted(t *testing.T) {
	s := newScreen(t, 120, 40).keys("D", "x").shows2("no fault is in force")
	s.keys("ctrl+u", "y", "G", "enter").shows("Have it fail: database held", "It lifts itself after 2m00s", "▸ Cancel")
	s.keys("y", "k", "enter", "y").shows("2 in force", "✗ on 1m37s")
	s.keys("enter").shows("lifted: redis gone", "1 in force")
	s.keys("x").shows("all faults are lifted")
	s.hides("in force", "✗ on")
	want := []string{"fault database.held", "fault redis.gone", "lift redis.gone", "lift "}
	if got := s.door.steps(); !slices.Equal(got, want) {
		t.Errorf("asked for %v; want %v", got, want)
	}
}

// A node that is no demo offers no faults, and a load asks for its word.
func TestADrillOnARealNode(t *testing.T) {
	s := newScreen(t, 120, 40, func(d *fakeDoor, _ *Options) { d.real = true }).keys("D")
	s.shows("not a demo", "nothing of it is made to fail")
	s.hides("alpha slow")
	s.keys("ctrl+u", "y", "s", "y", "enter", "s")
	if got := s.door.steps(); len(got) > 0 {
		t.Fatalf("asked for %v without the word", got)
	}
	s.keys("esc", "s").typed("load").keys("enter")
	if got := s.door.steps(); !slices.Equal(got, []string{"load wave 100 1m0s"}) {
		t.Errorf("asked for %v", got)
	}
	// A viewer may not.
	s.door.role = "viewer"
	s.after(time.Second)
	s.keys("s").shows("your role is viewer")
}

// A node that knows no drills says so and is asked once.
func TestANodeWithoutDrills(t *testing.T) {
	s := newScreen(t, 120, 40, func(d *fakeDoor, _ *Options) { d.old = true }).keys("D")
	s.shows("the node does not offer this", "does not tell: older events, drills")
	n := len(s.door.asked)
	s.after(time.Second)
	if len(s.door.asked) != n {
		t.Errorf("asked again: %v", s.door.asked[n:])
	}
}
