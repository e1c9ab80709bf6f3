package trial

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// Options are what a book is made with. All of them are needed but Wall.
type Options struct {
	Registry *settings.Registry
	// Condition says whether a guard holds. It should return when its context ends; a
	// call that does not keeps one place of those evaluated at the same time.
	Condition func(ctx context.Context, guard string) (bool, error)
	// Report hears what was done, one report at a time. It may be slow: a deadline does
	// not wait for it.
	Report func(Report)
	// Wall is the clock on the wall; nil is time.Now. It only dates what is told.
	Wall func() time.Time
}

// Book keeps the changes since the start of the node. All methods may be called from
// any goroutine.
type Book struct {
	o Options

	mu      sync.Mutex // also orders changes: two at once would remember each other's old values
	last    uint64
	done    []*change // newest last
	undone  []*change // newest last
	touched map[string]touch
	reports []Report // not told yet
	wake    chan struct{}
	tell    chan struct{}
	shown   atomic.Pointer[shown]

	telling sync.Mutex // held by one who tells; never with mu held before it
}

// touch says who changed a setting last.
type touch struct {
	revision uint64
	by       string
	at       time.Time
	changed  Changed
}

// New returns an empty book. Nothing is reverted by itself before Run.
func New(o Options) *Book {
	if o.Wall == nil {
		o.Wall = time.Now
	}
	b := &Book{o: o, touched: map[string]touch{}, wake: make(chan struct{}, 1), tell: make(chan struct{}, 1)}
	b.shown.Store(&shown{})
	return b
}

// hold takes the lock. What it returns gives it up, shows what has changed and tells
// of it.
func (b *Book) hold() (release func()) {
	b.mu.Lock()
	return func() {
		b.show()
		b.mu.Unlock()
		signal(b.wake)
		b.flush()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// flush tells what was not told yet. When it returns all that was done before it was
// called is told.
func (b *Book) flush() {
	b.telling.Lock()
	defer b.telling.Unlock()
	b.mu.Lock()
	pending := b.reports
	b.reports = nil
	b.mu.Unlock()
	for _, r := range pending {
		b.o.Report(r)
	}
}

// Apply puts a batch of changes in force, all or none. What the same operator has on
// trial of it is joined. A refusal is a *[Refusal].
func (b *Book) Apply(ctx context.Context, by Owner, batch []settings.Change, terms Terms) (Result, error) {
	c := &change{by: by, reason: terms.Reason}
	if terms.Guard != "" {
		c.guards = []*guard{{expr: terms.Guard}}
		if err := b.usable(ctx, terms.Guard); err != nil {
			return Result{}, err
		}
	}
	defer b.hold()()
	c.since = time.Now()
	if terms.Length > 0 {
		c.deadline = c.since.Add(terms.Length)
	}
	joins, err := b.conflict(by, batch, terms, c)
	if err != nil {
		return Result{}, err
	}
	applied, err := b.o.Registry.Apply(batch)
	if err != nil {
		return Result{}, invalid(err)
	}
	b.add(c, applied)
	b.report(Report{Verb: "change", By: by, Reason: terms.Reason, ID: c.id, Changes: c.changes})
	result := Result{ID: c.id, Revision: b.o.Registry.Revision(), Changes: c.changes}
	b.join(joins, c)
	b.undone = nil
	if c.onTrial() {
		now := c.wire(b.o.Wall())
		result.Trial = &now
	}
	return result, nil
}

// add numbers what was applied and puts it on top. The lock is held.
func (b *Book) add(c *change, applied []settings.Applied) {
	b.last++
	c.id, c.applied, c.changes = b.last, applied, Describe(applied)
	push(&b.done, c)
}

func push(stack *[]*change, c *change) {
	*stack = append(*stack, c)
	// One on trial is never forgotten: its timer reverts it.
	if len(*stack) > maxUndo {
		if i := slices.IndexFunc(*stack, func(c *change) bool { return !c.onTrial() }); i >= 0 {
			*stack = slices.Delete(*stack, i, i+1)
		}
	}
}

// trials returns what is on trial. The lock is held.
func (b *Book) trials() []*change {
	var out []*change
	for _, c := range b.done {
		if c.onTrial() {
			out = append(out, c)
		}
	}
	return out
}

// conflict refuses to overwrite what another operator has changed since, or has on
// trial. What the same operator has on trial is returned: the change joins it, and
// takes its guards. The lock is held.
func (b *Book) conflict(by Owner, batch []settings.Change, terms Terms, c *change) (joins []*change, err error) {
	if terms.Revision != nil {
		for _, one := range batch {
			if t := b.touched[one.Key]; t.revision > *terms.Revision {
				return nil, refuse(Conflict, "%s was changed by %s %s ago, %s -> %s: look again, then decide",
					one.Key, t.by, time.Since(t.at).Round(time.Second), t.changed.Old, t.changed.New)
			}
		}
	}
	for _, t := range b.trials() {
		if !slices.ContainsFunc(t.changes, func(c Changed) bool {
			return slices.ContainsFunc(batch, func(one settings.Change) bool { return one.Key == c.Key })
		}) {
			continue
		}
		left := time.Until(t.deadline).Round(time.Second)
		if !t.by.same(by) {
			return nil, refuse(Conflict, "%s is on trial by %s for another %s: keep or revert it first", Summary(t.changes), t.by.Name, left)
		}
		if !c.onTrial() {
			return nil, refuse(Conflict, "%s is on trial by you for another %s: keep or revert it first, or go on with revert_after", Summary(t.changes), left)
		}
		joins = append(joins, t)
	}
	if len(joins) == 0 && c.onTrial() && len(b.trials()) >= maxTrials {
		return nil, refuse(TooMany, "%d changes are on trial: keep or revert some first", maxTrials)
	}
	guards := joinedGuards(joins, c)
	if len(guards) > maxGuards {
		return nil, refuse(TooMany, "the trial would have %d guards, at most %d: keep or revert it first", len(guards), maxGuards)
	}
	c.guards = guards
	return joins, nil
}

// join makes one trial of earlier ones of the same operator and a new one, so that
// reverting goes to what was before the first. The lock is held.
func (b *Book) join(before []*change, c *change) {
	for _, t := range slices.Backward(before) {
		c.applied = settings.Joined(t.applied, c.applied)
		b.remove(t)
	}
	c.changes = Describe(c.applied)
}

func (b *Book) remove(c *change) {
	b.done = slices.DeleteFunc(b.done, func(d *change) bool { return d == c })
}

// takeBack takes one change back, wherever it is in the book. The lock is held.
func (b *Book) takeBack(r Report, c *change) (Result, error) {
	applied, err := b.o.Registry.TakeBack(c.applied)
	if err != nil {
		return Result{}, invalid(err)
	}
	b.remove(c)
	push(&b.undone, &change{id: c.id, by: c.by, since: c.since, reason: c.reason, applied: applied})
	r.ID, r.Changes = c.id, Describe(applied)
	b.report(r)
	return Result{ID: c.id, Revision: b.o.Registry.Revision(), Changes: r.Changes}, nil
}

// Allow says whether changes may be made by who asks. It is called with the book's
// lock held.
type Allow func([]Changed) error

// Undo takes the newest change back, on trial or not.
func (b *Book) Undo(by Owner, allow Allow) (Result, error) {
	defer b.hold()()
	if len(b.done) == 0 {
		return Result{}, refuse(Conflict, "there is no change to take back")
	}
	return b.takeBackFor(by, "undo", b.done[len(b.done)-1], allow)
}

// Revert takes back the change on trial with that number, or the newest for "last".
func (b *Book) Revert(by Owner, id string, allow Allow) (Result, error) {
	defer b.hold()()
	c, err := b.named(id)
	if err != nil {
		return Result{}, err
	}
	return b.takeBackFor(by, "revert", c, allow)
}

func (b *Book) takeBackFor(by Owner, verb string, c *change, allow Allow) (Result, error) {
	if err := allow(c.changes); err != nil {
		return Result{ID: c.id, Changes: c.changes}, err
	}
	result, err := b.takeBack(Report{Verb: verb, By: by}, c)
	if err != nil {
		return Result{ID: c.id, Changes: c.changes}, err
	}
	return result, nil
}

// Redo makes the change again that was taken back last, and keeps it.
func (b *Book) Redo(by Owner, allow Allow) (Result, error) {
	defer b.hold()()
	n := len(b.undone)
	if n == 0 {
		return Result{}, refuse(Conflict, "nothing was taken back that could be done again")
	}
	c := b.undone[n-1]
	was := Result{Changes: Describe(c.applied)}
	if err := allow(was.Changes); err != nil {
		return was, err
	}
	applied, err := b.o.Registry.TakeBack(c.applied)
	if err != nil {
		return was, invalid(err)
	}
	again := &change{by: by, since: time.Now(), reason: c.reason}
	b.add(again, applied)
	b.undone = b.undone[:n-1]
	b.report(Report{Verb: "redo", By: by, ID: again.id, Changes: again.changes})
	return Result{ID: again.id, Revision: b.o.Registry.Revision(), Changes: again.changes}, nil
}

// Keep ends the trial of the change with that number, or of the newest for "last": its
// values stay.
func (b *Book) Keep(by Owner, id string, allow Allow) (Result, error) {
	defer b.hold()()
	c, err := b.named(id)
	if err != nil {
		return Result{}, err
	}
	if err := allow(c.changes); err != nil {
		return Result{ID: c.id, Changes: c.changes}, err
	}
	c.deadline, c.guards = time.Time{}, nil
	b.report(Report{Verb: "keep", By: by, ID: c.id, Changes: c.changes})
	return Result{ID: c.id, Revision: b.o.Registry.Revision(), Changes: c.changes}, nil
}

// named finds a change on trial. The lock is held.
func (b *Book) named(id string) (*change, error) {
	trials := b.trials()
	if len(trials) == 0 {
		return nil, refuse(Unknown, "no change is on trial: each was kept, or has gone back")
	}
	if id == "last" {
		return slices.MaxFunc(trials, func(x, y *change) int { return cmp.Compare(x.id, y.id) }), nil
	}
	for _, t := range trials {
		if strconv.FormatUint(t.id, 10) == id {
			return t, nil
		}
	}
	return nil, refuse(Unknown, "change %q is not on trial: it was kept, or has gone back", id)
}

// report remembers what was done until it is told, and who touched what. The lock is
// held.
func (b *Book) report(r Report) {
	b.reports = append(b.reports, r)
	if r.Verb == "keep" || r.Err != nil {
		return
	}
	by := r.By.Name
	if r.Node {
		by = "node"
	}
	for _, c := range r.Changes {
		b.touched[c.Key] = touch{b.o.Registry.Revision(), by, time.Now(), c}
	}
}
