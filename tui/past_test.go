package tui

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// Every panel and every table is that of the moment, and says so.
func TestTravelInTime(t *testing.T) {
	s := story(t).keys("2", "[")
	at := fakeStart.Add(-shortJump)
	if len(s.door.visited) != 1 || !s.door.visited[0].Equal(at) {
		t.Fatalf("asked for %v; want %v", s.door.visited, at)
	}
	then, _ := s.door.LookAt(t.Context(), at)
	s.shows("PAST 11:59:50 -10s", "[RO]", whole(then.Pool.InUse)+" of 14", "11 connections")
	s.hides("LIVE")
	if got, want := s.value("request_rate", ""), float64(*then.Panels["request_rate"][0].Value); got != want {
		t.Errorf("a panel shows %v; want %v", got, want)
	}
	columns := s.history.columns("request_rate", "", s.nodeNow(), sparkStep, 1)
	if want := float64(*then.Panels["request_rate"][0].Value); columns[0] != want {
		t.Errorf("the newest column is %v; want %v", columns[0], want)
	}
	s.keys("{", "}").shows("PAST 11:59:50")
	s.keys("4", "j").shows("last error   –", "reason       –")
	s.keys("]").shows("LIVE 1s", "deadline exceeded")
	s.keys("2").shows("14 connections")
	s.keys("]").shows("this is now")
}

func TestNothingIsChangedInThePast(t *testing.T) {
	s := onTrial(t, 120, 40, 0).keys("[")
	s.door.changes = nil
	for _, keys := range [][]string{{"2", "e"}, {"2", "right"}, {"4", "o"}, {"6", "s"}, {"y"}, {"u"}, {"U"}, {"w"}, {"ctrl+u"}} {
		s.keys(keys...).shows("this is the past: L returns to now")
		if s.overlay != nil {
			t.Errorf("%v opens a dialog", keys)
		}
	}
	if len(s.door.changes)+len(s.door.acts)+len(s.door.asked)+s.door.undos > 0 {
		t.Error("the node was asked to change")
	}
	// What is on trial counts down by the present.
	s.shows("goes back in 1:47")
	s.after(7 * time.Second)
	s.shows("goes back in 1:40", "PAST")
	s.keys("L").shows("LIVE", "[RW")
	s.keys("y")
	if got := s.door.asked; len(got) != 1 || got[0] != "keep 2" {
		t.Errorf("asked for %v", got)
	}
}

// Keys pressed faster than the node answers ask it once more, for the last moment.
func TestTravelDoesNotQueue(t *testing.T) {
	s := newScreen(t, 80, 24)
	_, first := s.Update(keyPress("["))
	for range 20 {
		if _, cmd := s.Update(keyPress("[")); cmd != nil {
			t.Fatal("two questions at once")
		}
	}
	s.shows("PAST 11:56:30", "…")
	s.run(first)
	if n := len(s.door.visited); n != 2 || !s.door.visited[1].Equal(fakeStart.Add(-210*time.Second)) {
		t.Errorf("asked for %v", s.door.visited)
	}
	// An answer that comes after the return to now is dropped.
	_, late := s.Update(keyPress("["))
	s.keys("L")
	s.run(late)
	s.shows("LIVE 1s")
	if !s.look.Time.Equal(fakeStart) {
		t.Errorf("the screen shows %v", s.look.Time)
	}
}

func TestEventsOfThePast(t *testing.T) {
	s := newScreen(t, 120, 40).keys("E")
	s.shows("PAST 11:59:28", "BreakerOpen: firing")
	s.keys("E").shows("PAST 11:59:11", "upstream/beta: closed → open")
	// What came later is not in the list; the selected one is where E goes there.
	s.keys("8").shows("timed out after 2s")
	s.hides("firing: upstream/beta", "half-open → closed")
	s.keys("G", "E").shows("PAST 11:58:20", "node: started")
}

func TestBeforeHistory(t *testing.T) {
	s := newScreen(t, 80, 24).keys("T").typed("2026-11-22 10:00").keys("enter")
	s.shows("PAST Nov 22 10:00:00", "nothing was measured then")
	s.keys("esc").shows("LIVE 1s")
	s.keys("T").typed("tomorrow").keys("enter").shows("neither a time nor how long ago")
	s.keys("esc").shows("LIVE 1s")
}

func TestALostPastIsTold(t *testing.T) {
	s := newScreen(t, 80, 24)
	s.door.err = errors.New("connection refused")
	s.keys("[").shows("PAST", "…", "connection refused")
	s.door.err = nil
	s.keys("L").shows("LIVE 1s")
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90s": now.Add(-90 * time.Second), "-20m": now.Add(-20 * time.Minute), "2d": now.AddDate(0, 0, -2), "1h30m": now.Add(-90 * time.Minute),
		"11:58": now.Add(-2 * time.Minute), "11:58:30": now.Add(-90 * time.Second), "13:00": now.Add(-23 * time.Hour),
		"2026-11-20 08:15": time.Date(2026, 11, 20, 8, 15, 0, 0, time.UTC), "2026-11-20T08:15:00Z": time.Date(2026, 11, 20, 8, 15, 0, 0, time.UTC),
	} {
		if got, ok := parseMoment(text, now); !ok || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "noon", "25:00", "-", "--5m", "2027-01-01 00:00", "99999999d", "1e9d"} {
		if got, ok := parseMoment(text, now); ok {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

// What changed and what began to fire is marked where it happened.
func TestChartsMarkWhatHappened(t *testing.T) {
	s := newScreen(t, 120, 40)
	s.door.events = append(s.door.events,
		control.Event{Seq: 7, Time: s.at.Add(-100 * time.Second), Kind: "change", Severity: "info", Subject: "pool.limit", Text: "changed: 8 -> 14"},
		control.Event{Seq: 8, Time: s.at.Add(-50 * time.Second), Kind: "change", Severity: "info", Subject: "pool.limit", Text: "kept: 14"},
		control.Event{Seq: 9, Time: s.at, Kind: "alert", Severity: "bad", Subject: "A", Text: "firing: x"})
	s.after(0)
	axis := func() []rune {
		lines := strings.Split(s.text(), "\n")
		return []rune(strings.TrimRight(lines[len(lines)-3], " "))
	}
	now := axis()
	// A column is five seconds.
	for back, want := range map[int]rune{0: '▲', 20: '◆', 10: '─'} {
		if got := now[len(now)-1-back]; got != want {
			t.Errorf("%d columns back is %q; want %q in %q", back, got, want, string(now))
		}
	}
	s.shows("◆ change  ▲ alert fired", "-8m55s", "now")
	// Ten seconds back, the alert is of the future.
	s.keys("[")
	if then := axis(); then[len(then)-1] == '▲' {
		t.Errorf("what comes later is marked: %q", string(then))
	}
	if columnOf(s.at.Add(time.Second), s.at.Add(-time.Hour), time.Second, 10) != -1 {
		t.Error("what comes later is in the chart")
	}
}
