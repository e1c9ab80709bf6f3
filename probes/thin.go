package probes

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

const (
	// thinWindow is how much is thinned at a time, into one block.
	thinWindow = 2 * time.Hour
	// settleFor is how long after its end a window is thinned: nothing is written
	// to it any more.
	settleFor = 5 * time.Minute
	// ThinnedSchema is the resolution of native histograms in thinned history:
	// buckets 9 % wide, so quantiles are at most 4.5 % off, where those that are
	// sampled have 2.2 % and take three times the room.
	ThinnedSchema = 3
	// thinCommit bounds the samples between two commits.
	thinCommit = 5000
)

// windowOf returns where the window of a moment begins, Unix milliseconds.
func windowOf(at int64) int64 { return at - at%thinWindow.Milliseconds() }

// Run tells of what was found damaged and then, until ctx ends, thins history
// that has settled.
func (h *History) Run(ctx context.Context, told func(severity, text string)) {
	for _, text := range h.setAside {
		told("bad", text)
	}
	tick := time.NewTicker(thinEvery)
	defer tick.Stop()
	failing := false
	for {
		err := h.thin(ctx, time.Now())
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !failing:
			told("warn", "old samples are not thinned for now, and kept: "+err.Error())
		case err == nil && failing:
			told("good", "old samples are thinned again")
		}
		failing = err != nil
		h.measure()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// thinEvery is how often windows that have settled are looked for.
var thinEvery = time.Minute

// thin brings every thinned tier up to now.
func (h *History) thin(ctx context.Context, now time.Time) error {
	end := windowOf(now.Add(-settleFor).UnixMilli())
	from, ok := h.raw().from()
	if !ok {
		return nil
	}
	for _, t := range h.tiers[1:] {
		// A window that begins before the raw samples do may be thinned already.
		t.thinned = max(t.thinned, t.reach(), windowOf(from))
		for ; t.thinned < end; t.thinned += thinWindow.Milliseconds() {
			if err := h.thinWindow(ctx, t, t.thinned); err != nil {
				return fmt.Errorf("thin %s to one sample in %s: %w", time.UnixMilli(t.thinned).UTC().Format(time.RFC3339), t.resolution, err)
			}
		}
	}
	return nil
}

// thinWindow writes one window of a tier as a block, which its database finds by
// itself. A block appears whole or not at all.
func (h *History) thinWindow(ctx context.Context, t *tier, start int64) (err error) {
	defer asError(&err)
	if err := h.canCreate(0); err != nil {
		return err
	}
	q, err := h.raw().db.Querier(start, start+thinWindow.Milliseconds()-1)
	if err != nil {
		return err
	}
	defer q.Close()
	// Twice the window: a head refuses samples older than half of its range, and
	// series come one after the other.
	w, err := newBlockWriter(h.log, t.db.Dir(), 2*thinWindow.Milliseconds())
	if err != nil {
		return err
	}
	defer w.close() //nolint:errcheck // what is left is removed at the next start
	thinner := thinner{resolution: t.resolution.Milliseconds(), app: w.appender(ctx)}
	any := labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, "")
	series := q.Select(ctx, false, nil, any)
	var iterator chunkenc.Iterator
	for series.Next() {
		began := time.Now()
		s := series.At()
		iterator = s.Iterator(iterator)
		if err := thinner.series(s.Labels(), iterator); err != nil {
			_ = thinner.app.Rollback() // the first error is the one that matters
			return err
		}
		if thinner.pending >= thinCommit {
			if err := thinner.app.Commit(); err != nil {
				return err
			}
			thinner.app, thinner.pending = w.appender(ctx), 0
		}
		// As long a rest as it took: requests come first.
		if err := rest(ctx, time.Since(began)); err != nil {
			_ = thinner.app.Rollback()
			return err
		}
	}
	if err := series.Err(); err != nil {
		_ = thinner.app.Rollback()
		return err
	}
	if err := thinner.app.Commit(); err != nil || thinner.total == 0 {
		return err
	}
	return w.flush(ctx)
}

func rest(ctx context.Context, d time.Duration) error {
	if d < time.Millisecond {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// thinner keeps the first sample of each step, and the mark of a series that
// ends, so that an alert which is over does not look as if it went on.
type thinner struct {
	resolution int64
	app        storage.AppenderV2
	pending    int
	total      int
}

func (t *thinner) series(of labels.Labels, it chunkenc.Iterator) error {
	var ref storage.SeriesRef
	step, ended := int64(math.MinInt64), false
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		at := it.AtT()
		first := at/t.resolution != step
		var v float64
		var h *histogram.Histogram
		var fh *histogram.FloatHistogram
		switch kind {
		case chunkenc.ValFloat:
			_, v = it.At()
			end := value.IsStaleNaN(v)
			if !first && (!end || ended) {
				continue
			}
			ended = end
		case chunkenc.ValHistogram:
			if !first {
				continue
			}
			_, h = it.AtHistogram(nil)
			h = h.Copy() // it shares its spans with the samples after it
			h.CounterResetHint = unknownReset(h.CounterResetHint)
			if !h.UsesCustomBuckets() && h.Schema > ThinnedSchema {
				if err := h.ReduceResolution(ThinnedSchema); err != nil {
					return fmt.Errorf("%s: %w", of, err)
				}
			}
		case chunkenc.ValFloatHistogram:
			if !first {
				continue
			}
			_, fh = it.AtFloatHistogram(nil)
			fh = fh.Copy()
			fh.CounterResetHint = unknownReset(fh.CounterResetHint)
			if !fh.UsesCustomBuckets() && fh.Schema > ThinnedSchema {
				if err := fh.ReduceResolution(ThinnedSchema); err != nil {
					return fmt.Errorf("%s: %w", of, err)
				}
			}
		}
		step = at / t.resolution
		var err error
		if ref, err = t.app.Append(ref, of, 0, at, v, h, fh, storage.AppendV2Options{}); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
		t.pending++
		t.total++
	}
	return it.Err()
}

// unknownReset forgets whether a histogram's counters were reset since the sample
// before it, which is not the sample before it any more.
func unknownReset(hint histogram.CounterResetHint) histogram.CounterResetHint {
	if hint == histogram.GaugeType {
		return hint
	}
	return histogram.UnknownCounterReset
}
