package tui

import (
	"fmt"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// A breaker that flaps three times a second for ten minutes is one row, and pushes out
// nothing: the change by a person is there, now and in the past.
func TestNoiseIsOneRow(t *testing.T) {
	s := newScreen(t, 120, 40)
	began := s.at
	for i := range 1800 {
		n := uint64(i + 7)
		s.door.events = append(s.door.events, control.Event{Seq: n, Time: began.Add(time.Duration(i) * time.Second / 3), Kind: "breaker", Severity: "bad",
			Subject: "upstream/beta", Text: fmt.Sprint("flap ", i), Count: uint64(i + 2), First: began})
		if i%3 == 2 {
			s.after(time.Second)
		}
	}
	s.keys("8")
	s.shows("×1.8k", "3.0/s", "flap 1799", "pool.limit", "8 → 14", "uid 1000")
	s.hides("flap 1798 ")
	s.keys("g", "enter")
	s.shows("1801 times since", "flap 1799", "flap 1798", "flap 1797")
	s.keys("esc", "1")
	s.shows("×1.8k flap 1799", "pool.limit")
	s.keys("8", "[")
	s.shows("PAST", "flap 1772", "pool.limit")
}

// Where memory ends the audit trail goes on, and the view says how far back each source
// goes.
func TestEventsSayWhereTheyAreRead(t *testing.T) {
	s := newScreen(t, 120, 40, func(d *fakeDoor, _ *Options) {
		d.recorded = []control.Event{{Time: fakeStart.Add(-50 * time.Hour), Kind: "change", Severity: "info", Subject: "cache.ttl.block", Text: "changed: 1d -> 2d", Actor: "carol"}}
	})
	s.keys("8")
	s.shows("memory since 11:56", "audit trail (changes) since Nov 21 10:00", "alert history (alerts) has nothing older", "cache.ttl.block", "carol", "Nov 21")
	s.keys("T")
	s.typed("2d")
	s.keys("enter")
	s.shows("cache.ttl.block", "carol")
	s.hides("uid 1000")
}

// A filter takes events, not rows: what a row counts is what passes.
func TestAFilterTakesEventsOfARow(t *testing.T) {
	s := newScreen(t, 120, 40)
	for i, who := range []string{"alice", "bob", "alice"} {
		s.door.events = append(s.door.events, control.Event{Seq: uint64(i + 7), Time: s.at, Kind: "change", Severity: "info", Subject: "pool.limit", Text: "changed by " + who, Actor: who, Count: uint64(i + 2)})
	}
	s.after(time.Second)
	s.keys("8", "/")
	s.typed("alice")
	s.keys("enter")
	s.shows("×2", "changed by alice")
	s.hides("changed by bob", "×4")
}
