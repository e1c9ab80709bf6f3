package cache

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/bizra/bizra-top/node/monotonic"
)

// BlockRef names the block that an answer rests on.
type BlockRef struct {
	Number uint64
	Hash   [32]byte
}

// Trust is on what an answer rests. Its number is written into L2.
type Trust uint8

// The kinds of trust.
const (
	Proof  Trust = iota // what the chain itself proves, or the node found out
	Agreed              // the word of a quorum of providers
	Single              // one provider's word: never kept beyond the moment, nor shared
)

// Loaded is what a loader brings. What is neither Immutable nor rests on a block
// is kept for its time only.
type Loaded struct {
	Body  []byte // not changed afterwards
	Class Class  // 0: the class that was asked for
	// Immutable says that nothing can change the answer any more. It may then be
	// served after its time when it cannot be had anew.
	Immutable bool
	// Block, when its hash is set, is the block the answer rests on. The answer is used
	// only while that block is canonical, as far as is known, and kept for
	// cache.ttl.unfinalised at most unless it is Immutable.
	Block BlockRef
	// WithHead says that the answer moves with the head of the chain. It is kept in
	// L1 only, until its time is over or a new head is seen, whichever is first.
	WithHead bool
	NoStore  bool // for the callers waiting now only
	Trust    Trust
}

// Loader brings what no tier has.
type Loader func(context.Context) (Loaded, error)

// Answer is what a read found.
type Answer struct {
	Body  []byte // not to be changed
	Class Class
	Tier  Tier
	Stale bool // past its time, since it could not be had anew
	Trust Trust
	entry *entry
}

// Encoded returns the body in an encoding, or nil where that does not make it
// smaller. What the cache holds is encoded once and kept with the entry.
func (a Answer) Encoded(e Encoding) []byte {
	if a.entry == nil {
		return (&entry{body: a.Body}).encoded(e)
	}
	return a.entry.encoded(e)
}

// Retain counts the body with take while it is needed beyond the cache, until Release;
// false where take has no room. However many retain one body, it is counted once: they
// share it.
func (a Answer) Retain(take func(int64) bool) bool {
	n := int64(len(a.Body))
	if a.entry == nil {
		return take(n)
	}
	if a.entry.retained.Add(1) > 1 || take(n) {
		return true
	}
	a.entry.retained.Add(-1)
	return false
}

// Release ends what Retain began.
func (a Answer) Release(release func(int64)) {
	if a.entry == nil || a.entry.retained.Add(-1) == 0 {
		release(int64(len(a.Body)))
	}
}

// entry is one value of L1. What is not atomic is not changed once it is set.
type entry struct {
	key       string
	class     Class
	trust     Trust
	immutable bool
	block     BlockRef
	heads     uint64 // how many heads had been seen when it was asked for; 0 when that does not matter
	body      []byte
	stored    int64 // monotonic, as the next two
	expires   int64
	until     int64 // when it is of no use any more, expired or not

	owner      *Cache       // that keeps it; nil for one that is not kept
	counted    atomic.Int64 // what metrics have counted of it
	reweighing atomic.Bool
	refreshing atomic.Bool
	retained   atomic.Int32 // by how many answers that are being sent
	encodings  [encodings]atomic.Pointer[[]byte]
}

// fresh says whether the entry's time is not over.
func (e *entry) fresh(now int64) bool { return now < e.expires }

// due says whether the last share of the entry's time has begun.
func (e *entry) due(now int64, share float64) bool {
	return float64(e.expires-now) < share*float64(e.expires-e.stored)
}

// entryOverhead is counted for each entry besides key and body: the entry, otter's node,
// its place in the table and the policy's links. TestL1CountsWhatItHolds measures it.
const entryOverhead = 296

// allocated is what a string or slice of n bytes takes: the allocator's size classes
// leave an eighth unused at most, half of that on average.
func allocated(n int) int { return n + n/16 }

// size is what the entry holds in memory, with the encodings that were made of it.
func (e *entry) size() int64 {
	n := entryOverhead + allocated(len(e.key)) + allocated(len(e.body))
	for i := range e.encodings {
		if p := e.encodings[i].Load(); p != nil {
			n += allocated(len(*p))
		}
	}
	return int64(n)
}

// weight is what an entry counts against the bound.
func weight(_ uint64, e *entry) uint32 { return uint32(min(e.size(), math.MaxUint32)) }

// reweigh counts an entry anew that L1 holds and an encoding was added to.
func (c *Cache) reweigh(e *entry) {
	c.l1.ComputeIfPresent(c.slot(e.key), func(now *entry) (*entry, otter.ComputeOp) {
		if now != e {
			return now, otter.CancelOp
		}
		c.metrics.reweighed(e)
		return e, otter.WriteOp
	})
}

// answer is the entry as a reader gets it.
func (e *entry) answer(t Tier, stale bool) Answer {
	return Answer{e.body, e.class, t, stale, e.trust, e}
}

// newEntry makes an entry of what was loaded when so many heads had been seen.
func (c *Cache) newEntry(class Class, key string, l Loaded, heads uint64, now time.Time) *entry {
	if l.Class != 0 {
		class = l.Class
	}
	ttl := c.TTL(class)
	if !l.Immutable && l.Block.Hash != [32]byte{} {
		ttl = min(ttl, c.settings.Unfinalised.Get())
	}
	if l.Trust == Single {
		l.Immutable, l.WithHead = false, true
	}
	e := &entry{key: key, class: class, trust: l.Trust, immutable: l.Immutable, block: l.Block, body: l.Body,
		stored: monotonic.Of(now)}
	e.expires = e.stored + int64(ttl)
	e.until = e.expires
	if l.WithHead {
		e.heads = heads
	}
	if l.Immutable && ttl > 0 {
		e.until += int64(c.settings.StaleFor.Get())
	}
	return e
}
