package upstream

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Canonical follows which block stands at each of the newest heights, as the
// provider that is asked first tells it, so that what was cached of a block that a
// reorganisation has replaced is not used again. It proves nothing: a provider that
// lies here costs hits, not truth.
//
// Hash may be called from any goroutine; Run must be running for it to know
// anything.
type Canonical struct {
	set    *Set
	depth  func() int
	moved  func(head uint64)
	window atomic.Pointer[window]
	reorgs prometheus.Counter
	deep   prometheus.Histogram
}

// window is the blocks of consecutive heights. It is not changed once it is
// published.
type window struct {
	first  uint64
	hashes [][32]byte
}

func (w *window) hash(number uint64) ([32]byte, bool) {
	if w == nil || number < w.first || number-w.first >= uint64(len(w.hashes)) {
		return [32]byte{}, false
	}
	return w.hashes[number-w.first], true
}

func (w *window) head() uint64 { return w.first + uint64(len(w.hashes)) - 1 }

// NewCanonical returns a follower of the newest blocks that set's providers know;
// depth says how many heights it keeps, and moved is told of each newest block.
func NewCanonical(set *Set, depth func() int, moved func(head uint64), reg prometheus.Registerer) *Canonical {
	c := &Canonical{set: set, depth: depth, moved: moved,
		reorgs: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_upstream_reorgs_total",
			Help: "Reorganisations of the chain that were seen."}),
		deep: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bizra_upstream_reorg_depth_blocks",
			Help: "Blocks that a reorganisation replaced.", Buckets: []float64{1, 2, 3, 4, 6, 8, 12, 16, 32, 64}}),
	}
	reg.MustRegister(c.reorgs, c.deep)
	return c
}

// Hash returns the hash of the block at a height, and false where it is not known.
func (c *Canonical) Hash(number uint64) ([32]byte, bool) { return c.window.Load().hash(number) }

// Run follows the chain until ctx ends.
func (c *Canonical) Run(ctx context.Context) {
	for {
		c.follow(ctx)
		if !sleep(ctx, c.set.pollEvery()) {
			return
		}
	}
}

// link is the part of a header that ties blocks together.
type link struct {
	number       uint64
	hash, parent [32]byte
}

// follow asks for the newest block and joins it to what is known.
func (c *Canonical) follow(ctx context.Context) {
	newest, err := c.ask(ctx, "eth_getBlockByNumber", `["latest",false]`)
	if err != nil {
		return // what is wrong with a provider is told elsewhere
	}
	old := c.window.Load()
	if hash, known := old.hash(newest.number); known && hash == newest.hash {
		return
	}
	// From the newest down to a parent that is known, or as far as is kept.
	path := []link{newest}
	for len(path) < max(c.depth(), 1) {
		last := path[len(path)-1]
		if last.number == 0 {
			break
		}
		if hash, known := old.hash(last.number - 1); known && hash == last.parent {
			break
		}
		parent, err := c.ask(ctx, "eth_getBlockByHash", `["0x`+hex.EncodeToString(last.parent[:])+`",false]`)
		if err != nil || parent.number != last.number-1 || parent.hash != last.parent {
			break // what was found so far is known; the next round goes on from there
		}
		path = append(path, parent)
	}
	c.window.Store(c.join(old, path))
	c.moved(newest.number)
}

// join puts a path, newest first, on top of a window.
func (c *Canonical) join(old *window, path []link) *window {
	lowest := path[len(path)-1]
	next := &window{first: lowest.number}
	if hash, known := old.hash(lowest.number - 1); known && hash == lowest.parent {
		next.first = old.first
		next.hashes = append(next.hashes, old.hashes[:lowest.number-old.first]...)
	}
	for i := len(path) - 1; i >= 0; i-- {
		next.hashes = append(next.hashes, path[i].hash)
	}
	if drop := len(next.hashes) - max(c.depth(), 1); drop > 0 {
		next.first += uint64(drop)
		next.hashes = next.hashes[drop:]
	}
	if replaced := replacedBy(old, next); replaced > 0 {
		c.reorgs.Inc()
		c.deep.Observe(float64(replaced))
		c.set.notify(Event{"chain", "warn", fmt.Sprintf("reorganised: %d blocks up to %d were replaced", replaced, old.head())})
	}
	return next
}

// replacedBy counts the blocks of old that do not stand in next: those at heights
// where next has another, and those above its head.
func replacedBy(old, next *window) (n int) {
	if old == nil {
		return 0
	}
	for i, hash := range old.hashes {
		number := old.first + uint64(i)
		if now, known := next.hash(number); known && now != hash || number > next.head() {
			n++
		}
	}
	return n
}

func (c *Canonical) ask(ctx context.Context, method, params string) (link, error) {
	a, err := c.set.call(ctx, method, json.RawMessage(params))
	if err != nil {
		return link{}, err
	}
	var header struct{ Number, Hash, ParentHash string }
	if err := json.Unmarshal(a.Result, &header); err != nil {
		return link{}, err
	}
	var l link
	number, ok := strings.CutPrefix(header.Number, "0x")
	l.number, err = strconv.ParseUint(number, 16, 64)
	if !ok || err != nil || !hash32(&l.hash, header.Hash) || !hash32(&l.parent, header.ParentHash) {
		return link{}, errors.New("not a block")
	}
	return l, nil
}

func hash32(out *[32]byte, text string) bool {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || len(digits) != 2*len(out) {
		return false
	}
	_, err := hex.Decode(out[:], []byte(digits))
	return err == nil
}
