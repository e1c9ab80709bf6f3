package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

// Ninety days of history: what a node under the demo's load exports is recorded for
// a while, and repeated, its counters growing on, into the blocks that ninety days
// of sampling and thinning leave.

const (
	recordFor = 2 * time.Minute
	// inMemory is how much of the newest history is not yet a block when a node is
	// killed, at most.
	inMemory = 45 * time.Minute
	looks    = 300 // at random moments
)

// backlog is one resolution of history and the span of its blocks.
type backlog struct {
	name        string
	step, block time.Duration
	keep        func(probes.Settings) time.Duration
}

var backlogs = []backlog{
	{"raw", time.Second, 4*time.Hour + 30*time.Minute, func(s probes.Settings) time.Duration { return s.RetentionRaw.Get() }},
	{"10s", 10 * time.Second, 18 * time.Hour, func(s probes.Settings) time.Duration { return s.Retention10s.Get() }},
	{"1m", time.Minute, 162 * time.Hour, func(s probes.Settings) time.Duration { return s.Retention.Get() }},
}

// history backfills and prints what it costs to keep and to read.
func history() error {
	dir, remove, err := temporary()
	if err != nil {
		return err
	}
	defer remove()
	recorded, err := record(dir)
	if err != nil {
		return err
	}
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	s, now, place := probes.Declare(settings.NewRegistry()), time.Now(), filepath.Join(dir, "history")
	fmt.Printf("\nNinety days of history: %d series, of which %s were recorded and repeated.\n\n", len(recorded), recordFor)
	for _, b := range backlogs {
		began := time.Now()
		if err := b.fill(ctx, filepath.Join(place, b.name), recorded, now.Add(-b.keep(s)), now.Add(-inMemory)); err != nil {
			return fmt.Errorf("backfill %s: %w", b.name, err)
		}
		size, err := sizeOf(filepath.Join(place, b.name))
		if err != nil {
			return err
		}
		fmt.Printf("%-4s one sample in %-4s for %8s  %5d MiB  (written in %s)\n", b.name, b.step, b.keep(s), size>>20, time.Since(began).Round(time.Second))
	}
	size, err := sizeOf(place)
	if err != nil {
		return err
	}
	fmt.Printf("all together %d MiB\n\n", size>>20)

	h, took, err := open(place, s, log)
	if err != nil {
		return err
	}
	fmt.Printf("opened in %s\n", took.Round(time.Millisecond))
	if err := write(ctx, h, recorded, now.Add(-inMemory), now); err != nil {
		return err
	}
	// What a killed process leaves behind is what is on disk now.
	killed := filepath.Join(dir, "killed")
	if err := os.CopyFS(killed, os.DirFS(place)); err != nil {
		return err
	}
	began := time.Now()
	if err := h.Close(); err != nil {
		return err
	}
	fmt.Printf("closed in %s\n", time.Since(began).Round(time.Millisecond))
	if h, took, err = open(killed, s, log); err != nil {
		return err
	}
	fmt.Printf("opened after kill -9, with %s in the log, in %s\n", inMemory, took.Round(time.Millisecond))
	if err := h.Close(); err != nil {
		return err
	}
	if h, took, err = open(place, s, log); err != nil {
		return err
	}
	fmt.Printf("opened after a stop, with %s in the snapshot, in %s\n\n", inMemory, took.Round(time.Millisecond))
	return errors.Join(read(ctx, h, now, s.Retention.Get()), h.Close())
}

func open(dir string, s probes.Settings, log *slog.Logger) (*probes.History, time.Duration, error) {
	began := time.Now()
	h, err := probes.OpenHistory(dir, s, log)
	return h, time.Since(began), err
}

// read times every panel over fifteen minutes at random moments.
func read(ctx context.Context, h *probes.History, now time.Time, back time.Duration) error {
	var took []time.Duration
	var slowest string
	for range looks {
		for _, p := range probes.Panels() {
			end := now.Add(-rand.N(back - time.Hour))
			began := time.Now()
			if err := h.Range(ctx, p.Expr, end.Add(-15*time.Minute), end, 5*time.Second, func(promql.Series) {}); err != nil {
				return err
			}
			took = append(took, time.Since(began))
			if took[len(took)-1] == slices.Max(took) {
				slowest = fmt.Sprintf("%s, %s ago", p.ID, now.Sub(end).Round(time.Hour))
			}
		}
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(len(took)-1, int(q*float64(len(took))))].Round(10 * time.Microsecond)
	}
	fmt.Printf("a panel of 15 minutes at any moment, %d looks: p50 %s, p99 %s, p99.9 %s, slowest %s (%s)\n",
		len(took), at(0.5), at(0.99), at(0.999), at(1), slowest)
	return nil
}

func sizeOf(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// recording is one series: a value, or the counts of a histogram's buckets, for
// each second of the recording.
type recording struct {
	labels labels.Labels
	grows  bool
	values []float64
	shape  *histogram.Histogram // with the spans of all buckets that are ever used
	counts [][]int64            // per second, by bucket
	sums   []float64
}

// at returns what is sampled at a second, counted on over repetitions.
func (r *recording) at(second int64) (float64, *histogram.Histogram) {
	length := int64(max(len(r.values), len(r.counts)))
	i, again := second%length, second/length
	if r.shape == nil {
		v := r.values[i]
		if r.grows {
			v += float64(again) * (r.values[length-1] - r.values[0])
		}
		return v, nil
	}
	h := r.shape.Copy()
	before := int64(0)
	for b := range r.counts[i] {
		n := r.counts[i][b] + again*(r.counts[length-1][b]-r.counts[0][b])
		h.PositiveBuckets[b] = n - before
		h.Count += uint64(n)
		before = n
	}
	h.Sum = r.sums[i] + float64(again)*(r.sums[length-1]-r.sums[0])
	return 0, h
}

// fill writes blocks of one resolution.
func (b backlog) fill(ctx context.Context, dir string, recorded []*recording, start, end time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for from := start.Truncate(b.block); from.Before(end); from = from.Add(b.block) {
		w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, 2*b.block.Milliseconds())
		if err != nil {
			return err
		}
		for _, r := range recorded {
			a := w.AppenderV2(ctx)
			if err := r.write(a, b.step, later(from, start), earlier(from.Add(b.block), end)); err != nil {
				return err
			}
			if err := a.Commit(); err != nil {
				return err
			}
		}
		if _, err := w.Flush(ctx); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (r *recording) write(a storage.AppenderV2, step time.Duration, start, end time.Time) (err error) {
	var ref storage.SeriesRef
	for at := start.Truncate(step).Add(step); at.Before(end) && err == nil; at = at.Add(step) {
		v, h := r.at(at.Unix())
		if h != nil && step > time.Second {
			if err := h.ReduceResolution(probes.ThinnedSchema); err != nil {
				return err
			}
		}
		// Samples are not taken on the dot.
		ref, err = a.Append(ref, r.labels, 0, at.UnixMilli()+rand.Int64N(9), v, h, nil, storage.AppendV2Options{})
	}
	return err
}

// write samples the newest part as the node does.
func write(ctx context.Context, h *probes.History, recorded []*recording, start, end time.Time) error {
	_, _, to, _ := h.Storage()
	for at := start.Truncate(time.Second).Add(2 * time.Second); at.Before(end); at = at.Add(time.Second) {
		a := to.Appender(ctx)
		for _, r := range recorded {
			v, hist := r.at(at.Unix())
			var err error
			if hist != nil {
				_, err = a.AppendHistogram(0, r.labels, at.UnixMilli(), hist, nil)
			} else {
				_, err = a.Append(0, r.labels, at.UnixMilli(), v)
			}
			if err != nil {
				return err
			}
		}
		if err := a.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// record runs a demo node for a while and takes the series of its history.
func record(dir string) ([]*recording, error) {
	binary, err := buildNode(dir)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "recorded")
	node, err := launchProgram(binary, "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	time.Sleep(10*time.Second + recordFor) // first until everything has been used once
	node.end()
	h, err := probes.OpenHistory(filepath.Join(state, "history"), probes.Declare(settings.NewRegistry()), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer h.Close()
	end := time.Now()
	q, err := h.Querier(end.Add(-recordFor).UnixMilli(), end.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer q.Close()
	var out []*recording
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, ""))
	for set.Next() {
		if r := newRecording(set.At()); len(r.values)+len(r.counts) > 1 {
			out = append(out, r)
		}
	}
	return out, set.Err()
}

var growing = regexp.MustCompile(`_(total|count|sum|bucket)$`)

// newRecording takes the samples of one series, one for each second.
func newRecording(s storage.Series) *recording {
	r := &recording{labels: s.Labels(), grows: growing.MatchString(s.Labels().Get(model.MetricNameLabel))}
	var buckets []map[int32]int64 // of each sample, by index
	used := map[int32]struct{}{}
	for it := s.Iterator(nil); ; {
		switch it.Next() {
		case chunkenc.ValFloat:
			_, v := it.At()
			if !value.IsStaleNaN(v) {
				r.values = append(r.values, v)
			}
			continue
		case chunkenc.ValHistogram:
			_, h := it.AtHistogram(nil)
			of := map[int32]int64{}
			for b := h.PositiveBucketIterator(); b.Next(); {
				of[b.At().Index] = int64(b.At().Count)
				used[b.At().Index] = struct{}{}
			}
			buckets, r.sums = append(buckets, of), append(r.sums, h.Sum)
			r.shape = &histogram.Histogram{Schema: h.Schema, ZeroThreshold: h.ZeroThreshold}
			continue
		}
		break
	}
	if r.shape == nil {
		return r
	}
	indexes := slices.Sorted(maps.Keys(used))
	for i, index := range indexes {
		if i > 0 && index == indexes[i-1]+1 {
			r.shape.PositiveSpans[len(r.shape.PositiveSpans)-1].Length++
			continue
		}
		offset := index
		if i > 0 {
			offset -= indexes[i-1] + 1
		}
		r.shape.PositiveSpans = append(r.shape.PositiveSpans, histogram.Span{Offset: offset, Length: 1})
	}
	r.shape.PositiveBuckets = make([]int64, len(indexes))
	for _, of := range buckets {
		counts := make([]int64, len(indexes))
		for i, index := range indexes {
			counts[i] = of[index]
		}
		r.counts = append(r.counts, counts)
	}
	return r
}
