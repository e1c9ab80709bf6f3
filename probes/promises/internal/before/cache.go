package before

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// sweepEvery is how often what has expired is looked for.
const sweepEvery = time.Second

type kept struct {
	body    []byte
	expires time.Time
}

// Cache keeps so many entries and throws out the one that came first. Its methods may
// be called from any goroutine; Run must be running for what has expired to leave.
type Cache struct {
	room int
	ttl  time.Duration

	mu      sync.Mutex
	entries map[string]kept
	order   []string // as they came; some may have left

	hits, misses atomic.Uint64
}

// NewCache returns a cache for so many entries that are kept for a time.
func NewCache(room int, ttl time.Duration) *Cache {
	return &Cache{room: room, ttl: ttl, entries: map[string]kept{}}
}

// Get returns what is kept under a key.
func (c *Cache) Get(key string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok || time.Now().After(e.expires) {
		c.misses.Add(1)
		return nil, false
	}
	c.hits.Add(1)
	return e.body, true
}

// Put keeps a body.
func (c *Cache) Put(key string, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.entries[key]; !known {
		for len(c.entries) >= c.room && len(c.order) > 0 {
			delete(c.entries, c.order[0])
			c.order = c.order[1:]
		}
		c.order = append(c.order, key)
	}
	c.entries[key] = kept{body, time.Now().Add(c.ttl)}
}

// Reads returns how many reads there were and how many found something.
func (c *Cache) Reads() (reads, hits uint64) {
	hits = c.hits.Load()
	return hits + c.misses.Load(), hits
}

// Run sweeps until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.sweep()
		}
	}
}

func (c *Cache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, order := time.Now(), c.order[:0]
	for _, key := range c.order {
		if e, ok := c.entries[key]; ok && now.After(e.expires) {
			delete(c.entries, key)
		} else if ok {
			order = append(order, key)
		}
	}
	c.order = order
}
