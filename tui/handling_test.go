package tui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

func TestSilenceAnAlert(t *testing.T) {
	s := story(t).keys("6", "s")
	s.shows("Silence", "BreakerOpen name=upstream/beta", " 15m [1h] 4h  1d ", "▸ Cancel")
	s.keys("enter").shows("cancelled: nothing was changed")
	if len(s.door.silenced) > 0 {
		t.Fatalf("silenced by enter on Cancel: %v", s.door.silenced)
	}
	// Letters that are keys elsewhere are text in the comment.
	s.keys("s", "right", "tab").typed("yes, q").keys("enter").shows("▸ Silence", "yes, q")
	s.keys("enter").shows("done: BreakerOpen: silenced for 4h")
	want := control.SilenceRequest{Fingerprint: "print of BreakerOpen", For: "4h", Comment: "yes, q"}
	if got := s.door.silenced["print of BreakerOpen"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("asked for %+v", got)
	}
	s.shows("◇ silenced", "until 13:00 by ops: yes, q")
	// The strip does not shout it, and counts it.
	if strip := strings.Split(s.text(), "\n")[2]; strings.Contains(strip, "BreakerOpen") || !strings.Contains(strip, "1 silenced") {
		t.Errorf("strip: %s", strip)
	}
	s.keys("s").shown("End the silence", "by ops: yes, q", "until 13:00").keys("y")
	s.shows("▲ firing")
}

func TestAcknowledgeAnAlert(t *testing.T) {
	s := story(t).keys("6", "a").shown("Acknowledge", "▸ Cancel").keys("tab").typed("on it").keys("esc", "y")
	s.shows("done: BreakerOpen: acknowledged", "◆ acked", "acknowledged by ops: on it, 1m ago", "1 acknowledged")
	s.keys("a").shows("Withdraw the acknowledgement", "by ops: on it")
	s.keys("y").shows("▲ firing")
	s.keys("G", "a").shows("only what is pending or firing can be acknowledged")
}

func (s *screen) shown(parts ...string) *screen {
	s.t.Helper()
	s.shows(parts...)
	return s
}

// A rule at rest is silenced by its name, before what is planned begins.
func TestSilenceARuleAtRest(t *testing.T) {
	s := story(t).keys("6", "G", "s")
	a, _ := s.selectedAlert()
	s.shows("every alert of the rule " + a.Name)
	s.keys("y")
	if _, ok := s.door.silenced[`[alertname="`+a.Name+`"]`]; !ok {
		t.Errorf("%v", s.door.silenced)
	}
}

func TestHandlingAsksToUnlock(t *testing.T) {
	for _, k := range []string{"a", "s"} {
		s := newScreen(t, 120, 40).keys("6", k)
		s.shows("Unlock for 10 minutes?")
		s.keys("esc")
		if len(s.door.silenced)+len(s.door.acked) > 0 {
			t.Errorf("%s was done on a locked screen", k)
		}
	}
}

func TestARefusedSilenceIsTold(t *testing.T) {
	s := story(t).keys("6", "s")
	s.door.err = errors.New("too many silences\x1b[2J")
	s.keys("y").shows("not done: too many silences")
}

// rung returns what goes to the terminal, past the frames, while do runs.
func rung(m *model, do func()) string {
	m.canvas.raw = nil
	do()
	return string(m.canvas.raw)
}

// The bell rings, and the desktop is told, once for each critical alert that
// begins to fire while someone looks.
func TestBellAndDesktop(t *testing.T) {
	at := time.Unix(1, 0)
	fires := func(name string, since time.Time) control.Alert {
		return control.Alert{Name: name, State: "firing", Severity: "critical", Summary: "bad\x1b]0;x\a", Since: since}
	}
	look := func(list ...control.Alert) control.Look { return cleanLook(control.Look{Alerts: list}) }
	silenced, acked, warning, pending := fires("B", at), fires("C", at), fires("D", at), fires("E", at)
	silenced.Silenced, acked.Acknowledged, warning.Severity, pending.State = &control.SilencedBy{}, &control.Acknowledged{}, "warning", "pending"
	m := newScreen(t, 80, 24, func(_ *fakeDoor, o *Options) { o.Bell, o.Desktop = true, true }).model
	m.tmux = false
	for name, c := range map[string]struct {
		before, now control.Look
		want        string
	}{
		"new":             {look(), look(fires("A", at)), "\a\x1b]9;bizra-top node-a: A: bad·]0;x·\a"},
		"two":             {look(), look(fires("A", at), fires("B", at)), "\a\x1b]9;bizra-top node-a: A: bad·]0;x·; B: bad·]0;x·\a"},
		"known":           {look(fires("A", at)), look(fires("A", at)), ""},
		"again":           {look(fires("A", at)), look(fires("A", at.Add(time.Hour))), "\a\x1b]9;bizra-top node-a: A: bad·]0;x·\a"},
		"nothing to ring": {look(), look(silenced, acked, warning, pending), ""},
	} {
		if got := rung(m, func() { m.attend(c.before, c.now) }); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	m.tmux = true
	if got := rung(m, func() { m.attend(look(), look(fires("A", at))) }); !strings.HasPrefix(got, "\a\x1bPtmux;") {
		t.Errorf("in tmux: %q", got)
	}
	m.bell, m.desktop = false, false
	if got := rung(m, func() { m.attend(look(), look(fires("A", at))) }); got != "" {
		t.Errorf("not asked for: %q", got)
	}
}

// What fires already when someone attaches, or when the node has restarted, rings
// nothing.
func TestNoBellForWhatIsOld(t *testing.T) {
	s := newScreen(t, 80, 24, func(_ *fakeDoor, o *Options) { o.Bell = true })
	l, _ := s.door.Look(t.Context(), 0)
	again := l
	again.Node.Started = again.Node.Started.Add(time.Second)
	again.Alerts = append(again.Alerts, control.Alert{Name: "New", State: "firing", Severity: "critical"})
	for name, look := range map[string]control.Look{"the same look": l, "a restart": again} {
		if got := rung(s.model, func() { s.looked(lookMsg{look: look, at: s.at}) }); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// An alerts view that nobody has moved in shows what fires; one that somebody has
// moved in stays where it is.
func TestAlertsBeginWithWhatFires(t *testing.T) {
	first := func(l *control.Look, name string) {
		l.Alerts = append([]control.Alert{{Name: name, State: "firing", Severity: "critical"}}, l.Alerts...)
	}
	s := newScreen(t, 80, 24).keys("6")
	s.door.spoil = func(l *control.Look) { first(l, "Newer") }
	s.after(time.Second)
	if a, _ := s.selectedAlert(); a.Name != "Newer" {
		t.Errorf("at %s", a.Name)
	}
	s.keys("g")
	s.door.spoil = func(l *control.Look) { first(l, "Newer"); first(l, "Newest") }
	s.after(time.Second)
	if a, _ := s.selectedAlert(); a.Name != "Newer" {
		t.Errorf("it moved to %s", a.Name)
	}
}
