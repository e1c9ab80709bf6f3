package cache

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

// BlockRef names the block that an answer rests on.
type BlockRef struct {
	Number uint64
	Hash   [32]byte
}

// Loaded is what a loader brings. What is neither Immutable nor rests on a block
// is kept for its time only.
type Loaded struct {
	Body  []byte // not changed afterwards
	Class Class  // 0: the class that was asked for
	// Immutable says that nothing can change the answer any more. It may then be
	// served after its time when it cannot be had anew.
	Immutable bool
	// Block, when its hash is set, is the block the answer rests on while a
	// reorganisation could still replace it. The answer is kept for
	// cache.ttl.unfinalised at most, and only while that block stands.
	Block BlockRef
	// WithHead says that the answer moves with the head of the chain. It is kept in
	// L1 only, until its time is over or a new head is seen, whichever is first.
	WithHead bool
	Head     uint64 // the number of the newest block, where the answer tells it
	NoStore  bool   // for the callers waiting now only
}

// Loader brings what no tier has.
type Loader func(context.Context) (Loaded, error)

// Answer is what a read found.
type Answer struct {
	Body  []byte // not to be changed
	Class Class
	Tier  Tier
	Stale bool // past its time, since it could not be had anew
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

// entry is one value of L1. What is not atomic is not changed once it is set.
type entry struct {
	key       string
	class     Class
	immutable bool
	block     BlockRef
	heads     uint64 // how many heads had been seen when it was asked for; 0 when that does not matter
	body      []byte
	stored    int64 // monotonic, as the next two
	expires   int64
	until     int64 // when it is of no use any more, expired or not

	refreshing atomic.Bool
	encodings  [encodings]atomic.Pointer[[]byte]
}

// fresh says whether the entry's time is not over.
func (e *entry) fresh(now int64) bool { return now < e.expires }

// due says whether the last share of the entry's time has begun.
func (e *entry) due(now int64, share float64) bool {
	return float64(e.expires-now) < share*float64(e.expires-e.stored)
}

// entryOverhead is counted for each entry besides key and body: the entry, otter's
// node and policy links.
const entryOverhead = 320

// weight is what an entry counts against the bound. A body that is large enough
// to be sent encoded counts half as much again: the encodings are kept with it.
func weight(_ uint64, e *entry) uint32 {
	n := len(e.key) + len(e.body) + entryOverhead
	if len(e.body) >= encodeAbove {
		n += len(e.body) / 2
	}
	return uint32(min(n, math.MaxUint32))
}

// answer is the entry as a reader gets it.
func (e *entry) answer(t Tier, stale bool) Answer { return Answer{e.body, e.class, t, stale, e} }

// newEntry makes an entry of what was loaded when so many heads had been seen.
func (c *Cache) newEntry(class Class, key string, l Loaded, heads uint64, now time.Time) *entry {
	if l.Class != 0 {
		class = l.Class
	}
	ttl := c.TTL(class)
	if l.Block.Hash != [32]byte{} {
		ttl = min(ttl, c.settings.Unfinalised.Get())
	}
	e := &entry{key: key, class: class, immutable: l.Immutable, block: l.Block, body: l.Body,
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
