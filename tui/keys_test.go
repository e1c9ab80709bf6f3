package tui

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/bizra/bizra-top/node/control"
)

// story is a screen of 120x40 that is unlocked.
func story(t *testing.T) *screen { return newScreen(t, 120, 40).keys("ctrl+u", "y") }

func applied(d *fakeDoor) []control.Change {
	var out []control.Change
	for _, r := range d.changes {
		if !r.DryRun {
			out = append(out, r.Changes...)
		}
	}
	return out
}

func TestEditPoolLimit(t *testing.T) {
	s := story(t).keys("2", "e").typed("20").keys("enter")
	s.shows("Change pool.limit", "14 connections  →  20 connections", "▲ high", "9 connections are in use now.", "▸ Cancel")
	if got := applied(s.door); got != nil {
		t.Fatalf("changed before it was confirmed: %v", got)
	}
	s.keys("y")
	if want := []control.Change{{Key: "pool.limit", Value: "20"}}; !reflect.DeepEqual(applied(s.door), want) {
		t.Errorf("changed %v; want %v", applied(s.door), want)
	}
	s.shows("on trial: pool.limit 14 → 20", " goes back in 2:00 ", "y keep   u revert now")
	s.keys("8").shows("changed: 14 -> 20")
}

func TestCancelIsTheDefault(t *testing.T) {
	s := story(t).keys("2", "e").typed("20").keys("enter", "enter")
	s.shows("cancelled: nothing was changed")
	if got := applied(s.door); got != nil || s.overlay != nil {
		t.Errorf("enter on Cancel changed %v", got)
	}
	s.keys("e").typed("20").keys("enter", "tab", "enter")
	if got := applied(s.door); len(got) != 1 {
		t.Errorf("tab and enter changed %v", got)
	}
}

func TestStepsInTheSettings(t *testing.T) {
	s := story(t).keys("7", "/").typed("pool.limit").keys("enter", "right", "right")
	s.shows("14 → 16", "not applied")
	s.keys("enter").shows("Change pool.limit")
	s.keys("y")
	if want := []control.Change{{Key: "pool.limit", Value: "16"}}; !reflect.DeepEqual(applied(s.door), want) {
		t.Errorf("changed %v; want %v", applied(s.door), want)
	}
	s.keys("right").shows("16 → 17")
	s.keys("esc").hides("16 → 17")
}

func TestARefusedChangeCannotBeApplied(t *testing.T) {
	s := story(t).keys("2", "e").typed("64").keys("enter")
	s.shows("the server allows 50 connections")
	s.keys("y", "tab", "enter")
	if got := applied(s.door); got != nil {
		t.Errorf("changed %v though the node refuses", got)
	}
	s.keys("esc", "e").typed("99").shows("not within 1 … 64")
	s.keys("enter").shows("Edit pool.limit")
}

// While the node has not said that it would, y does nothing.
func TestAnUncheckedChangeCannotBeApplied(t *testing.T) {
	s := story(t).keys("2")
	set, _ := s.setting("pool.limit")
	dry := s.askChange(set, "20") // not run: the node is slow
	s.keys("y").shows("the node is checking")
	s.run(dry)
	s.keys("y")
	if got := applied(s.door); len(got) != 1 {
		t.Errorf("changed %v; want one change", got)
	}
}

func TestReadOnlyAsksToUnlock(t *testing.T) {
	for _, keys := range [][]string{{"2", "e"}, {"2", "right"}, {"4", "o"}, {"3", "f"}, {"u"}, {"7", "e"}, {":", "p", "o", "o", "l", ".", "l", "enter"}} {
		s := newScreen(t, 120, 40).keys(keys...)
		s.shows("Unlock for 10 minutes?", "[RO]")
		s.keys("esc").hides("Unlock for")
		if len(s.door.changes)+len(s.door.acts)+s.door.undos > 0 {
			t.Errorf("%v: the node was asked to change", keys)
		}
	}
}

func TestUnlockingGoesOnAndExpires(t *testing.T) {
	s := newScreen(t, 120, 40).keys("2", "e", "y")
	s.shows("Edit pool.limit", "[RW 10m00s]")
	s.typed("20").keys("enter")
	s.after(unlockSpan + time.Second)
	s.shows("[RO]", "Change pool.limit")
	s.keys("y").shows("Unlock for 10 minutes?")
	if got := applied(s.door); got != nil {
		t.Errorf("changed %v though locked again", got)
	}
	s.keys("y")
	if got := applied(s.door); len(got) != 1 {
		t.Errorf("changed %v after unlocking again", got)
	}
}

func TestForceABreakerOpen(t *testing.T) {
	s := story(t).keys("4", "o")
	s.shows("Force open upstream/alpha", "closed  →  forced-open")
	s.keys("y")
	want := []control.ActionRequest{{ID: "breaker.force_open", Target: "upstream/alpha", DryRun: true}, {ID: "breaker.force_open", Target: "upstream/alpha"}}
	if !reflect.DeepEqual(s.door.acts, want) {
		t.Errorf("asked for %v; want %v", s.door.acts, want)
	}
	s.shows("⊘ forced-open", "done: upstream/alpha: closed → forced-open")
}

func TestFlushTakesNoTarget(t *testing.T) {
	s := story(t).keys("3", "f").typed("flush").keys("enter")
	if got := s.door.acts; len(got) != 2 || got[1] != (control.ActionRequest{ID: "cache.flush_l1", Word: "flush"}) {
		t.Errorf("asked for %v", got)
	}
}

func TestActionsByName(t *testing.T) {
	s := story(t).keys(":").typed("drain gamma").keys("enter").shows2("Drain gamma")
	s.keys("y")
	if got := s.door.acts; len(got) != 2 || got[1] != (control.ActionRequest{ID: "upstream.drain", Target: "gamma"}) {
		t.Errorf("asked for %v", got)
	}
}

func (s *screen) shows2(parts ...string) *screen { s.t.Helper(); s.shows(parts...); return s }

func TestUndo(t *testing.T) {
	s := story(t).keys("u").shows2("Undo the last change", "pool.limit 14 → 8")
	s.keys("y")
	if s.door.undos != 1 {
		t.Errorf("undone %d times", s.door.undos)
	}
	s.shows("undone: pool.limit")
}

func TestAlertThresholds(t *testing.T) {
	s := story(t).keys("6", "e").shows2("this rule has no threshold to edit")
	s.keys("j", "e").shows("Edit alerts.pool_saturation.threshold")
	s.keys("esc", "j", "e").shows("Which threshold?", "set alerts.error_ratio.threshold")
	s.keys("enter").shows("Edit alerts.error_ratio.threshold")
	s.keys("esc", "4", "j", "e").shows("Edit breaker.upstream.failure_ratio")
}

func TestFilter(t *testing.T) {
	s := story(t).keys("7", "/").typed("quality q")
	if s.quitting || s.view != viewSettings {
		t.Fatal("typing into the filter pressed keys")
	}
	s.keys("esc", "/").typed("hedge").keys("enter").shows2("upstream.hedge_after", "filter hedge", "1 of 13")
	s.hides("pool.limit")
	s.keys("esc").shows("pool.limit")
	s.keys("8", "/").typed("bad breakeropen").keys("enter").shows2("firing: upstream/beta")
	s.hides("half-open → closed")
}

func TestTypingNeverQuits(t *testing.T) {
	s := story(t)
	for _, open := range [][]string{{":"}, {"?"}, {"7", "/"}, {"2", "e"}} {
		s.keys(open...).typed("quit qqq")
		if s.quitting {
			t.Fatalf("%v: typing q quit", open)
		}
		s.keys("esc", "esc")
	}
	if s.quitting {
		t.Error("esc quit")
	}
	s.keys("q")
	if !s.quitting {
		t.Error("q does not quit a screen that does not own its node")
	}
}

func TestQuittingAnOwnedNodeAsks(t *testing.T) {
	own := func(_ *fakeDoor, o *Options) { o.Owner = true }
	s := newScreen(t, 80, 24, own).keys("q").shows2("quitting stops it")
	s.keys("enter")
	if s.quitting {
		t.Fatal("enter quit, though Stay has the focus")
	}
	if s.keys("q", "y"); !s.quitting {
		t.Error("q y does not quit")
	}
	s = newScreen(t, 80, 24, own).keys(":", "ctrl+c").shows2("quitting stops it")
	if s.keys("ctrl+c"); !s.quitting {
		t.Error("a second ctrl+c does not quit")
	}
}

// A tick, an alert and a lost node change neither the dialog nor its focus.
func TestNothingStealsTheKeyboard(t *testing.T) {
	s := story(t).keys("2", "e").typed("20").keys("enter")
	before := s.overlay
	s.after(time.Second)
	s.door.spoil = func(l *control.Look) {
		for i := range l.Alerts {
			l.Alerts[i].State = "firing"
		}
	}
	s.after(time.Second)
	s.door.err = errors.New("connection refused")
	s.after(time.Second)
	if s.overlay != before {
		t.Fatal("the dialog was taken away")
	}
	if c := before.(*confirm); c.focus != atCancel {
		t.Error("the focus moved")
	}
	s.shows("Change pool.limit", "LOST, data 1s old")
}

func TestLostAndBack(t *testing.T) {
	s := newScreen(t, 120, 40)
	s.door.err = errors.New("no answer from the node at /run/x.sock: connection refused")
	s.after(time.Second)
	s.after(4 * time.Second)
	s.shows("LOST, data 5s old", "upstream/beta")
	if codes := s.View().Content; strings.Contains(codes, s.pens.normal[inkBad]+"○") {
		t.Error("old data is not greyed")
	}
	s.door.err = nil
	s.after(time.Second)
	s.shows("LIVE 1s")
	s = newScreen(t, 80, 24, func(d *fakeDoor, _ *Options) { d.err = errors.New("no such socket") })
	s.shows("NO NODE", "no such socket")
}

func TestPauseFreezesTheWholeScreen(t *testing.T) {
	s := newScreen(t, 120, 40).keys("p")
	s.shows("PAUSED")
	frozen := s.draw()
	s.at = s.at.Add(0)
	_, cmd := s.Update(tickMsg{s.generation})
	_ = cmd // only the next tick: it is not waited for
	if s.inflight {
		t.Error("a paused screen asks the node")
	}
	if !reflect.DeepEqual(frozen, s.draw()) {
		t.Error("a paused screen moved")
	}
	s.keys("p").hides("PAUSED")
}

func TestOneLookAtATime(t *testing.T) {
	s := newScreen(t, 80, 24)
	if first, second := s.lookNow(), s.lookNow(); first == nil || second != nil {
		t.Error("two looks in flight")
	}
}

func TestTheCursorHoldsOnToItsRow(t *testing.T) {
	s := newScreen(t, 120, 40).keys("4", "j")
	s.door.spoil = func(l *control.Look) { l.Breakers = append(l.Breakers[4:5:5], l.Breakers[:4]...) }
	s.after(time.Second)
	if got := s.selected(viewBreakers); got != "upstream/beta" || s.cursor[viewBreakers] != 2 {
		t.Errorf("the cursor is on %q, row %d; want upstream/beta, row 2", got, s.cursor[viewBreakers])
	}
}

func TestARestartedNodeStartsItsEventsAgain(t *testing.T) {
	s := newScreen(t, 120, 40)
	s.door.events = []control.Event{{Seq: 1, Time: fakeStart, Kind: "node", Severity: "info", Subject: "node", Text: "started again"}}
	s.door.spoil = func(l *control.Look) { l.Node.Started = fakeStart }
	s.after(time.Second)
	s.after(time.Second)
	s.keys("8").shows("started again")
	s.hides("closed → open")
}

// Every key of the map is told apart within a view, and every key in the help.
func TestTheKeyMap(t *testing.T) {
	s := newScreen(t, 120, 40)
	for v := viewOverview; v < viewEnd; v++ {
		seen := map[string]string{}
		for _, c := range s.model.keys {
			if !c.in(v) {
				continue
			}
			for _, k := range c.bind.Keys() {
				if other := seen[k]; other != "" {
					t.Errorf("%s: %q is %q and %q", viewNames[v], k, other, c.bind.Help().Desc)
				}
				seen[k] = c.bind.Help().Desc
			}
		}
	}
	s.keys("?").typed("force").shows2("force open", "in breakers")
	s.keys("esc", "4", "?").typed("force").shows2("locked: press ctrl+u to unlock")
}

func TestPasteIsCleanedAndNeverPressesKeys(t *testing.T) {
	s := story(t)
	s.paste("q\ny")
	if s.quitting || s.overlay != nil {
		t.Fatal("pasted text pressed keys")
	}
	s.keys("2", "e")
	s.paste("20")
	s.shows("→   20")
}

func TestNoColor(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	s := newScreen(t, 120, 40).keys("4")
	content := s.View().Content
	for _, bad := range []string{"38;", "48;", "\x1b[3", "\x1b[9"} {
		if strings.Contains(content, bad) {
			t.Errorf("NO_COLOR is set, yet the screen has %q", bad)
		}
	}
	if ansi.Strip(content) == content {
		t.Error("without colours, bold and reverse must still be there")
	}
	s.shows("○ open", "● closed")
}

func TestThemesByKey(t *testing.T) {
	s := newScreen(t, 80, 24)
	first := s.View().Content
	s.keys("t").shows("theme light")
	if s.View().Content == first {
		t.Error("t changed nothing")
	}
	if _, err := newModel(t.Context(), s.door, Options{Theme: "nope"}); err == nil {
		t.Error("an unknown theme is taken")
	}
}

func TestSave(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newScreen(t, 120, 40).keys("S").shows2("saved bizra-top-overview-")
	files, _ := os.ReadDir(".")
	if len(files) != 2 {
		t.Fatalf("saved %v", files)
	}
	for _, f := range files {
		data, _ := os.ReadFile(f.Name())
		if !strings.Contains(string(data), "upstream/beta") || strings.ContainsRune(string(data), '\x1b') {
			t.Errorf("%s is not the screen", f.Name())
		}
	}
	s.keys("S").shows("not saved: ")
}
