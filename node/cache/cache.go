package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// Loaded is what a loader brings.
type Loaded struct {
	Body      []byte // not changed afterwards
	Class     Class  // empty: the class that was asked for
	Unsettled bool   // a reorganisation could change it
	NoStore   bool   // for the callers waiting now only
}

// Tier says where an answer came from.
type Tier string

// The tiers.
const (
	L1     Tier = "l1"
	L2     Tier = "l2"
	Origin Tier = "origin"
)

// entryShare is the largest share of the bound one body may take: otter lets
// entries in before it evicts, so a few huge ones would overshoot the bound.
const entryShare = 16

// headroom keeps the weight otter is told below the bound by 1/16, for the
// overshoot in a burst.
const headroom = 16

// entryOverhead is counted for each entry besides key and body: otter's node
// and policy links, slice and string headers.
const entryOverhead = 160

type entry struct {
	class   Class
	body    []byte
	expires time.Time
}

func weight(key string, e entry) uint32 {
	return uint32(min(len(key)+len(e.body)+entryOverhead, math.MaxUint32))
}

// Cache is a two-tier read-through cache. All methods may be called from any
// goroutine.
type Cache struct {
	settings Settings
	l1       *otter.Cache[string, entry]
	l2       *Redis // nil without Redis
	flights  singleflight.Group
	metrics  *metrics
	now      func() time.Time
}

// New returns a cache with l2, which may be nil, behind it, and registers its
// metrics with reg. Call Resized after MaxBytes has changed.
func New(s Settings, l2 *Redis, reg prometheus.Registerer) (*Cache, error) {
	c := &Cache{settings: s, l2: l2, now: time.Now, metrics: newMetrics()}
	l1, err := otter.New(&otter.Options[string, entry]{
		MaximumWeight: c.bound(),
		Weigher:       weight,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, entry]) time.Duration {
			return max(time.Until(e.Value.expires), 0)
		}),
		OnDeletion: func(e otter.DeletionEvent[string, entry]) {
			c.metrics.left(e.Key, e.Value, e.Cause)
		},
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

func (c *Cache) bound() uint64 {
	b := uint64(c.settings.MaxBytes.Get())
	return b - b/headroom
}

// Resized makes a changed MaxBytes known to L1.
func (c *Cache) Resized() { c.l1.SetMaximum(c.bound()) }

// Peek returns what L1 holds, and asks nothing else.
func (c *Cache) Peek(class Class, key string) ([]byte, bool) {
	e, ok := c.l1.GetIfPresent(join(class, key))
	if !ok || !c.now().Before(e.expires) {
		return nil, false
	}
	c.metrics.hit(L1, class)
	return e.body, true
}

// Get returns the body for key, from L1, L2 or load, and says which. Callers
// that ask for the same key at the same time share one load, which runs to its
// own deadline even when the caller that started it leaves; a caller waits no
// longer than its own context. A load's error goes to all who share it and is
// not kept.
func (c *Cache) Get(ctx context.Context, class Class, key string, load func(context.Context) (Loaded, error)) ([]byte, Tier, error) {
	if body, ok := c.Peek(class, key); ok {
		return body, L1, nil
	}
	c.metrics.miss(L1, class)
	full := join(class, key)
	result := c.flights.DoChan(full, func() (any, error) {
		// Who leaves must not cancel the load for those who stay.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.settings.LoadBudget.Get())
		defer cancel()
		return c.fill(ctx, class, full, load)
	})
	select {
	case r := <-result:
		if r.Shared {
			c.metrics.coalesced.Inc()
		}
		if r.Err != nil {
			return nil, Origin, r.Err
		}
		f := r.Val.(filled)
		return f.body, f.tier, nil
	case <-ctx.Done():
		return nil, Origin, ctx.Err()
	}
}

type filled struct {
	body []byte
	tier Tier
}

// fill asks L2, then the loader, and keeps what it gets. A panic of the loader
// becomes an error of those who wait for it.
func (c *Cache) fill(ctx context.Context, class Class, full string, load func(context.Context) (Loaded, error)) (f filled, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("load panicked: %v", p) // no stack: it would go out to clients
		}
	}()
	// A load for the same key may have ended between the look into L1 and the
	// start of this one.
	if e, ok := c.l1.GetIfPresent(full); ok && c.now().Before(e.expires) {
		return filled{e.body, L1}, nil
	}
	if c.l2 != nil {
		if e, ok := c.l2.get(ctx, full); ok && c.now().Before(e.expires) {
			c.metrics.hit(L2, class)
			e.class = class
			c.keep(full, e)
			return filled{e.body, L2}, nil
		}
		c.metrics.miss(L2, class)
	}
	began := c.now()
	loaded, err := load(ctx)
	c.metrics.load.Observe(c.now().Sub(began).Seconds())
	if err != nil {
		return filled{}, err
	}
	if !loaded.NoStore {
		c.store(class, full, loaded)
	}
	return filled{loaded.Body, Origin}, nil
}

func (c *Cache) store(class Class, full string, loaded Loaded) {
	if loaded.Class != "" {
		class = loaded.Class
	}
	ttl := c.TTL(class)
	if loaded.Unsettled {
		ttl = min(ttl, c.settings.Unsettled.Get())
	}
	if ttl <= 0 {
		return
	}
	e := entry{class, loaded.Body, c.now().Add(ttl)}
	c.keep(full, e)
	if c.l2 != nil {
		c.l2.put(full, e)
	}
}

func (c *Cache) keep(full string, e entry) {
	if int64(len(e.body)) > c.settings.MaxBytes.Get()/entryShare {
		c.metrics.refused.Inc()
		return
	}
	c.metrics.kept(full, e)
	c.l1.Set(full, e)
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
	return c.l2.flush(ctx)
}

// Entries returns the number of entries in L1.
func (c *Cache) Entries() int { return c.l1.EstimatedSize() }

// Bytes returns the bytes L1 counts against its bound.
func (c *Cache) Bytes() uint64 { return c.l1.WeightedSize() }

func join(class Class, key string) string { return string(class) + "\x00" + key }
