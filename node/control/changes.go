package control

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// change is one batch that was applied and can be taken back.
type change struct {
	Trial   // what is known of it; the deadline is zero when it is kept
	applied []settings.Applied
	peer    peer
}

// changes are what was changed since the start, newest last. The lock also orders
// changes: two at once would remember each other's old values.
type changes struct {
	mu     sync.Mutex
	last   uint64
	done   []*change
	undone []*change
	// touched tells who changed a setting last, by key.
	touched map[string]touch
	wake    chan struct{} // the trials have changed
	shown   atomic.Pointer[shown]
}

// shown is what a look shows of the changes. It is read without the lock, which is
// held while the audit trail is written: a disk that hangs does not stop the screen.
type shown struct {
	undo, redo string
	trials     []Trial
}

// show has looks show the changes as they are now. The lock is held.
func (c *changes) show() {
	now := shown{}
	if n := len(c.done); n > 0 {
		now.undo = summary(reverse(c.done[n-1].Changes))
	}
	if n := len(c.undone); n > 0 {
		now.redo = summary(reverse(c.undone[n-1].Changes))
	}
	for _, t := range c.trials() {
		now.trials = append(now.trials, t.Trial)
	}
	c.shown.Store(&now)
}

// hold takes the lock and returns what gives it up, having shown what changed.
func (c *changes) hold() (release func()) {
	c.mu.Lock()
	return func() {
		c.show()
		c.mu.Unlock()
	}
}

type touch struct {
	revision uint64
	by       string
	at       time.Time
	changed  Changed
}

func (c *changes) trials() []*change {
	var out []*change
	for _, d := range c.done {
		if !d.Deadline.IsZero() {
			out = append(out, d)
		}
	}
	return out
}

// onTrial returns the keys whose values are not kept yet.
func (c *changes) onTrial() []string {
	var keys []string
	for _, t := range c.trials() {
		for _, changed := range t.Changes {
			keys = append(keys, changed.Key)
		}
	}
	return keys
}

func (c *changes) push(stack *[]*change, d *change) {
	*stack = append(*stack, d)
	// One on trial is never forgotten: its timer takes it back.
	if len(*stack) > maxUndo {
		if i := slices.IndexFunc(*stack, func(d *change) bool { return d.Deadline.IsZero() }); i >= 0 {
			*stack = slices.Delete(*stack, i, i+1)
		}
	}
}

func summary(changes []Changed) string {
	parts := make([]string, len(changes))
	for i, c := range changes {
		parts[i] = c.Key + " " + c.Old + " -> " + c.New
	}
	return strings.Join(parts, ", ")
}

func reverse(changes []Changed) []Changed {
	out := slices.Clone(changes)
	for i := range out {
		out[i].Old, out[i].New = out[i].New, out[i].Old
	}
	return out
}
