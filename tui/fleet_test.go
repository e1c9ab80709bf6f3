package tui

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// fakeFleet is a Prometheus with some nodes, each like the fake node but for its name.
type fakeFleet struct {
	*fakeDoor
	names  []string
	chosen string
	away   error
}

func (f *fakeFleet) Source() string { return "http://prom:9090" }

func (f *fakeFleet) Nodes(context.Context) ([]string, error) { return f.names, f.away }

func (f *fakeFleet) Choose(name string) { f.chosen = name }

func (f *fakeFleet) Look(ctx context.Context, since uint64) (control.Look, error) {
	if f.chosen == "" || f.away != nil {
		return control.Look{}, errors.Join(f.away, errors.New("nothing is chosen"))
	}
	l, err := f.fakeDoor.Look(ctx, since)
	l.Node.Name, l.Events = f.chosen, nil
	for i := range l.Upstreams {
		l.Upstreams[i].Host, l.Upstreams[i].LastError, l.Upstreams[i].Lacks = "", "", nil
	}
	return l, err
}

func newFleet(t *testing.T, chosen string, names ...string) (*screen, *fakeFleet) {
	t.Helper()
	f := &fakeFleet{fakeDoor: newFakeDoor(), names: names, chosen: chosen}
	m, err := newModel(t.Context(), f, Options{Theme: "dark", Choose: chosen == ""})
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{model: m, t: t, door: f.fakeDoor, at: fakeStart}
	m.now = func() time.Time { return s.at }
	f.now = m.now
	m.w, m.h, m.sync = 120, 40, false
	s.run(m.fetchPanels())
	if m.unchosen {
		s.run(m.fetchNodes())
	} else {
		s.run(m.lookNow())
	}
	return s, f
}

func TestAFleetAsksWhichNode(t *testing.T) {
	s, f := newFleet(t, "", "10.0.0.1:3000", "10.0.0.2:3000", "bad\x1b[2J")
	s.shows("3 nodes of http://prom:9090", "10.0.0.1:3000", "10.0.0.2:3000", "NO NODE", "[RO]")
	s.keys("down", "enter")
	s.shows("10.0.0.2:3000", "via http://prom:9090", "LIVE", "[RO]", "a Prometheus keeps none", "another node")
	if f.chosen != "10.0.0.2:3000" {
		t.Errorf("%q", f.chosen)
	}
	s.keys("n")
	s.shows("shown now")
	s.keys("up", "enter")
	s.shows("10.0.0.1:3000")
	s.hides("10.0.0.2:3000")
}

func TestTheOnlyNodeOfAFleetIsTaken(t *testing.T) {
	s, _ := newFleet(t, "", "10.0.0.1:3000")
	s.shows("10.0.0.1:3000", "LIVE")
}

func TestAFleetIsReadOnly(t *testing.T) {
	s, _ := newFleet(t, "10.0.0.1:3000", "10.0.0.1:3000")
	for view, key := range map[string]string{"4": "o", "5": "d", "7": "e", "3": "f", "2": "right"} {
		s.keys(view, "down", key)
		s.shows("a Prometheus only shows")
		if s.overlay != nil {
			t.Errorf("%s in view %s opens a dialog", key, view)
		}
	}
	s.keys("ctrl+u")
	s.shows("a Prometheus only shows", "[RO]")
	s.keys("7", "enter")
	s.shows("the strongest source is first")
	s.keys("e")
	if s.overlay != nil || s.isUnlocked() {
		t.Error("the screen can be unlocked")
	}
	s.keys("5")
	s.shows("host         –", "last error   –")
	s.keys("8")
	s.shows("a Prometheus keeps none")
}

func TestAFleetThatIsAwayComesBackByItself(t *testing.T) {
	s, f := newFleet(t, "", "10.0.0.1:3000")
	f.away = errors.New("no answer from http://prom:9090")
	s.after(2 * time.Second)
	s.shows("LOST", "via http://prom:9090")
	f.away = nil
	s.after(2 * time.Second)
	s.shows("LIVE")

	// Away from the start.
	s, f = newFleet(t, "")
	s.shows("NO NODE", "has scraped no node within the last hour")
	f.away = errors.New("no answer from http://prom:9090")
	s.run(s.fetchNodes())
	s.shows("NO NODE", "no answer from http://prom:9090")
	f.names, f.away = []string{"10.0.0.1:3000"}, nil
	s.run(s.ticked(tickMsg{s.generation}))
	s.shows("LIVE", "10.0.0.1:3000")
}

// What the node before still answers is not taken for the one that is chosen now.
func TestAnswersOfAnotherNodeAreDropped(t *testing.T) {
	s, _ := newFleet(t, "a", "a", "b")
	late := s.lookNow()() // asked of a, and not yet there
	s.run(s.choose("b"))
	s.Update(late)
	s.shows(" b  via")
	if s.look.Node.Name != "b" {
		t.Errorf("%q", s.look.Node.Name)
	}
}
