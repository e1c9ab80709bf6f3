package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control"
)

// All times of one line are in one zone, which is named: also those within a text that
// the node wrote.
func TestTimesAreInOneZone(t *testing.T) {
	before := zone
	t.Cleanup(func() { zone = before })
	zone = time.FixedZone("CET", 3600)
	at := time.Date(2026, 11, 28, 8, 39, 56, 0, time.UTC)
	line := auditLine(audit.Entry{Time: at, By: "uid:root", Verb: "silence", Outcome: "done", Subject: "s", New: "until 2026-11-28T09:39:56Z: a"})
	if !strings.HasPrefix(line, "2026-11-28 09:39:56 CET uid:root") || !strings.Contains(line, "until 2026-11-28 10:39:56 CET: a") || strings.Contains(line, "Z:") {
		t.Error(line)
	}
	var out bytes.Buffer
	if err := printResult(&out, control.ChangeResult{Applied: true, Changes: []control.Changed{{Key: "k"}}, Trial: &control.Trial{ID: 7, Deadline: at}}); err != nil || !strings.Contains(out.String(), "goes back at 09:39:56 CET") {
		t.Error(out.String(), err)
	}
	if got := inOneZone("no moment 2026-11-28 here, nor 2026-13-99T99:99:99Z"); got != "no moment 2026-11-28 here, nor 2026-13-99T99:99:99Z" {
		t.Error(got)
	}
}

// The trail says who logged in, and what is only claimed.
func TestTheTrailTellsClaimsApart(t *testing.T) {
	line := auditLine(audit.Entry{By: "uid:root", Command: "bizra-top", Terminal: "pts/0", Login: "uid:alice", SudoUser: "bob", SSHFrom: "203.0.113.7", Verb: "change", Outcome: "done"})
	if !strings.Contains(line, "uid:root (bizra-top, pts/0, login uid:alice, claims sudo by bob, claims ssh from 203.0.113.7)") {
		t.Error(line)
	}
}

// An alert that is held back is not listed as one that fires.
func TestASilencedAlertIsListedAsSilenced(t *testing.T) {
	for state, want := range map[string]string{"firing": "silenced", "pending": "silenced", "resolved": "resolved", "inactive": "inactive"} {
		if got := stateOf(control.Alert{State: state, Silenced: &control.SilencedBy{}}); got != want {
			t.Errorf("%s is %s", state, got)
		}
		if got := stateOf(control.Alert{State: state}); got != state {
			t.Errorf("%s is %s", state, got)
		}
	}
}

// A trail that has nothing to print says why.
func TestAnEmptyTrailSaysSo(t *testing.T) {
	for want, say := range map[string]func(*bytes.Buffer) error{
		"is empty":               func(b *bytes.Buffer) error { return sayEmpty(b, 0, false) },
		"nothing in the":         func(b *bytes.Buffer) error { return sayEmpty(b, 0, true) },
		"--limit leaves nothing": func(b *bytes.Buffer) error { return sayEmpty(b, 3, false) },
	} {
		var out bytes.Buffer
		if err := say(&out); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q %v", out.String(), err)
		}
	}
}
