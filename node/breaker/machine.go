package breaker

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

const (
	// The clock of a breaker in use beats beatsPerSlow times in slow_after, within
	// these bounds. A beat is the resolution of everything a successful call measures.
	beatsPerSlow = 100
	minBeat      = 5 * time.Millisecond
	maxBeat      = 50 * time.Millisecond
	// exactBelow is the slow_after below which a beat would be too coarse: then
	// the clock is read twice a call.
	exactBelow = beatsPerSlow * minBeat
	// sleepAfter is how many beats without a call stop the clock.
	sleepAfter = 2
	// flyingSteps is in how many steps slow_after is told apart for calls under way.
	flyingSteps = 64
	// maxFlying bounds the pages that are kept for their calls under way.
	maxFlying = 1024
	// lookEvery is how often a breaker that waits looks whether what it waits for was
	// set anew.
	lookEvery = time.Second
	// maxPending bounds the transitions that wait for a callback that is slow.
	maxPending = 1024
	// grace is how long a page without calls under way is kept for one who has
	// just read it and has not been let through yet.
	grace = 100 * time.Millisecond
)

// lock takes the lock and makes the breaker as of now. unlock follows.
func (b *Breaker) lock() {
	b.mu.Lock()
	b.tick()
}

// unlock publishes what has changed, unlocks, and reports the transitions that were
// made under the lock. One goroutine at a time reports, so that they are heard in the
// order in which they were made: who comes meanwhile leaves his to it.
func (b *Breaker) unlock() {
	b.publish()
	b.arm()
	if b.reporting || len(b.pending) == 0 {
		b.mu.Unlock()
		return
	}
	b.reporting = true
	defer func() { // also when a callback panics
		b.reporting = false
		b.mu.Unlock()
	}()
	for len(b.pending) > 0 {
		b.report()
	}
}

// report reports what is pending, without the lock, which is held before and after.
func (b *Breaker) report() {
	pending := b.pending
	b.pending = nil
	b.mu.Unlock()
	defer b.mu.Lock()
	for _, t := range pending {
		for _, f := range b.onTransition {
			f(t)
		}
	}
}

// tick reads the clock and the settings and moves the window. It changes no state.
// A clock that goes back loses nothing but the jump: time goes on from where it was.
func (b *Breaker) tick() {
	read := b.clock()
	b.before = b.elapsed
	b.elapsed += max(read-b.read, 0)
	b.read = read
	b.at.Store(int64(b.elapsed))

	if b.overrides != nil {
		if list := b.overrides.Get(); !slices.Equal(list, b.overridden) {
			b.settings, b.overridden = b.declared.with(list, b.name), list
		}
	}
	l := b.settings.read()
	if !b.fresh || !l.sameWindow(b.limits) {
		b.window, b.fresh = newWindow(l, b.elapsed), true
	}
	b.limits = l
	b.window.advance(b.elapsed)
	if b.state == Open {
		b.nextProbe = b.tripped + b.wait()
	}

	if pg := b.page.Load(); pg != nil && b.elapsed-b.opened >= b.pageFor() {
		b.publish()
	}
	if pg := b.page.Load(); pg != nil {
		pg.collect(&b.collected)
	}
	b.overdue = 0
	keep := b.flying[:0]
	for _, pg := range b.flying {
		age, n := b.elapsed-pg.closed, pg.collect(&pg.collected)
		if n <= 0 && age > grace || age > l.slowAfter+l.window {
			continue
		}
		if n > 0 && age > l.slowAfter {
			b.overdue += uint64(n)
		}
		keep = append(keep, pg)
	}
	clear(b.flying[len(keep):])
	b.flying = keep
}

// clock returns the time since start, which goes back if the clock does.
func (b *Breaker) clock() time.Duration {
	if b.manual {
		return b.now().Sub(b.start)
	}
	return time.Since(b.start) // half the price of time.Now
}

// beatFor is the time between two beats.
func (b *Breaker) beatFor() time.Duration {
	return min(max(b.limits.slowAfter/beatsPerSlow, minBeat), maxBeat)
}

// pageFor is the longest that one page is in use.
func (b *Breaker) pageFor() time.Duration { return max(minBeat, b.limits.slowAfter/flyingSteps) }

// publish puts a new page in place when the one there is out of date.
func (b *Breaker) publish() {
	l, allows := &b.limits, b.state.allows()
	v := view{
		b: b, generation: b.generation, ring: b.window.ring, slowAfter: l.slowAfter,
		state: uint8(slices.Index(States, b.state)), allows: allows,
		exact: l.slowAfter < exactBelow, asleep: b.asleep && allows, armed: b.armed,
		due: !b.prober && (b.state == Open && b.elapsed >= b.nextProbe ||
			b.state == HalfOpen && (len(b.probes)+b.passed < l.probes || b.passed >= l.probes)),
	}
	v.enter = allows && !v.asleep && !v.exact && !b.manual
	v.leave = v.enter && !v.armed
	if b.window.time != nil {
		v.slice = b.window.time.newest()
	}
	if cur := b.page.Load(); cur != nil {
		if cur.view == v && (!allows || b.elapsed-b.opened < b.pageFor()) {
			return
		}
		if cur.generation == b.generation && allows {
			if len(b.flying) == maxFlying {
				b.flying = slices.Delete(b.flying, 0, 1)
			}
			b.flying = append(b.flying, former{cur, b.before, b.collected})
		} else {
			cur.collect(&b.collected)
		}
	}
	b.opened, b.collected = b.elapsed, 0
	b.page.Store(&page{view: v})
}

// arm sets the timer for the next moment at which something happens by itself.
func (b *Breaker) arm() {
	if b.manual {
		return
	}
	at := time.Duration(math.MaxInt64)
	switch {
	case b.state.allows():
		if !b.asleep {
			at = b.elapsed + b.beatFor()
		}
	case b.state == Open:
		if !b.prober && b.elapsed < b.nextProbe {
			at = min(b.nextProbe, b.elapsed+lookEvery)
		}
	case b.state == HalfOpen:
		for _, began := range b.probes {
			at = min(at, began+b.limits.probeTimeout+1, b.elapsed+lookEvery)
		}
	}
	if at == math.MaxInt64 || b.due != 0 && b.due <= at {
		return // a timer that fires for nothing does no harm
	}
	b.due = at
	if b.timer == nil {
		b.timer = time.AfterFunc(at-b.elapsed, b.beat)
	} else {
		b.timer.Reset(at - b.elapsed)
	}
}

// beat is what the timer runs: every few milliseconds while there are calls, and
// when a wait or a deadline is over.
func (b *Breaker) beat() {
	b.lock()
	defer b.unlock()
	b.due = 0
	b.settle()
	if !b.state.allows() || b.asleep {
		return
	}
	n := b.window.recorded()
	underWay, _ := b.page.Load().read()
	for _, pg := range b.flying {
		more, _ := pg.read()
		underWay += max(more, 0)
	}
	busy := n != b.seen || underWay > 0
	if b.seen = n; busy {
		b.idle = 0
	} else if b.idle++; b.idle >= sleepAfter {
		b.asleep = true
	}
}

// settle draws the consequences of what time has brought.
func (b *Breaker) settle() {
	if b.state == HalfOpen && !b.closes() {
		for _, began := range b.probes {
			if b.elapsed > began+b.limits.probeTimeout {
				b.open("a probe was not answered in time")
				return
			}
		}
	}
	b.judge()
}

// probe gives the permit of a probe, or the zero permit.
func (b *Breaker) probe() Permit {
	b.settle()
	if b.state == Open && b.elapsed >= b.nextProbe {
		b.move(HalfOpen, "probing after "+b.wait().String())
		b.passed = 0
	}
	if b.state != HalfOpen || len(b.probes)+b.passed >= b.limits.probes {
		return Permit{}
	}
	b.probeID++
	b.probes[b.probeID] = b.elapsed
	b.publish()
	return Permit{page: b.page.Load(), began: b.elapsed, probe: b.probeID}
}

func (b *Breaker) finishProbe(id uint64, r result) {
	if _, ok := b.probes[id]; !ok {
		return // reported before, or given up at its deadline
	}
	delete(b.probes, id)
	switch {
	case r.failed:
		b.open("probe failed: " + b.lastError)
		return
	case !r.ignored:
		b.passed++
	}
	b.closes()
}

// closes closes a half-open breaker of which enough probes have passed: as many as are
// asked for now, which may be fewer than when it opened.
func (b *Breaker) closes() bool {
	if b.passed < b.limits.probes {
		return false
	}
	b.forget()
	b.failed = 0
	b.move(Closed, fmt.Sprintf("%d probes in a row succeeded", b.passed))
	return true
}

// wait is the time from opening to the first probe: open_for, doubled each time in a row
// that a probe has failed. It follows the settings while it runs.
func (b *Breaker) wait() time.Duration {
	wait, longest := b.limits.openFor, max(b.limits.openForMax, b.limits.openFor)
	for range b.failed {
		if wait *= 2; wait >= longest {
			return longest
		}
	}
	return wait
}

// open moves to open with a wait that doubles each time in a row. Slow calls
// under way stay in the window, which shows why; their ends count no more.
func (b *Breaker) open(reason string) {
	if b.state == HalfOpen {
		b.failed++
	}
	b.tripped = b.elapsed
	b.nextProbe = b.elapsed + b.wait()
	if b.state == Closed {
		b.trips++
		for range min(b.overdue, MaxWindowCalls) {
			b.window.record(false, true)
		}
	}
	b.move(Open, reason)
}

// totals counts the window and the slow calls under way.
func (b *Breaker) totals() counts {
	c := b.window.totals()
	c.calls += b.overdue
	c.slow += b.overdue
	return c
}

// judge opens a closed breaker whose window says so. It runs after each failure
// and each slow call and on each beat, and not after a success: that cannot raise
// a ratio. What it can do is to be the call that makes enough of them, so while
// the window holds a failure and too few calls, successes are judged as well.
func (b *Breaker) judge() {
	b.armed = false
	if !b.state.judged() {
		return
	}
	c := b.totals()
	b.armed = c.calls < b.limits.minimumCalls && c.failures+c.slow > 0
	over, reason := b.limits.over(c)
	if b.state == MetricsOnly {
		if over && !b.wouldOpen {
			b.tell(Transition{b.name, MetricsOnly, MetricsOnly, "would have opened: " + reason, b.now()})
		}
		b.wouldOpen = over
	} else if over {
		b.open(reason)
	}
}

// over says whether the counts open a breaker, and why.
func (l *limits) over(c counts) (bool, string) {
	switch {
	case c.calls == 0 || c.calls < l.minimumCalls:
		return false, ""
	case reaches(c.failures, c.calls, l.failureRatio):
		return true, fmt.Sprintf("%d of %d calls failed, threshold %.4g %%", c.failures, c.calls, l.failureRatio*100)
	case reaches(c.slow, c.calls, l.slowRatio):
		return true, fmt.Sprintf("%d of %d calls were slow (over %s, or overtaken by another), threshold %.4g %%", c.slow, c.calls, l.slowAfter, l.slowRatio*100)
	}
	return false, ""
}

// reaches compares n/calls with a ratio exactly, in whole numbers: the decimal
// that was written, to nine places, not the binary fraction nearest to it. In
// floating point 7 of 100 are less than 0.07.
func reaches(n, calls uint64, ratio float64) bool {
	const places = 1e9
	hi, lo := bits.Mul64(n, places)
	wantHi, wantLo := bits.Mul64(calls, uint64(math.Round(ratio*places)))
	return hi > wantHi || hi == wantHi && lo >= wantLo
}

// move changes the state. Permits given before it count no more.
func (b *Breaker) move(to State, reason string) {
	now := b.now()
	b.tell(Transition{b.name, b.state, to, reason, now})
	b.state, b.reason, b.since = to, reason, now
	b.generation++
	b.flying, b.overdue, b.armed = nil, 0, false
	b.asleep = !b.manual
	clear(b.probes)
}

// tell keeps a transition for the history and for the callbacks.
func (b *Breaker) tell(t Transition) {
	if len(b.history) == HistoryLength {
		b.history = slices.Delete(b.history, 0, 1)
	}
	b.history = append(b.history, t)
	if len(b.onTransition) == 0 {
		return
	}
	if len(b.pending) == maxPending {
		b.pending = slices.Delete(b.pending, 0, 1)
	}
	b.pending = append(b.pending, t)
}

// forget empties the window.
func (b *Breaker) forget() { b.window = newWindow(b.limits, b.elapsed) }

func clean(err error) string { return printable.Clean(err.Error(), 160) }
