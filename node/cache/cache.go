package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/monotonic"
)

// entryShare is the largest share of the bound one body may take: otter lets
// entries in before it evicts, so a few huge ones would overshoot the bound.
const entryShare = 16

// headroom keeps the weight otter is told below the bound by 1/16, for the
// overshoot in a burst.
const headroom = 16

// Canonical says which block stands at a height; false where that is not known.
type Canonical func(number uint64) (hash [32]byte, known bool)

// Cache is a two-tier read-through cache. All methods may be called from any
// goroutine. Close it.
type Cache struct {
	settings  Settings
	l1        *otter.Cache[uint64, *entry]
	seed      maphash.Seed
	l2        *Redis // nil without Redis
	canonical Canonical
	heads     atomic.Uint64 // how often the head moved, from 1 on
	flights   flights
	metrics   *metrics
	hot       *hotKeys
}

// New returns a cache with l2, which may be nil, behind it, and registers its
// metrics with reg. canonical, which may be nil, tells which blocks still stand.
// Call Resized after MaxBytes has changed.
func New(s Settings, l2 *Redis, canonical Canonical, reg prometheus.Registerer) (*Cache, error) {
	if canonical == nil {
		canonical = func(uint64) ([32]byte, bool) { return [32]byte{}, false }
	}
	c := &Cache{settings: s, seed: maphash.MakeSeed(), l2: l2, canonical: canonical, metrics: newMetrics(), hot: newHotKeys()}
	c.heads.Store(1)
	c.flights.most = s.MaxLoads.Get
	l1, err := otter.New(&otter.Options[uint64, *entry]{
		MaximumWeight: c.bound(),
		Weigher:       weight,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[uint64, *entry]) time.Duration {
			return max(time.Duration(e.Value.until-monotonic.Now()), 0)
		}),
		OnAtomicDeletion: func(e otter.DeletionEvent[uint64, *entry]) { c.metrics.left(e.Value, e.Cause) },
	})
	if err != nil {
		return nil, fmt.Errorf("build L1 cache: %w", err)
	}
	c.l1 = l1
	if l2 != nil {
		l2.metrics = c.metrics
	}
	reg.MustRegister(c.metrics.collectors(c)...)
	return c, nil
}

// Prove tells what may be taken from an L2 whose values are not signed: values of the keys
// that provable names, where proves holds. It must be called before the first read.
func (c *Cache) Prove(provable func(key string) bool, proves func(key string, body []byte) bool) {
	if c.l2 != nil {
		c.l2.provable, c.l2.proves = provable, proves
	}
}

// Close ends the loads under way and waits for them. Later reads find what L1
// holds and load nothing.
func (c *Cache) Close() {
	c.flights.close()
	c.l1.StopAllGoroutines()
}

func (c *Cache) bound() uint64 {
	b := uint64(c.settings.MaxBytes.Get())
	return b - b/headroom
}

// Resized makes a changed MaxBytes known to L1.
func (c *Cache) Resized() { c.l1.SetMaximum(c.bound()) }

// slot is where L1 keeps a key. The seed is secret, so nobody can make keys that
// drive each other out.
func (c *Cache) slot(key string) uint64 { return maphash.String(c.seed, key) }

// find returns what L1 has under a key, whatever its age. The stored key is
// compared: a hash alone is no proof.
func (c *Cache) find(slot uint64, key string) *entry {
	e, ok := c.l1.GetIfPresent(slot)
	if !ok || e.key != key {
		return nil
	}
	return e
}

// Moved tells the cache that the chain's head is another one. What moves with the head is
// not used again: who has seen a block must not be told what was true before it.
func (c *Cache) Moved() { c.heads.Add(1) }

// stands says that no reorganisation has replaced the block an entry rests on, and
// for what moves with the head, that there is no new one.
func (c *Cache) stands(e *entry) bool {
	if e.heads != 0 && e.heads != c.heads.Load() {
		return false
	}
	if e.block.Hash == ([32]byte{}) {
		return true
	}
	hash, known := c.canonical(e.block.Number)
	if known && hash != e.block.Hash {
		c.metrics.orphaned.Inc()
		return false
	}
	return true
}

// Peek returns what L1 holds for a key, and asks nothing else. It also misses
// when the entry should be loaded anew ahead of its time, which Get does. It
// takes the key as bytes, which it does not keep, so that a hit allocates nothing.
func (c *Cache) Peek(class Class, key []byte) (Answer, bool) {
	slot := maphash.Bytes(c.seed, key)
	e, ok := c.l1.GetIfPresent(slot)
	if !ok || e.key != string(key) {
		return Answer{}, false
	}
	began := time.Now()
	now := monotonic.Of(began)
	if !e.fresh(now) || e.due(now, c.settings.RefreshAhead.Get()) && !e.refreshing.Load() || !c.stands(e) {
		return Answer{}, false
	}
	c.metrics.hit(L1, class, began)
	if drawn(now) {
		c.hot.saw(slot, e, began)
	}
	return e.answer(L1, false), true
}

// Get returns what is known under key, from L1, L2 or load. Callers that ask for
// the same key at the same time share one load; it has its own deadline and goes on
// for as long as one of them waits. A caller waits no longer than its own context. A
// load's error goes to all who share it and is not kept; where an immutable answer is
// known that is past its time, that is the answer instead. ErrBusy is returned at once
// when cache.max_loads are under way.
//
// An entry read in the last share of its time, cache.refresh_ahead, is loaded
// anew in the background.
func (c *Cache) Get(ctx context.Context, class Class, key string, load Loader) (Answer, error) {
	began, slot := time.Now(), c.slot(key)
	now := monotonic.Of(began)
	if e := c.find(slot, key); e != nil && e.fresh(now) && c.stands(e) {
		c.metrics.hit(L1, class, began)
		if drawn(now) {
			c.hot.saw(slot, e, began)
		}
		if e.due(now, c.settings.RefreshAhead.Get()) && e.refreshing.CompareAndSwap(false, true) {
			c.refreshAhead(class, key, e, load)
		}
		return e.answer(L1, false), nil
	}
	c.metrics.miss(L1, class)
	f, joined, err := c.flight(key, false, func(ctx context.Context) (Answer, error) { return c.fill(ctx, class, key, load) })
	if err != nil {
		return Answer{}, err
	}
	if joined {
		c.metrics.coalesced.Inc()
	}
	a, err := c.flights.wait(ctx, f)
	if err == nil && a.Tier == Origin {
		c.metrics.took[Origin][class].Observe(time.Since(began))
	}
	return a, err
}

// refreshAhead loads an entry anew in the background. Whatever comes of it, a later read
// may try again: also when the load was not this one, but one that ran already.
func (c *Cache) refreshAhead(class Class, key string, e *entry, load Loader) {
	f, _, err := c.flight(key, true, func(ctx context.Context) (Answer, error) { return c.loadAndKeep(ctx, class, key, load) })
	if err != nil {
		e.refreshing.Store(false)
		return
	}
	c.metrics.refreshes.Inc()
	f.then(func() { e.refreshing.Store(false) })
}

// Refresh loads a key anew whatever the tiers hold. It is for warming.
func (c *Cache) Refresh(ctx context.Context, class Class, key string, load Loader) error {
	f, _, err := c.flight(key, true, func(ctx context.Context) (Answer, error) { return c.loadAndKeep(ctx, class, key, load) })
	if err != nil {
		return err
	}
	_, err = c.flights.wait(ctx, f)
	return err
}

// flight runs do for a key, or joins the one that runs. One in the background goes on
// without anybody who waits.
func (c *Cache) flight(key string, background bool, do func(context.Context) (Answer, error)) (f *flight, joined bool, err error) {
	// Who has seen a new head must not join a load that was begun before it.
	f, joined, err = c.flights.join(strconv.FormatUint(c.heads.Load(), 36)+" "+key, background, c.settings.LoadBudget.Get(), do)
	if errors.Is(err, ErrBusy) {
		c.metrics.loadsShed.Inc()
	}
	return f, joined, err
}

// fill asks L2, then the loader, and keeps what it gets.
func (c *Cache) fill(ctx context.Context, class Class, key string, load Loader) (Answer, error) {
	slot := c.slot(key)
	old := c.find(slot, key)
	// A load for the same key may have ended between the look into L1 and the
	// start of this one.
	if now := monotonic.Now(); old != nil && old.fresh(now) && c.stands(old) {
		return old.answer(L1, false), nil
	}
	if c.l2 != nil && c.l2.trusts(key) {
		began := time.Now()
		e := c.l2.get(ctx, key, c.TTL)
		if e != nil && e.immutable {
			e.until += int64(c.settings.StaleFor.Get())
		}
		switch now := monotonic.Now(); {
		case e == nil || !c.stands(e):
			c.metrics.miss(L2, class)
		case e.fresh(now):
			c.metrics.hit(L2, class, began)
			c.keep(slot, e)
			return e.answer(L2, false), nil
		default:
			c.metrics.miss(L2, class)
			if old == nil && e.immutable {
				old = e
			}
		}
	}
	a, err := c.loadAndKeep(ctx, class, key, load)
	if err != nil && old != nil && old.immutable && monotonic.Now() < old.until && c.stands(old) {
		c.metrics.stale.Inc()
		return old.answer(L1, true), nil
	}
	return a, err
}

func (c *Cache) loadAndKeep(ctx context.Context, class Class, key string, load Loader) (Answer, error) {
	began, heads := time.Now(), c.heads.Load()
	loaded, err := load(ctx)
	now := time.Now()
	c.metrics.load.Observe(now.Sub(began))
	if err != nil {
		return Answer{}, err
	}
	e := c.newEntry(class, key, loaded, heads, now)
	if !loaded.NoStore && e.fresh(e.stored) {
		c.keep(c.slot(key), e)
		if c.l2 != nil && e.heads == 0 && c.l2.trusts(key) {
			c.l2.put(e)
		}
	}
	return e.answer(Origin, false), nil
}

// Epoch is the moment of the chain, for Keep.
func (c *Cache) Epoch() uint64 { return c.heads.Load() }

// Keep keeps an answer that was loaded at an epoch and of which more is known now: that it
// is proved. What moves with the head is not kept when that has moved since.
func (c *Cache) Keep(class Class, key string, l Loaded, epoch uint64) {
	e := c.newEntry(class, key, l, epoch, time.Now())
	if l.NoStore || !e.fresh(e.stored) || !c.stands(e) {
		return
	}
	c.keep(c.slot(key), e)
	if c.l2 != nil && e.heads == 0 && c.l2.trusts(key) {
		c.l2.put(e)
	}
}

// Drop forgets an answer that was found to be false, wherever it is.
func (c *Cache) Drop(key string) { c.l1.Invalidate(c.slot(key)) }

func (c *Cache) keep(slot uint64, e *entry) {
	if e.size() > c.settings.MaxBytes.Get()/entryShare {
		c.metrics.refused.Inc()
		return
	}
	e.owner = c
	c.metrics.kept(e)
	c.l1.Set(slot, e)
}

// TTL returns the time to live of a class.
func (c *Cache) TTL(class Class) time.Duration { return c.settings.TTL[class].Get() }

// FlushL1 forgets everything in memory and returns how many entries that were.
func (c *Cache) FlushL1() int {
	n := c.l1.EstimatedSize()
	c.l1.InvalidateAll()
	return n
}

// ErrNoL2 is returned for an action on an L2 that is not configured.
var ErrNoL2 = errors.New("no L2 cache is configured: set cache.l2.url and restart")

// FlushL2 removes this node's entries, and those of nodes that share its prefix
// and chain, from Redis. It returns how many it removed.
func (c *Cache) FlushL2(ctx context.Context) (int, error) {
	if c.l2 == nil {
		return 0, ErrNoL2
	}
	return c.l2.flush(ctx, 0)
}

// FlushClass removes the entries of one class from both tiers, as FlushL2 does from
// Redis, and returns how many it removed.
func (c *Cache) FlushClass(ctx context.Context, class Class) (int, error) {
	n := 0
	for slot, e := range c.l1.All() {
		if e.class == class {
			c.l1.Invalidate(slot)
			n++
		}
	}
	if c.l2 == nil {
		return n, nil
	}
	more, err := c.l2.flush(ctx, class)
	return n + more, err
}

// Entries returns the number of entries in L1.
func (c *Cache) Entries() int { return c.l1.EstimatedSize() }

// Bytes returns the bytes L1 counts against its bound.
func (c *Cache) Bytes() uint64 { return c.l1.WeightedSize() }
