// Package trial keeps the changes that were made while the node runs: it puts them in
// force, has them on trial, confirms them, reverts them, undoes and redoes them.
//
// A change on trial has a deadline and may have guards. It is reverted when its
// deadline is over or one of its guards holds, whichever comes first, unless it is
// confirmed by then. Deadlines have a timer of their own and wait for nothing else: not
// for guards, which are evaluated at the same time as each other, bounded in number and
// in time, and not for whoever hears of what was done.
//
// A second change by the same operator to what is on trial joins it: they are one trial
// from then on, with the guards of both, and are confirmed or reverted together.
//
// At every moment the value in force is what [Book.Shown] says, and is what a
// confirmation will keep. The model test holds it to that.
package trial

import (
	"fmt"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

const (
	// MinLength and MaxLength bound how long a change is on trial.
	MinLength = time.Second
	MaxLength = 24 * time.Hour
	// maxTrials bounds the changes on trial at once.
	maxTrials = 32
	// maxGuards bounds the guards of one trial, which come together as changes join.
	maxGuards = 4
	// maxUndo bounds how far back changes can be undone.
	maxUndo = 100
)

// Changed is one tunable's old and new value, as they may be shown.
type Changed struct {
	Key  string `json:"key"`
	Old  string `json:"old"`
	New  string `json:"new"`
	Risk string `json:"risk"`
}

// Trial is a change that was made. While it is on trial it has a deadline.
type Trial struct {
	ID       uint64    `json:"id"`
	Changes  []Changed `json:"changes"`
	By       string    `json:"by"`
	Since    time.Time `json:"since"`
	Deadline time.Time `json:"deadline"` // zero when it is kept
	Guard    string    `json:"guard,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

// Owner is who makes a change: two of the same name and number are the same operator.
type Owner struct {
	Name  string
	UID   int64
	Asker any // handed on to whoever hears the report
}

func (o Owner) same(as Owner) bool { return o.Name == as.Name && o.UID == as.UID }

// Terms are how a change is made.
type Terms struct {
	Length time.Duration // of the trial; 0 keeps the change at once
	Guard  string        // empty for none; it needs a length
	Reason string
	// Revision of the settings that the operator saw: a key that was changed since is a
	// conflict. Nil asks for no such check.
	Revision *uint64
}

// Result is what a change did.
type Result struct {
	ID       uint64
	Revision uint64 // of the settings, after it
	Changes  []Changed
	Trial    *Trial // when it is on trial
}

// Report tells what was done. Every change is told of once, in the order in which they
// were made.
type Report struct {
	Verb    string // change, keep, revert, undo, redo, reload; guard when one cannot be evaluated
	By      Owner
	Node    bool // the node did it by itself; By is empty
	Reason  string
	ID      uint64 // 0 for a reload
	Changes []Changed
	Err     error // why a revert failed, or a guard
}

// Refusal says why a change was not made.
type Refusal struct {
	Why  Why
	Text string // what happened and what to do, one line
}

func (r *Refusal) Error() string { return r.Text }

// Why is the kind of a refusal.
type Why int

// The kinds of refusals.
const (
	Conflict Why = iota + 1 // with what others have changed, or have on trial
	Unknown                 // no such change
	TooMany                 // a bound is reached
	Invalid                 // the settings refuse it
	Unusable                // the guard cannot be evaluated
)

func refuse(why Why, format string, args ...any) error {
	return &Refusal{why, fmt.Sprintf(format, args...)}
}

// invalid is the refusal of the settings, in one line.
func invalid(err error) error { return &Refusal{Invalid, strings.ReplaceAll(err.Error(), "\n", "; ")} }

// change is one batch that was applied and can be taken back. The book's lock guards it.
type change struct {
	id       uint64
	by       Owner
	since    time.Time
	deadline time.Time // zero when it is kept; with a reading of the monotonic clock
	guards   []*guard
	reason   string
	applied  []settings.Applied
	changes  []Changed
}

func (c *change) onTrial() bool { return !c.deadline.IsZero() }

// names says which guards a change has.
func (c *change) names() string {
	names := make([]string, len(c.guards))
	for i, g := range c.guards {
		names[i] = g.expr
	}
	return strings.Join(names, " or ")
}

// wire is a change as it is told. wall is what the clock on the wall says now: a clock
// that was set meanwhile moves no deadline, which is so much from now whatever it says.
func (c *change) wire(wall time.Time) Trial {
	t := Trial{ID: c.id, Changes: c.changes, By: c.by.Name, Since: wall.Add(-time.Since(c.since)), Guard: c.names(), Reason: c.reason}
	if c.onTrial() {
		t.Deadline = wall.Add(time.Until(c.deadline))
	}
	return t
}

// Summary says in one line what changes do.
func Summary(changes []Changed) string {
	parts := make([]string, len(changes))
	for i, c := range changes {
		parts[i] = c.Key + " " + c.Old + " -> " + c.New
	}
	return strings.Join(parts, ", ")
}

// Describe is what was applied, as it is told.
func Describe(applied []settings.Applied) []Changed {
	out := make([]Changed, len(applied))
	for i, a := range applied {
		out[i] = Changed{a.Key, a.Old, a.New, string(a.Risk)}
	}
	return out
}
