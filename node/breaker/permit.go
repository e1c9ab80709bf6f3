package breaker

import (
	"sync/atomic"
	"time"
)

// view is what an ordinary call needs to know of the breaker.
type view struct {
	b          *Breaker
	generation uint64
	slice      *slice      // where outcomes go, or
	ring       *callWindow // where they go
	slowAfter  time.Duration
	state      uint8 // index in States
	allows     bool
	enter      bool // Acquire need not look further
	leave      bool // nor a success
	exact      bool // slowAfter is so short that the clock is read twice a call
	asleep     bool // no beat keeps the time
	armed      bool // a success must be judged
	due        bool // an ordinary call may be a probe
}

// page is a published view, and the calls let through on it. It fills one cache
// line. The view is never written again, so that a call that holds a page holds
// one consistent moment: state and generation cannot be torn apart, and a result
// can tell by one comparison that the breaker has moved on. A new page takes the
// place of the old one when the view changes, and every few milliseconds while
// there are calls, which is how calls under way are told apart by age.
type page struct {
	view
	// calls counts two things at once: calls let through on this page that have
	// not reported yet, in units of flying, and successes since it was published
	// when the window is one of time, in units of landed.
	calls atomic.Int64
}

const (
	flying = 1
	landed = 1 << 32
)

// read returns the calls under way and the successes on the page, which wrap
// around: what counts is their increase.
func (p *page) read() (underWay int64, successes uint32) {
	word := p.calls.Load()
	underWay = int64(int32(word)) // below zero if copies of a permit report
	return underWay, uint32((word - underWay) / landed)
}

// success counts a call that was neither failed nor slow.
func (p *page) success() {
	if p.ring != nil {
		p.ring.record(false, false)
	} else {
		p.calls.Add(landed)
	}
}

// former is a page that is not in place any more.
type former struct {
	*page
	closed    time.Duration // when the last call can have been let through on it
	collected uint32
}

// collect moves the successes on a page since the last time, which were
// collected, to the page's slice, and returns the calls under way.
func (p *page) collect(collected *uint32) (underWay int64) {
	underWay, successes := p.read()
	if p.slice != nil {
		p.slice.calls.Add(uint64(successes - *collected))
	}
	*collected = successes
	return underWay
}

// Permit allows one call. Exactly one of Success, Slow, Failure and Ignore should
// be called with the call's result.
//
// A permit is a small value and costs no allocation. The first report empties it,
// so a second report through the same variable does nothing (a deferred Ignore
// may follow a Success), and neither does any report of the zero Permit. A copy
// is another permit for the same call: if both report, the call counts twice and
// one other call under way may not be seen to be slow until it ends. Nothing worse
// happens: no count falls below zero, and a probe counts once whoever reports it.
//
// A permit of a probe that never reports fails at its deadline. An ordinary permit
// that never reports counts as a slow call from slow_after on, for the length of
// the setting window whatever the window is measured in, and is then forgotten.
type Permit struct {
	page  *page
	began time.Duration // since the breaker's start
	probe uint64        // 0 for an ordinary call
}

// Acquire asks to make a call. It returns ErrOpen, at once, when the breaker
// refuses.
func (b *Breaker) Acquire() (Permit, error) {
	pg := b.page.Load()
	if pg.enter {
		pg.calls.Add(flying)
		return Permit{page: pg, began: time.Duration(b.at.Load())}, nil
	}
	return b.acquire(pg)
}

// acquire is Acquire off the beaten track.
func (b *Breaker) acquire(pg *page) (Permit, error) {
	if b.manual || pg.asleep || pg.due {
		b.lock()
		b.settle()
		if b.state.allows() {
			b.asleep, b.idle = false, 0
		} else if !b.prober {
			if p := b.probe(); p.page != nil {
				b.unlock()
				return p, nil
			}
		}
		b.unlock()
		pg = b.page.Load()
	}
	if !pg.allows {
		b.rejected.Add(1)
		return Permit{}, ErrOpen
	}
	p := Permit{page: pg, began: time.Duration(b.at.Load())}
	if pg.exact && !b.manual {
		p.began = time.Since(b.start)
	}
	pg.calls.Add(flying)
	return p, nil
}

// Probe asks for a permit to try whether the other side works again. It says
// false unless the breaker is open, its wait is over and fewer probes than needed
// are under way.
func (b *Breaker) Probe() (Permit, bool) {
	if pg := b.page.Load(); pg.allows || States[pg.state] == ForcedOpen {
		return Permit{}, false
	}
	b.lock()
	defer b.unlock()
	p := b.probe()
	return p, p.page != nil
}

// Success reports that the call worked. Whether it was slow is measured from
// the moment the permit was given.
func (p *Permit) Success() {
	pg := p.page
	if pg == nil {
		return
	}
	p.page = nil
	b := pg.b
	cur := b.page.Load()
	if cur.leave && p.probe == 0 && cur.generation == pg.generation && time.Duration(b.at.Load())-p.began <= cur.slowAfter {
		if cur == pg && cur.ring == nil {
			cur.calls.Add(landed - flying)
		} else {
			pg.calls.Add(-flying)
			cur.success()
		}
		return
	}
	b.finish(pg, p.began, p.probe, result{})
}

// Slow reports that the call would have worked but another was faster: it
// counts as slow, however long it took.
func (p *Permit) Slow() { p.finish(result{slow: true}) }

// Failure reports that the call failed with err.
func (p *Permit) Failure(err error) { p.finish(result{failed: true, err: err}) }

// Ignore reports that the call says nothing about the other side: the caller
// left, or was not ready.
func (p *Permit) Ignore() { p.finish(result{ignored: true}) }

// result is what a permit reports; the zero result is a success.
type result struct {
	failed, slow, ignored bool
	err                   error
}

func (p *Permit) finish(r result) {
	if pg := p.page; pg != nil {
		p.page = nil
		pg.b.finish(pg, p.began, p.probe, r)
	}
}

func (b *Breaker) finish(pg *page, began time.Duration, probe uint64, r result) {
	if probe == 0 {
		pg.calls.Add(-flying)
		cur := b.page.Load()
		switch {
		case r.ignored || cur.generation != pg.generation:
			return
		case cur.exact && !cur.asleep && !cur.armed && !b.manual && !r.failed && !r.slow:
			if time.Since(b.start)-began <= cur.slowAfter {
				cur.success()
				return
			}
		}
	}
	b.lock()
	defer b.unlock()
	if pg.generation != b.generation {
		return
	}
	if r.err != nil {
		b.lastError = clean(r.err)
	}
	if probe != 0 {
		b.finishProbe(probe, r)
		return
	}
	b.window.record(r.failed, r.slow || b.elapsed-began > b.limits.slowAfter)
	b.judge()
}
