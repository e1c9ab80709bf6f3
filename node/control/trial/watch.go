package trial

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/supervise"
)

const (
	// guardEvery is how often a guard is evaluated, at most.
	guardEvery = time.Second
	// guardFor bounds one evaluation, and usableFor the first, for which somebody waits.
	guardFor  = 5 * time.Second
	usableFor = 3 * time.Second
	// maxEvaluating bounds the guards that are evaluated at the same time.
	maxEvaluating = 8
)

// guard is a condition that reverts a trial. It goes along when the trial is joined, so
// that an evaluation under way finds the trial that it belongs to, or none. The book's
// lock guards all but the text.
type guard struct {
	expr    string
	busy    bool
	asked   time.Time
	failing bool // it was told that it cannot be evaluated
}

// joinedGuards returns the guards of a change and of those that it joins, each once.
func joinedGuards(joins []*change, c *change) []*guard {
	var out []*guard
	for _, t := range append(slices.Clone(joins), c) {
		for _, g := range t.guards {
			if !slices.ContainsFunc(out, func(o *guard) bool { return o.expr == g.expr }) {
				out = append(out, g)
			}
		}
	}
	return out
}

// usable says why an expression is no guard for a change that is to be made.
func (b *Book) usable(ctx context.Context, expr string) error {
	limited, cancel := context.WithTimeout(ctx, usableFor)
	defer cancel()
	holds, err := b.o.Condition(limited, expr)
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded):
		return refuse(Unusable, "the guard %s takes longer than %s to evaluate; choose a cheaper one", expr, usableFor)
	case err != nil:
		return refuse(Unusable, "the guard is neither an alert nor PromQL: %v", err)
	case holds:
		return refuse(Conflict, "the guard %s is true already, before the change; choose one that is false now", expr)
	}
	return nil
}

// Run reverts what is not confirmed in time, or whose guard holds, until ctx ends. The
// timers are here, in the node: a terminal that is gone cannot leave a bad value behind.
func (b *Book) Run(ctx context.Context) {
	var wg sync.WaitGroup
	supervise.Loop(ctx, &wg, "deadlines of trials", b.watchDeadlines)
	supervise.Loop(ctx, &wg, "guards of trials", b.watchGuards)
	supervise.Loop(ctx, &wg, "reports of trials", b.tellAll)
	wg.Wait()
	b.flush()
}

// watchDeadlines waits for nothing but time.
func (b *Book) watchDeadlines(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-timer.C:
		}
		timer.Reset(b.expire())
	}
}

// tellAll tells what deadlines and guards have done, so that neither waits for a slow
// ear.
func (b *Book) tellAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.tell:
			b.flush()
		}
	}
}

// expire reverts the trials that are over and returns when to look again.
func (b *Book) expire() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := time.Hour
	for _, t := range b.trials() {
		if left := time.Until(t.deadline); left > 0 {
			next = min(next, left)
			continue
		}
		b.revert(t, "not kept in time")
	}
	return next
}

// revert takes a trial back for the node itself. The lock is held.
func (b *Book) revert(t *change, why string) {
	if _, err := b.takeBack(Report{Verb: "revert", Node: true, Reason: why}, t); err != nil {
		t.deadline, t.guards = time.Time{}, nil // it is kept, and said to be
		b.report(Report{Verb: "revert", Node: true, ID: t.id, Changes: t.changes, Err: err})
	}
	b.show()
	signal(b.tell)
}

// watchGuards has guards evaluated, each by itself.
func (b *Book) watchGuards(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	places := make(chan struct{}, maxEvaluating)
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range maxEvaluating {
			select {
			case places <- struct{}{}:
			default:
				continue
			}
			g := b.nextGuard()
			if g == nil {
				<-places
				break
			}
			supervise.Go(&running, "guard of a trial", func() {
				defer func() { <-places }()
				b.evaluate(ctx, g)
			}, nil)
		}
	}
}

// nextGuard takes the guard that has not been asked for longest and is due, or nil.
func (b *Book) nextGuard() *guard {
	b.mu.Lock()
	defer b.mu.Unlock()
	var next *guard
	for _, t := range b.trials() {
		for _, g := range t.guards {
			if !g.busy && time.Since(g.asked) >= guardEvery/2 && (next == nil || g.asked.Before(next.asked)) {
				next = g
			}
		}
	}
	if next != nil {
		next.busy, next.asked = true, time.Now()
	}
	return next
}

// evaluate asks whether a guard holds, and reverts the trial that has it then.
func (b *Book) evaluate(ctx context.Context, g *guard) {
	limited, cancel := context.WithTimeout(ctx, guardFor)
	holds, err := b.o.Condition(limited, g.expr)
	cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	g.busy = false
	trials := b.trials()
	i := slices.IndexFunc(trials, func(t *change) bool { return slices.Contains(t.guards, g) })
	switch {
	case i < 0 || ctx.Err() != nil: // what it guarded was kept or is taken back, or the node ends
	case err != nil: // the deadline is still there
		if !g.failing {
			b.report(Report{Verb: "guard", Node: true, Reason: g.expr, ID: trials[i].id, Changes: trials[i].changes, Err: err})
			signal(b.tell)
		}
		g.failing = true
	case holds:
		b.revert(trials[i], "the guard "+g.expr+" turned true")
	default:
		g.failing = false
	}
}
