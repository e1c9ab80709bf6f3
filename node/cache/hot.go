package cache

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// hotCounters is how many keys are counted at once: a key that has more than so
	// small a share of the sampled hits, 1 in 256, is among them.
	hotCounters = 256
	// hotHalfLife is how soon a hit counts half: what was hot an hour ago is not now.
	hotHalfLife = time.Minute
	// hotKeyLength bounds what is kept of a key.
	hotKeyLength = 200
)

// HotKey is a key of L1 that is read much.
type HotKey struct {
	Key   string // cut when it is long
	Class Class
	// Share of the hits of L1 lately, at least: what a key may owe to those that were
	// counted in its place before is not in it.
	Share float64
	Bytes uint32 // counted against the bound of L1; 0 when the entry is not there now
}

// hotKeys counts which keys the hits of L1 are for, in fixed memory whatever the
// keys are: Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and
// Top-k Elements in Data Streams" (Space-Saving, 2005), over a sample of one hit in
// 32, with all counts halved once a half-life.
type hotKeys struct {
	mu       sync.Mutex
	counters map[uint64]*hotCounter // by slot
	least    leastFirst             // the same, as a heap
	total    uint64
	halved   time.Time
}

// hotCounter counts one key. over is how much of count it may owe to the key that
// had the counter before.
type hotCounter struct {
	slot        uint64
	key         string
	class       Class
	count, over uint64
	at          int // in the heap
}

func newHotKeys() *hotKeys {
	return &hotKeys{counters: make(map[uint64]*hotCounter, hotCounters), halved: time.Now()}
}

// drawn says whether a hit at a time, in nanoseconds, is in the sample. Its lower
// digits are as good as drawn by lot, and cost less; counting off every 32nd would see
// one key alone of 32 that are read in turn. The factor is 2^64 over the golden ratio,
// Knuth's multiplicative hashing.
func drawn(now int64) bool { return uint64(now)*0x9E3779B97F4A7C15>>59 == 0 }

// saw counts a hit of the sample. A hit that would have to wait for another one is
// left out, whatever its key is.
func (h *hotKeys) saw(slot uint64, e *entry, now time.Time) {
	if !h.mu.TryLock() {
		return
	}
	h.count(slot, e, now)
	h.mu.Unlock()
}

// count counts a hit. The lock is held.
func (h *hotKeys) count(slot uint64, e *entry, now time.Time) {
	h.age(now)
	h.total++
	c, ok := h.counters[slot]
	switch {
	case ok:
		c.count++
		heap.Fix(&h.least, c.at)
		return
	case len(h.least) < hotCounters:
		c = &hotCounter{count: 1}
		c.take(slot, e)
		heap.Push(&h.least, c)
	default:
		c = h.least[0]
		delete(h.counters, c.slot)
		c.over = c.count
		c.count++
		c.take(slot, e)
		heap.Fix(&h.least, 0)
	}
	h.counters[slot] = c
}

func (c *hotCounter) take(slot uint64, e *entry) {
	c.slot, c.key, c.class = slot, e.key, e.class
	if len(c.key) > hotKeyLength {
		c.key = strings.Clone(c.key[:hotKeyLength]) // the whole of it may go with its entry
	}
}

// age halves all counts for each half-life that is over. The heap stays one.
func (h *hotKeys) age(now time.Time) {
	n := int(now.Sub(h.halved) / hotHalfLife)
	if n <= 0 {
		return
	}
	h.halved = h.halved.Add(time.Duration(n) * hotHalfLife)
	n = min(n, 63)
	h.total = 0
	for _, c := range h.least {
		c.count >>= n
		c.over = min(c.over>>n, c.count)
		h.total += c.count
	}
}

// hottest returns at most n counters, those of the hottest keys first, and how many
// hits there were in all.
func (h *hotKeys) hottest(n int, now time.Time) (list []hotCounter, total uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.age(now)
	out := make([]hotCounter, 0, len(h.least))
	for _, c := range h.least {
		if c.count > c.over {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b hotCounter) int {
		return cmp.Or(cmp.Compare(b.count-b.over, a.count-a.over), strings.Compare(a.key, b.key))
	})
	return out[:min(n, len(out))], h.total
}

// HotKeys returns at most n keys that most of the hits of L1 are for, the hottest
// first. It is measured on a sample of one hit in 32, in which a hit of a minute ago
// counts half.
func (c *Cache) HotKeys(n int) []HotKey {
	now := time.Now()
	list, total := c.hot.hottest(n, now)
	out := make([]HotKey, len(list))
	for i, k := range list {
		out[i] = HotKey{Key: k.key, Class: k.class, Share: float64(k.count-k.over) / float64(total)}
		// Quietly: to be looked at makes nothing hot.
		if e, ok := c.l1.GetEntryQuietly(k.slot); ok && strings.HasPrefix(e.Value.key, k.key) {
			out[i].Bytes = weight(0, e.Value)
		}
	}
	return out
}

// leastFirst is a heap of counters.
type leastFirst []*hotCounter

func (l leastFirst) Len() int           { return len(l) }
func (l leastFirst) Less(i, j int) bool { return l[i].count < l[j].count }
func (l leastFirst) Swap(i, j int)      { l[i], l[j] = l[j], l[i]; l[i].at, l[j].at = i, j }
func (l *leastFirst) Push(c any)        { c.(*hotCounter).at = len(*l); *l = append(*l, c.(*hotCounter)) }
func (l *leastFirst) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}
