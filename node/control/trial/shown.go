package trial

import (
	"slices"

	"github.com/bizra/bizra-top/node/settings"
)

// Shown is what a screen shows of the changes.
type Shown struct {
	Undo, Redo string  // what undo and redo would do; empty for nothing
	Trials     []Trial // on trial, oldest first
}

// shown is what was true when the lock was given up last. It is read without the lock:
// what waits for it, such as a change whose consequences take time, does not stop the
// screen.
type shown struct {
	undo, redo string
	trials     []change
}

// show has Shown tell the changes as they are now. What taking a change back would do
// is asked of the settings: a source that has moved since the change was made may have
// moved where it leads. The lock is held.
func (b *Book) show() {
	now := shown{undo: b.wouldDo(b.done), redo: b.wouldDo(b.undone)}
	for _, t := range b.trials() {
		back, _ := b.o.Registry.PlanTakeBack(t.applied)
		t.changes = slices.Clone(t.changes) // others have been told of them
		for i := range t.changes {
			if j := slices.IndexFunc(back, func(a settings.Applied) bool { return a.Key == t.changes[i].Key }); j >= 0 {
				t.changes[i].Old, t.changes[i].New = back[j].New, back[j].Old
			}
		}
		now.trials = append(now.trials, *t)
	}
	b.shown.Store(&now)
}

// wouldDo says what taking the top of a stack back would do. The lock is held.
func (b *Book) wouldDo(stack []*change) string {
	if len(stack) == 0 {
		return ""
	}
	top := stack[len(stack)-1]
	back, _ := b.o.Registry.PlanTakeBack(top.applied) // what is forbidden is refused when it is asked for, which says why
	return Summary(Describe(inOrder(back, top.applied)))
}

// inOrder sorts what would be applied as the change named it.
func inOrder(back, as []settings.Applied) []settings.Applied {
	at := func(a settings.Applied) int {
		return slices.IndexFunc(as, func(b settings.Applied) bool { return a.Key == b.Key })
	}
	slices.SortStableFunc(back, func(x, y settings.Applied) int { return at(x) - at(y) })
	return back
}

// Shown returns the changes as a screen shows them. It takes no lock.
func (b *Book) Shown() Shown {
	now, wall := b.shown.Load(), b.o.Wall()
	s := Shown{Undo: now.undo, Redo: now.redo}
	for i := range now.trials {
		s.Trials = append(s.Trials, now.trials[i].wire(wall))
	}
	return s
}

// Kept lists what was changed and still holds, newest first; what is on trial has a
// deadline.
func (b *Book) Kept() []Trial {
	b.mu.Lock()
	defer b.mu.Unlock()
	wall := b.o.Wall()
	out := make([]Trial, 0, len(b.done))
	for _, c := range slices.Backward(b.done) {
		out = append(out, c.wire(wall))
	}
	return out
}

// OnTrial returns the keys whose values are not kept yet.
func (b *Book) OnTrial() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.onTrial()
}

func (b *Book) onTrial() (keys []string) {
	for _, t := range b.trials() {
		for _, c := range t.changes {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// Overrides returns the overrides file that would keep what is kept, and the keys that
// are left out because they are on trial.
func (b *Book) Overrides() (o settings.Overridden, onTrial []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	onTrial = b.onTrial()
	o, err = b.o.Registry.Overrides(onTrial)
	return o, onTrial, err
}

// Saved says that what Overrides returned is on disk. Taking a change back still leads
// to where it did before.
func (b *Book) Saved(o settings.Overridden) {
	defer b.hold()()
	moved := b.o.Registry.Saved(o)
	for _, stack := range [][]*change{b.done, b.undone} {
		for _, c := range stack {
			c.applied = settings.Pinned(c.applied, moved)
		}
	}
}

// Reload puts in force what a source says now, with do, and tells of what has changed.
// It can not be undone.
func (b *Book) Reload(reason string, do func() ([]settings.Applied, error)) (changed []Changed, err error) {
	defer b.hold()()
	applied, err := do()
	if err != nil {
		return nil, err
	}
	for _, c := range Describe(applied) {
		if c.Old != c.New {
			changed = append(changed, c)
		}
	}
	if len(changed) > 0 {
		b.report(Report{Verb: "reload", Node: true, Reason: reason, Changes: changed})
	}
	return changed, nil
}

// RevertAll reverts everything on trial, whose timers end with this process.
func (b *Book) RevertAll(why string) {
	defer b.hold()()
	for _, t := range b.trials() {
		b.revert(t, why)
	}
}
