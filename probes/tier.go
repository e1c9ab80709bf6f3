package probes

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// headSpan is how much the head keeps before it becomes a block, of which it then has half
// as much again, in memory: 160 KB a minute. It is also what a start after a crash reads.
const headSpan = 5 * time.Minute

// tier is the history at one resolution. The first tier has every sample, in
// memory, write-ahead log and blocks; the others have blocks only, which thin
// makes from the first, and keep them longer.
type tier struct {
	name       string
	resolution time.Duration // between two samples of a series; 0 for all
	retention  func() time.Duration
	db         *tsdb.DB
	thinned    int64        // where the next window begins, Unix milliseconds; of Run alone
	size       atomic.Int64 // bytes on disk when they were last added up
}

func (h *History) raw() *tier { return h.tiers[0] }

// options are those of a tier's database.
func (h *History) options(t *tier) *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.NoLockfile = true // the history's own lock holds for all tiers
	o.StripeSize = stripes
	// What a start reads from the log goes to a file of chunks, of which this much is kept
	// in memory.
	o.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	o.MaxBlockChunkSegmentSize = segmentBytes
	o.MinBlockDuration = headSpan.Milliseconds()
	if t.resolution > 0 {
		o.MinBlockDuration = thinWindow.Milliseconds()
		o.WALSegmentSize = -1 // nothing is appended to it
	} else {
		o.WALSegmentSize = 16 << 20
		o.EnableMemorySnapshotOnShutdown = true
	}
	// Blocks no longer than a tenth of the retention, as Prometheus does, so
	// that what is dropped at once is a tenth at most.
	o.MaxBlockDuration = max(t.retention().Milliseconds()/10, o.MinBlockDuration)
	o.BlocksToDelete = func(blocks []*tsdb.Block) map[ulid.ULID]struct{} {
		return h.expired(t, blocks, h.settings.MaxBytes.Get())
	}
	o.BlockReloadInterval = reloadEvery
	if t.resolution == 0 {
		o.BlockReloadInterval = math.MaxInt64 // keepUp does what is to be done then
	}
	return o
}

// stripes is how many parts the index of the newest series is locked in, of each tier, a
// power of two. Prometheus has 16384, for millions of series; here that was a third of all
// live memory.
const stripes = 256

// reloadEvery is how often new blocks are looked for and old ones dropped.
var reloadEvery = time.Minute

// from returns when the tier begins, in Unix milliseconds, and whether it holds
// anything.
func (t *tier) from() (int64, bool) {
	from := int64(math.MaxInt64)
	for _, b := range t.db.Blocks() {
		from = min(from, b.Meta().MinTime)
	}
	if t.resolution == 0 {
		from = min(from, t.db.Head().MinTime())
	}
	return from, from != math.MaxInt64
}

// bytes adds up what the tier takes on disk. It walks through folders.
func (t *tier) bytes() int64 {
	var sum int64
	for _, b := range t.db.Blocks() {
		sum += b.Size()
	}
	if t.resolution == 0 {
		sum += t.db.Head().Size()
	}
	t.size.Store(sum)
	return sum
}

// expired returns the blocks that go: those out of retention, counted from the
// newest sample as Prometheus does, and the oldest ones while the tier takes more
// than its part of bound, in bytes. Each thinned tier may take a third; the raw one
// has what they leave. Raw blocks stay until they were thinned.
func (h *History) expired(t *tier, blocks []*tsdb.Block, bound int64) map[ulid.ULID]struct{} {
	gone := map[ulid.ULID]struct{}{}
	if !h.opened.Load() {
		return gone
	}
	budget := bound / 3
	var newest, size int64
	if t.resolution == 0 {
		budget = bound
		for _, other := range h.tiers[1:] {
			budget -= other.bytes()
		}
		newest, size = t.db.Head().MaxTime(), t.db.Head().Size()
	}
	blocks = slices.Clone(blocks)
	slices.SortFunc(blocks, func(a, b *tsdb.Block) int { return cmp.Compare(b.Meta().MaxTime, a.Meta().MaxTime) })
	for _, b := range blocks {
		newest = max(newest, b.Meta().MaxTime)
		size += b.Size()
		old := newest-b.Meta().MaxTime >= t.retention().Milliseconds() && (t.resolution > 0 || h.isThinned(b.Meta().MaxTime))
		if b.Meta().Compaction.Deletable || old || size > budget {
			gone[b.Meta().ULID] = struct{}{}
		}
	}
	return gone
}

// isThinned says whether every thinned tier reaches to a moment.
func (h *History) isThinned(to int64) bool {
	for _, t := range h.tiers[1:] {
		if t.reach() < to {
			return false
		}
	}
	return true
}

// reach returns where the newest block of a tier ends, rounded up to the end of
// its window, or the smallest number.
func (t *tier) reach() int64 {
	reach := int64(math.MinInt64)
	for _, b := range t.db.Blocks() {
		reach = max(reach, windowOf(b.Meta().MaxTime-1)+thinWindow.Milliseconds())
	}
	return reach
}

// resolution returns the time between samples of the history at a moment.
func (h *History) resolution(at int64) time.Duration {
	for _, t := range h.tiers {
		if from, ok := t.from(); ok && at >= from {
			return max(t.resolution, h.settings.SampleEvery.Get())
		}
	}
	return h.settings.SampleEvery.Get()
}

// Querier implements storage.Queryable: each moment is read from the finest tier
// that has it.
func (h *History) Querier(mint, maxt int64) (storage.Querier, error) {
	var parts []storage.Querier
	for _, t := range h.tiers {
		from, ok := t.from()
		if !ok || maxt < from {
			continue
		}
		q, err := t.db.Querier(max(mint, from), maxt)
		if err != nil {
			for _, p := range parts {
				_ = p.Close() // the first error is the one that matters
			}
			return nil, err
		}
		parts = append(parts, between{q, max(mint, from), maxt})
		if maxt = from - 1; maxt < mint {
			break
		}
	}
	return storage.NewMergeQuerier(parts, nil, storage.ChainedSeriesMerge), nil
}

// between keeps a tier's querier to its part of time: what is asked for in the
// hints goes before what the querier was made for.
type between struct {
	storage.Querier
	mint, maxt int64
}

func (b between) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if hints == nil {
		return b.Querier.Select(ctx, sorted, nil, matchers...)
	}
	of := *hints
	of.Start, of.End = max(of.Start, b.mint), min(of.End, b.maxt)
	if of.Start > of.End {
		return storage.EmptySeriesSet()
	}
	return b.Querier.Select(ctx, sorted, &of, matchers...)
}
