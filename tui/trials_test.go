package tui

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

func (d *fakeDoor) applied(t *testing.T) control.ChangeRequest {
	t.Helper()
	for i := len(d.changes) - 1; i >= 0; i-- {
		if !d.changes[i].DryRun {
			return d.changes[i]
		}
	}
	t.Fatal("nothing was applied")
	return control.ChangeRequest{}
}

// A change goes to the node with the length of its trial, the revision that the
// dialog was checked against, and what was filled in.
func TestAChangeIsOnTrial(t *testing.T) {
	s := story(t)
	s.door.settings = append(s.door.settings, control.Setting{Key: control.RevertAfter, Part: "control", Kind: "duration", Value: "90s"})
	s.run(s.fetchSettings())
	s.keys("2", "right", "enter", "tab", "tab").typed("y is text here").keys("enter", "tab", "tab", "right", "enter", "enter")
	r := s.door.applied(t)
	if r.RevertAfter != "90s" || r.Reason != "y is text here" || r.Guard != "PoolSaturated" || r.Revision == nil || *r.Revision != 7 {
		t.Errorf("asked for %+v with revision %v", r, r.Revision)
	}
	s.shows(" goes back in 1:30 ", "guard PoolSaturated")
	s.after(2 * time.Second)
	s.keys("y")
	if got := s.door.asked; !reflect.DeepEqual(got, []string{"keep 2"}) {
		t.Errorf("asked for %v", got)
	}
	s.shows("kept: pool.limit 14 → 15")
	s.hides("goes back in")
}

// The y that applies, pressed twice, does not keep.
func TestAKeyPressedTwiceKeepsNothing(t *testing.T) {
	s := story(t).keys("2", "right", "enter", "y", "y", "y")
	s.after(500 * time.Millisecond)
	s.keys("y").shows("it has just begun", " goes back in 2:00 ")
	if len(s.door.asked) > 0 {
		t.Errorf("asked for %v", s.door.asked)
	}
	s = story(t).keys("2", "right", "enter")
	_, slow := s.Update(keyPress("y")) // the node does not answer yet
	s.keys("y").shows("the node is asked")
	s.run(slow)
	if n := len(applied(s.door)); n != 1 || s.overlay != nil {
		t.Errorf("applied %d times; the dialog is %v", n, s.overlay)
	}
}

func TestRevertAtOnce(t *testing.T) {
	s := onTrial(t, 80, 24, 0).keys("1", "u")
	if got := s.door.asked; !reflect.DeepEqual(got, []string{"revert 2"}) || s.overlay != nil {
		t.Errorf("asked for %v", got)
	}
	s.hides("goes back in")
	s.keys("u").shows("Undo the last change")
}

// y and u are text where text is typed.
func TestTypingNeverKeeps(t *testing.T) {
	s := onTrial(t, 120, 40, 0)
	for _, open := range [][]string{{"7", "/"}, {":"}, {"?"}, {"2", "e"}, {"4", "o", "tab", "tab"}, {"6", "a", "tab"}} {
		s.keys(open...).typed("yuyuU")
		s.keys("esc", "esc", "esc")
		if len(s.door.asked) > 0 {
			t.Fatalf("%v: asked for %v", open, s.door.asked)
		}
		s.overlay, s.filtering = nil, false
	}
}

// What somebody else tries is neither kept nor reverted without a question.
func TestATrialOfSomebodyElse(t *testing.T) {
	other := control.Trial{ID: 40, By: "alice", Guard: "HighErrors", Reason: "too slow", Changes: []control.Changed{{Key: "cache.l2.enabled", Old: "true", New: "false"}}}
	for k, verb := range map[string]string{"y": "keep", "u": "revert"} {
		s := story(t)
		other.Deadline = s.at.Add(time.Minute)
		s.door.trials = []control.Trial{other}
		s.after(0)
		s.after(2 * time.Second)
		s.shows("goes back in 0:58", "by alice")
		s.keys(k).shows("alice", "too slow", "else it goes", "▸ Cancel")
		s.keys("enter")
		if len(s.door.asked) > 0 {
			t.Fatalf("enter on Cancel asked for %v", s.door.asked)
		}
		s.keys(k, "y")
		if got := s.door.asked; !reflect.DeepEqual(got, []string{verb + " 40"}) {
			t.Errorf("asked for %v", got)
		}
	}
}

func TestOneOfSeveralTrialsIsChosen(t *testing.T) {
	s := onTrial(t, 120, 40, 2).keys("u").shows2("Which change goes back?").keys("down", "enter")
	s.shows("Revert what is on trial", "alice")
	s.keys("y", "y", "enter")
	if got := s.door.asked; !reflect.DeepEqual(got, []string{"revert 90"}) {
		t.Errorf("asked for %v", got)
	}
	// One that ends while the list is open is no longer there to keep.
	s = onTrial(t, 120, 40, 1).keys("y")
	s.door.trials = s.door.trials[1:]
	s.keys("enter").shows("not done: change 2 is not on trial")
}

func TestLockedScreensAskBeforeKeeping(t *testing.T) {
	s := onTrial(t, 120, 40, 0).keys("ctrl+u", "y")
	s.shows("Unlock for 10 minutes?")
	s.keys("y")
	if got := s.door.asked; !reflect.DeepEqual(got, []string{"keep 2"}) {
		t.Errorf("asked for %v", got)
	}
}

// The node's timer runs on when the screen is frozen, or hears nothing.
func TestTheCountdownGoesOn(t *testing.T) {
	s := onTrial(t, 80, 24, 0).keys("p")
	s.after(10 * time.Second)
	s.shows("PAUSED", "goes back in 1:37")
	s.keys("p")
	s.door.err = errors.New("connection refused")
	s.after(10 * time.Second)
	s.shows("LOST", "goes back by itself in 1:27", "pool.limit 14 → 15", "the node's own timer")
	s.after(2 * time.Minute)
	s.shows("has gone back by itself")
	s = onTrial(t, 80, 24, 0).keys("p")
	s.door.trials = nil
	s.after(time.Second)
	s.shows("PAUSED")
	s.hides("goes back")
}

func TestSlowRefreshStillCountsDown(t *testing.T) {
	s := newScreen(t, 80, 24, func(_ *fakeDoor, o *Options) { o.Refresh = time.Minute })
	s.look.Trials = []control.Trial{{ID: 1, Deadline: s.at.Add(time.Hour)}}
	begun := time.Now()
	s.tick()()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the next tick came after %s", took)
	}
}

// Who was there before is told, and looking again shows what is in force now.
func TestAConflictOffersToLookAgain(t *testing.T) {
	s := story(t).keys("2", "e").typed("20").keys("enter")
	s.door.conflict = &control.Problem{Status: 409, Text: "pool.limit was changed by alice 3s ago, 14 -> 9: look again, then decide"}
	s.door.settings[11].Value = "9"
	if s.door.settings[11].Key != "pool.limit" {
		t.Fatal("not the setting that is meant")
	}
	s.keys("y").shows("changed by alice 3s ago, 14 -> 9", "▸ Cancel", "Look again")
	s.keys("y").shows("Look again") // y is not what looks again
	s.keys("r").shows("9 connections  →  20 connections", "▸ Cancel")
	s.keys("y")
	if r := s.door.applied(t); *r.Revision != 8 {
		t.Errorf("the second time the revision is %d; want 8", *r.Revision)
	}
	s.shows("on trial: pool.limit 9 → 20")
}

func TestAWordIsTyped(t *testing.T) {
	s := story(t).keys("3", "f").shows2("type flush", "▸ Cancel")
	s.keys("y", "enter").shows("cancelled: nothing was changed")
	s.keys("f", "tab", "enter", "esc", "f").typed("flus").keys("tab", "enter")
	s.paste("h")
	if n := len(s.door.acts); n != 3 {
		t.Fatalf("acted without the word: %v", s.door.acts)
	}
	s.keys("esc", ":").typed("flush class block").keys("enter").typed("flushh").keys("backspace", "enter")
	if got, want := s.door.acts[len(s.door.acts)-1], (control.ActionRequest{ID: "cache.flush_class", Target: "block", Word: "flush"}); got != want {
		t.Errorf("asked for %+v; want %+v", got, want)
	}
	s.keys(":").typed("drain the node").keys("enter").typed("drain").keys("tab").typed("maintenance").keys("enter", "enter")
	if got, want := s.door.acts[len(s.door.acts)-1], (control.ActionRequest{ID: "node.drain", Word: "drain", Reason: "maintenance"}); got != want {
		t.Errorf("asked for %+v; want %+v", got, want)
	}
}

func TestSaveWhatIsKept(t *testing.T) {
	s := story(t).keys("w").shows2("nothing to save")
	s.door.unsaved = 2
	s.after(time.Second)
	s.shows("2 unsaved")
	s.keys("w").shows("pool.limit", "8 → 12", "no longer in the file: 1d", "the flag says otherwise", "▸ Cancel")
	s.keys("enter")
	if len(s.door.asked) > 0 {
		t.Fatalf("enter on Cancel asked for %v", s.door.asked)
	}
	s.keys("w", "y").shows("saved: 3 differences, in /var/lib/bizra-top/overrides.yaml")
	if got := s.door.asked; !reflect.DeepEqual(got, []string{"save"}) {
		t.Errorf("asked for %v", got)
	}
	s.keys("w")
	s.door.err = errors.New("no space left on device")
	s.keys("y").shows("✗ no space left on device")
}

func TestARefusedSaveIsTold(t *testing.T) {
	s := story(t)
	s.door.unsaved, s.door.err = 1, nil
	s.after(time.Second)
	s.door.err = errors.New("no\x1b[2J")
	s.keys("w").shows("✗ no")
	s.keys("y", "tab", "enter")
	if len(s.door.asked) > 0 {
		t.Errorf("asked for %v", s.door.asked)
	}
}

func TestRedo(t *testing.T) {
	s := story(t).keys("U").shows2("Redo what was taken back", "pool.limit 8 → 14")
	s.keys("y")
	if got := s.door.asked; !reflect.DeepEqual(got, []string{"redo"}) {
		t.Errorf("asked for %v", got)
	}
}

func TestAViewerIsToldWhy(t *testing.T) {
	s := newScreen(t, 120, 40, func(d *fakeDoor, o *Options) { d.role, o.Unlocked = "viewer", true })
	s.shows("[RO viewer]")
	for _, keys := range [][]string{{"ctrl+u"}, {"2", "e"}, {"4", "o"}, {"6", "s"}, {"w"}, {"u"}} {
		s.keys(keys...).shows("your role is viewer")
		if s.overlay != nil {
			t.Errorf("%v opens a dialog", keys)
		}
	}
	s.keys(":").typed("set pool.limit").shows("your role is viewer")
	s.keys("enter")
	if len(s.door.changes)+len(s.door.acts) > 0 {
		t.Error("the node was asked to change")
	}
}

// High risk is refused before anything is asked; the rest is open.
func TestAnOperatorIsToldWhatNeedsAnAdmin(t *testing.T) {
	s := newScreen(t, 120, 40, func(d *fakeDoor, _ *Options) { d.role, d.unsaved = "operator", 1 }).keys("ctrl+u", "y")
	for _, keys := range [][]string{{"2", "e"}, {"2", "right"}, {"4", "o"}, {"w"}} {
		s.keys(keys...).shows("needs the role admin; yours is operator")
		if s.overlay != nil {
			t.Errorf("%v opens a dialog", keys)
		}
	}
	s.keys("4", "r").shows("Reset upstream/alpha")
	s.keys("esc", "3", "e").shows("Edit cache.l1.max_bytes")
}

func TestExplain(t *testing.T) {
	s := newScreen(t, 120, 40).keys("7", "enter")
	s.shows("▸ live", "file        10", "default     8", "e edits")
	if strings.Index(s.text(), "▸ live") > strings.Index(s.text(), "file        10") {
		t.Error("the strongest source is not first")
	}
	s.keys("e").shows("Unlock for 10 minutes?")
}
