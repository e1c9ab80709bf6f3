package head

import (
	"fmt"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

// farAhead is how many blocks a provider must claim beyond the trusted head to be reported.
const farAhead = 128

// decide takes the votes and publishes what they come to.
func (t *Tracker) decide(now time.Time) {
	t.mu.Lock()
	voters := t.voters(now)
	enough := need(t.Quorum(), len(voters))
	e := t.elect(voters, enough)
	before := t.now.Load()
	var tell []func()
	report := func(provider int, severity, text string) {
		tell = append(tell, func() { t.Report(provider, severity, text) })
	}
	t.disagree(e, voters, report)
	trust := t.trust(len(voters))
	if e.ok && !t.credible(before, e.Block, trust, now) {
		e.ok = false
	}
	top, stay := e.Block, true
	if e.ok {
		stay = !t.replaces(before, e.Block, trust, now)
	}
	if !stay {
		t.advance(before, top, now)
	}
	if before == nil && !e.ok {
		t.mu.Unlock()
		run(tell)
		return
	}
	if stay {
		top = before.Block
	}
	if e.ok {
		t.confirmed.Store(monotonic.Of(t.heardFrom(voters, enough)))
	}
	lost := t.join(voters, max(enough, 1), report)
	m := t.moment(top, e, trust, voters, enough)
	t.ahead(m, voters, report)
	t.takeStances(m)
	if before == nil || !same(m, before) {
		if before != nil {
			m.Epoch = before.Epoch
		}
		m.Epoch++
		t.now.Store(m)
		close(t.changed)
		t.changed = make(chan struct{})
		tell = append(tell, func() { t.Moved(*m) })
	}
	t.mu.Unlock()
	if lost {
		t.Replaced()
	}
	run(tell)
}

func run(list []func()) {
	for _, f := range list {
		f()
	}
}

func same(a, b *Moment) bool {
	return a.Block == b.Block && a.Trust == b.Trust && a.Safe == b.Safe && a.Final == b.Final && a.Tagged == b.Tagged
}

// trust is on whose word so many voters decide.
func (t *Tracker) trust(voters int) Trust {
	switch {
	case voters == 0:
		return None
	case voters == 1 && t.Quorum() > 1:
		return Single
	}
	return Quorum
}

// credible says whether a block may be the head on such a trust. A quorum may name any. One
// provider among several that are configured is not believed at once after the start, and
// no leap of it ever.
func (t *Tracker) credible(before *Moment, b Block, trust Trust, now time.Time) bool {
	if trust != Single || t.Providers == 1 {
		return true
	}
	if before == nil {
		return now.Sub(t.began) >= settleFor
	}
	allowed := uint64(leap)
	if every := t.Interval(); every > 0 {
		allowed += uint64(2 * now.Sub(t.moved) / every)
	}
	return b.Number <= before.Number || b.Number-before.Number <= allowed
}

// replaces says whether an elected block takes the place of the head.
func (t *Tracker) replaces(before *Moment, b Block, trust Trust, now time.Time) bool {
	low := t.low
	t.low = time.Time{}
	switch {
	case before == nil || b.Number > before.Number:
		return true
	case b == before.Block:
		return false
	case before.Trust == Single && trust == Quorum:
		return true
	case b.Number == before.Number && before.Hash == Hash{}:
		return true
	}
	canonical, known := t.window.Load().hash(b.Number)
	if known && b.Hash == canonical {
		return false // an older block of the same chain: who was ahead has left
	}
	if known && b.Hash != (Hash{}) {
		return true
	}
	// Nothing ties it to what is known: the chain may have begun anew.
	if t.low = low; low.IsZero() {
		t.low = now
	}
	return now.Sub(t.low) >= resetAfter
}

// advance makes a block the top of the window.
func (t *Tracker) advance(before *Moment, top Block, now time.Time) {
	old := t.window.Load()
	keep := min(max(keepFactor*t.Depth(), keepLeast), keepMost)
	if before != nil {
		gone := t.pending
		if gone == nil {
			gone = &reorganised{top: before.Number, lowest: before.Number + 1}
		}
		if old != nil && top.Number <= before.Number && before.Hash != (Hash{}) {
			gone.blocks += int(before.Number - top.Number)
			gone.lowest = min(gone.lowest, top.Number+1)
			if was, ok := old.hash(top.Number); !ok || was != top.Hash {
				gone.blocks++
				gone.lowest = min(gone.lowest, top.Number)
			}
			t.pending = gone
		}
		if top.Number > before.Number {
			took := now.Sub(t.moved) / time.Duration(min(top.Number-before.Number, 1<<20))
			average := t.Interval()
			if average == 0 {
				average = took
			}
			const weight = 8
			t.interval.Store(int64(average + (took-average)/weight))
		}
	}
	t.moved = now
	next := old.clone(top.Number, keep)
	next.hashes[top.Number-next.first] = top.Hash
	t.window.Store(next)
	t.walk.begin(top.Number)
	if before != nil {
		t.walk.before = before.Number
	}
	for hash, l := range t.links {
		if l.number+2*steps < top.Number && l.number < next.first || l.number > top.Number+uint64(keepLeast) {
			delete(t.links, hash)
		}
	}
}

// join ties the top of the window to what is below, block by block, and says whether all
// of it was replaced. What it does not know yet it asks for.
func (t *Tracker) join(voters []int, enough int, report func(int, string, string)) (lost bool) {
	w := t.window.Load()
	if w == nil {
		return false
	}
	own := false // w is a copy
	change := func() {
		if !own {
			w, own = w.clone(w.top(), len(w.hashes)), true
		}
	}
way:
	for t.walk.open && !lost {
		n := t.walk.at
		hash, known := w.hash(n)
		switch parent, told := t.links[hash].known(enough); {
		case !known || n == 0: // the providers tell no hashes, or it is the first block
			t.walk.open = false
		case n == w.first && t.pending != nil:
			lost = true
		case n == w.first && !t.extends(w):
			t.walk.open = false
		case !told:
			t.wantParent(hash, n, voters)
			break way
		case n == w.first:
			change()
			w.extend(parent)
			t.walk.at--
		default:
			below, has := w.hash(n - 1)
			if has && below == parent {
				if t.walk.linked(n, w.first) {
					t.reorganised(report)
				}
				continue
			}
			change()
			w.hashes[n-1-w.first] = parent
			t.walk.at--
			if has {
				if t.pending == nil {
					t.pending = &reorganised{top: t.walk.before}
				}
				t.pending.blocks++
				t.pending.lowest = n - 1
			}
		}
	}
	if own {
		t.window.Store(w)
	}
	if lost || !t.walk.open {
		t.reorganised(report)
		t.walk.open = false
	}
	return lost
}

// extends says whether the window is to reach further down: after a start it holds
// little.
func (t *Tracker) extends(w *window) bool {
	size := uint64(len(w.hashes))
	return size < extendTo && size < uint64(max(t.Depth(), 1))
}

// wantParent asks the next voter for a block whose parent is not known.
func (t *Tracker) wantParent(hash Hash, number uint64, voters []int) {
	l := t.links[hash]
	if l == nil {
		l = newLink(number)
		t.links[hash] = l
	}
	all := true
	for _, i := range voters {
		if l.asked[i] {
			continue
		}
		all = false
		if !t.seats[i].asking {
			t.want(i, question{hash: hash})
			return
		}
	}
	if all { // nobody had it; they may by now
		clear(l.asked)
	}
}

// reorganised reports the reorganisation whose depth is known now.
func (t *Tracker) reorganised(report func(int, string, string)) {
	gone := t.pending
	t.pending = nil
	if gone == nil || gone.blocks == 0 {
		return
	}
	t.meter.reorgs.Inc()
	t.meter.depth.Observe(float64(gone.blocks))
	text := fmt.Sprintf("reorganised: %d blocks up to %d were replaced", gone.blocks, gone.top)
	m := t.now.Load()
	if m != nil && (m.Final != Block{}) && gone.lowest <= m.Final.Number {
		t.meter.finalReorgs.Inc()
		report(-1, "bad", fmt.Sprintf("%s, down to %d, below block %d, which was taken to be final: what rests on them is dropped; raise validation.confirmations_final if this chain does that", text, gone.lowest, m.Final.Number))
		lowered := *m
		lowered.Final = Block{}
		if gone.lowest > 0 {
			lowered.Final.Number = gone.lowest - 1
			lowered.Final.Hash, _ = t.window.Load().hash(gone.lowest - 1)
		}
		t.now.Store(&lowered)
		return
	}
	report(-1, "warn", text)
}

// moment is what is known now.
func (t *Tracker) moment(top Block, e elected, trust Trust, voters []int, enough int) *Moment {
	m := &Moment{Block: top, Votes: e.votes, Voters: len(voters), Quantity: Quantity(top.Number)}
	if current := t.now.Load(); current != nil {
		m.Trust, m.Safe, m.Final, m.Tagged = current.Trust, current.Safe, current.Final, current.Tagged
	}
	if e.ok {
		m.Trust = trust
	}
	if !e.ok || m.Trust == Single && t.Providers > 1 {
		return m // one provider's word decides no finality
	}
	depth := uint64(max(t.Depth(), 0))
	final, tagged := t.tagged(voters, enough, func(s *seat) Block { return s.final })
	safe, _ := t.tagged(voters, enough, func(s *seat) Block { return s.safe })
	if !tagged {
		final = Block{}
		if top.Number > depth {
			final.Number = top.Number - depth
			final.Hash, _ = t.window.Load().hash(final.Number)
		}
		safe = final
	}
	m.Tagged = tagged
	if final.Number <= top.Number && final.Number >= m.Final.Number {
		m.Final = final
	}
	if safe.Number <= top.Number && safe.Number >= m.Final.Number {
		m.Safe = safe
	} else if m.Safe.Number < m.Final.Number || m.Safe.Number > top.Number {
		m.Safe = m.Final
	}
	return m
}

// disagree reports that the providers agree on no block, and that they do again.
func (t *Tracker) disagree(e elected, voters []int, report func(int, string, string)) {
	switch {
	case e.ok && t.split:
		t.split = false
		report(-1, "good", "a quorum agrees on the newest block again")
	case !e.ok && !t.split && len(voters) > 1 && len(t.wanted) == 0:
		t.split = true
		report(-1, "bad", fmt.Sprintf("of %d providers no %d agree on a block: the head stays where it is", len(voters), need(t.Quorum(), len(voters))))
	}
}

// ahead reports who claims a block far beyond the trusted head.
func (t *Tracker) ahead(m *Moment, voters []int, report func(int, string, string)) {
	for _, i := range voters {
		s := &t.seats[i]
		far := s.newest > m.Number && s.newest-m.Number > farAhead
		if far && !s.ahead {
			report(i, "warn", fmt.Sprintf("claims block %d, where a quorum has %d: not believed", s.newest, m.Number))
		}
		s.ahead = far
	}
}
