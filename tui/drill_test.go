package tui

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

func TestDrillDownOfAnAlert(t *testing.T) {
	s := story(t).keys("6", "enter")
	s.shows("BreakerOpen name=upstream/beta", "What the rule compares", "━━ value", "── threshold", "▲ firing")
	d := s.overlay.(*alertDrill)
	if got := d.past.columns(comparedValue, "", s.at, seedStep, 1)[0]; got != wave(s.at, 97, 0.5, 0.3) {
		t.Errorf("the value is %v: not that of the alert's own series", got)
	}
	s.after(time.Second)
	s.after(compareEvery)
	if n := len(s.door.asked); n != 2 {
		t.Errorf("asked %v; want twice", s.door.asked)
	}
	s.keys("[").shows("PAST", "What the rule compares")
	if n := len(s.door.asked); n != 3 {
		t.Errorf("asked %v; want once more for the past", s.door.asked)
	}
	s.keys("L", "s").shows("Silence", "BreakerOpen name=upstream/beta")
	s.keys("esc", "G", "enter").hides("── threshold")
	s.keys("esc")
	s.door.err = errors.New("no such rule")
	s.keys("enter").shows("✗ no such rule", "fires after")
}

func TestWorst(t *testing.T) {
	p := func(pairs ...float64) (out []control.Point) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, control.Point{T: int64(pairs[i]), V: control.Number(pairs[i+1])})
		}
		return out
	}
	a, b := control.Series{Label: "name=a", Points: p(1, 5, 2, 1, 4, 1)}, control.Series{Label: "name=b", Points: p(2, 3, 3, 9)}
	for name, c := range map[string]struct {
		list []control.Series
		of   map[string]string
		want []control.Point
	}{
		"own":       {[]control.Series{a, b}, map[string]string{"name": "b", "class": "x"}, b.Points},
		"greatest":  {[]control.Series{a, b}, nil, p(1, 5, 2, 3, 3, 9, 4, 1)},
		"unlabeled": {[]control.Series{{Points: a.Points}}, map[string]string{"name": "b"}, a.Points},
		"none":      {nil, nil, nil},
	} {
		if got := worst(c.list, c.of); !reflect.DeepEqual(got, c.want) && !(len(got) == 0 && len(c.want) == 0) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
	if !slices.Equal(a.Points, p(1, 5, 2, 1, 4, 1)) {
		t.Error("a series was changed")
	}
}

func TestDrillDownOfABreaker(t *testing.T) {
	s := story(t).keys("4", "j", "enter")
	s.shows("upstream/beta", "▁ closed", "next probe", "11:59:19 ○ open", "from closed", "3 probes in a row succeeded")
	// It is asked again when the breaker has moved, and not before.
	count := func() (n int) {
		for _, a := range s.door.asked {
			if a == "transitions upstream/beta" {
				n++
			}
		}
		return n
	}
	asked := count()
	s.door.spoil = func(l *control.Look) { l.Breakers[1].Since = fakeStart.Add(-41 * time.Second) }
	s.after(time.Second)
	if n := count(); n != asked {
		t.Errorf("asked %v though the breaker has not moved", s.door.asked)
	}
	s.door.spoil = func(l *control.Look) { l.Breakers[1].Since = fakeStart }
	s.after(time.Second)
	if n := count(); n != asked+1 {
		t.Errorf("asked %v though the breaker has moved", s.door.asked)
	}
	s.keys("{").shows("PAST", "probing after 250ms")
	s.hides("62.5% of 48 calls failed")
	s.keys("L", "o").shows("Force open upstream/beta")
}

// The strip shows the state of each moment, and what came before the first step.
func TestStatesOverTime(t *testing.T) {
	at := func(s int) time.Time { return fakeStart.Add(time.Duration(s) * time.Second) }
	list := []control.Transition{{From: "closed", To: "open", At: at(-6)}, {From: "open", To: "half-open", At: at(-4)},
		{From: "half-open", To: "closed", At: at(-2)}, {From: "closed", To: "open", At: at(2)}}
	for w, want := range map[int]string{10: "▁▁▁▇▇▄▄▁▁▁", 5: "▄▄▁▁▁", 1: "▁"} {
		if got := states(list, at(0), time.Second, w).String(); got != want {
			t.Errorf("%d columns: %q; want %q", w, got, want)
		}
	}
	if got := states(nil, at(0), time.Second, 3).String(); got != "   " {
		t.Errorf("nothing known: %q", got)
	}
}
