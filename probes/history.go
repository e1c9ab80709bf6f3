package probes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
)

// Settings are the tunables of sampling and history.
type Settings struct {
	SampleEvery  *settings.Value[time.Duration]
	Retention    *settings.Value[time.Duration]
	RetentionRaw *settings.Value[time.Duration]
	Retention10s *settings.Value[time.Duration]
	MaxBytes     *settings.Value[int64]
	MinFree      *settings.Value[int64]
}

// Declare declares the tunables of the history.
func Declare(r *settings.Registry) Settings {
	const day = 86400
	return Settings{
		SampleEvery: settings.Duration(r, settings.Spec{Key: "history.sample_every", Min: 0.2, Max: 60, Step: 0.5,
			Doc: "How often the node's metrics are sampled into its history."}, time.Second),
		Retention: settings.Duration(r, settings.Spec{Key: "history.retention", Min: 3600, Max: 366 * day, Step: day,
			Doc: "How long history is kept: one sample a minute where it is not kept finer."}, 90*24*time.Hour),
		RetentionRaw: settings.Duration(r, settings.Spec{Key: "history.retention_raw", Min: 3600, Max: 366 * day, Step: 3600,
			Doc: "How long every sample is kept; older history is thinned."}, 24*time.Hour),
		Retention10s: settings.Duration(r, settings.Spec{Key: "history.retention_10s", Min: 3600, Max: 366 * day, Step: day,
			Doc: "How long one sample in ten seconds is kept; older history has one a minute."}, 14*24*time.Hour),
		MaxBytes: settings.Bytes(r, settings.Spec{Key: "history.max_bytes", Min: 64 << 20, Max: 1 << 40, Step: 64 << 20,
			Doc: "Bound of the history on disk; the oldest samples go first."}, 2<<30),
		MinFree: settings.Bytes(r, settings.Spec{Key: "history.min_free", Min: 0, Max: 1 << 40, Step: 64 << 20,
			Doc: "Free disk below which sampling stops, so that the ledger keeps the room."}, 128<<20),
	}
}

const (
	// maxSamples and queryTimeout bound one query.
	maxSamples   = 5_000_000
	queryTimeout = 10 * time.Second
	// maxFiles bounds how many files of the history are looked at before it is opened.
	maxFiles = 100_000
)

// History is the embedded time series database and the PromQL engine over it: the
// newest samples as they were taken, older ones thinned, seen as one. All methods
// may be called from any goroutine.
type History struct {
	settings Settings
	dir      string
	log      *slog.Logger
	lock     *tsdbutil.DirLocker
	tiers    []*tier // finest first; the first is written to
	engine   *engine
	parser   parser.Parser
	setAside []string
	// stopped is true while samples cannot be written. Rules then write none
	// either: each would fail, and say so, at every evaluation.
	stopped atomic.Bool
	opened  atomic.Bool
	blocks  blocks
	opens   []files.Identity       // what it has open, of remembered
	why     atomic.Pointer[string] // why sampling has stopped; nil while it has not
	newest  atomic.Pointer[anchor] // the newest sample
	// How often rules write, in nanoseconds: [History.RulesEvery].
	alertsEvery, recordsEvery atomic.Int64
}

// OpenHistory opens or creates the history in a folder of its own. What is
// damaged there is moved to its folder "damaged", and told of by Run. It is an
// error if another process has the history open.
func OpenHistory(dir string, s Settings, log *slog.Logger) (_ *History, err error) {
	p := boundedParser{parser.NewParser(parser.Options{}), &parsed{}}
	h := &History{settings: s, dir: dir, log: log, parser: p, blocks: blocks{errors: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "bizra_history_block_errors_total", Help: "Times the newest samples could not be written to a block of the history, and stayed in memory."})}}
	h.engine = &engine{history: h, Engine: promql.NewEngine(promql.EngineOpts{
		Logger: log, MaxSamples: maxSamples, Timeout: queryTimeout, LookbackDelta: minLookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: p,
		NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
	})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the history in %s: %w", dir, errors.Join(err, h.Close()))
		}
	}()
	if _, err := files.Folder(dir, false); err != nil {
		return nil, err
	}
	if err := files.CheckTree(dir, maxFiles); err != nil {
		return nil, err
	}
	// Reading the log again creates files, in goroutines that panic where they cannot.
	if err := h.canCreate(0); err != nil {
		return nil, err
	}
	if h.lock, err = tsdbutil.NewDirLocker(dir, "history", slog.New(slog.DiscardHandler), nil); err != nil {
		return nil, err
	}
	if err := h.lock.Lock(); err != nil {
		return nil, fmt.Errorf("another process has it open; stop it, or choose another folder with --state-dir: %w", err)
	}
	h.tiers = []*tier{{name: "raw", retention: s.RetentionRaw.Get},
		{name: "10s", resolution: 10 * time.Second, retention: s.Retention10s.Get},
		{name: "1m", resolution: time.Minute, retention: s.Retention.Get}}
	for _, t := range h.tiers {
		if err := h.open(t); err != nil {
			return nil, err
		}
	}
	newest := h.raw().db.Head().MaxTime()
	for _, b := range h.raw().db.Blocks() {
		newest = max(newest, b.MaxTime())
	}
	if newest > 0 {
		h.anchor(newest, time.Now())
	}
	if err := h.remember(); err != nil {
		return nil, err
	}
	h.opened.Store(true)
	h.measure()
	keep, stop := context.WithCancel(context.Background())
	h.blocks.stop = stop
	supervise.Loop(keep, &h.blocks.running, "blocks of the history", h.keepUp)
	return h, nil
}

// Storage gives rules their place to read from and write to.
func (h *History) Storage() (promql.QueryEngine, storage.Queryable, storage.Appendable, parser.Parser) {
	return h.engine, h, ruleAppendable{h}, h.parser
}

// RulesEvery says how often the slowest rules write which alerts are active, and what
// they record: until the next time, the last sample speaks for them.
func (h *History) RulesEvery(alerts, records time.Duration) {
	h.alertsEvery.Store(int64(alerts))
	h.recordsEvery.Store(int64(records))
}

// ruleAppendable is where rules write.
type ruleAppendable struct{ history *History }

func (a ruleAppendable) Appender(ctx context.Context) storage.Appender {
	if a.history.stopped.Load() {
		return dropping{}
	}
	return a.history.raw().db.Appender(ctx)
}

// dropping accepts what rules write, and writes none of it. Even to roll back, the
// database would write to its log.
type dropping struct {
	storage.Appender // nil: rules call nothing else
}

func (dropping) Append(ref storage.SeriesRef, _ labels.Labels, _ int64, _ float64) (storage.SeriesRef, error) {
	return ref, nil
}

func (dropping) AppendHistogram(ref storage.SeriesRef, _ labels.Labels, _ int64, _ *histogram.Histogram, _ *histogram.FloatHistogram) (storage.SeriesRef, error) {
	return ref, nil
}

func (dropping) SetOptions(*storage.AppendOptions) {}
func (dropping) Commit() error                     { return nil }
func (dropping) Rollback() error                   { return nil }

// Close ends queries and writes what is in memory to disk.
func (h *History) Close() error {
	err := h.engine.Close()
	if h.blocks.stop != nil {
		h.blocks.stop()
		h.blocks.running.Wait()
	}
	for _, t := range h.tiers {
		if t.db != nil {
			err = errors.Join(err, h.closeTier(t))
		}
	}
	if h.lock != nil {
		err = errors.Join(err, h.lock.Release())
	}
	return err
}

// Instant evaluates an expression at one moment.
func (h *History) Instant(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	q, err := h.engine.NewInstantQuery(ctx, h, nil, expr, at)
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", expr, err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, fmt.Errorf("query %q: %w", expr, r.Err)
	}
	if s, ok := r.Value.(promql.Scalar); ok {
		return promql.Vector{{T: s.T, F: s.V, Metric: labels.EmptyLabels()}}, nil
	}
	v, err := r.Vector()
	// The engine reuses the vector after Close.
	return append(promql.Vector(nil), v...), err
}

// Range evaluates an expression from start to end in steps and gives each
// series to visit; the series is only valid during the call.
func (h *History) Range(ctx context.Context, expr string, start, end time.Time, step time.Duration, visit func(promql.Series)) error {
	q, err := h.engine.NewRangeQuery(ctx, h, nil, expr, start, end, step)
	if err != nil {
		return fmt.Errorf("query %q: %w", expr, err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	m, err := r.Matrix()
	if err != nil {
		return fmt.Errorf("query %q: %w", expr, err)
	}
	for _, s := range m {
		visit(s)
	}
	return nil
}

// register exports how the history itself does.
func (h *History) register(reg prometheus.Registerer) {
	reg.MustRegister(h.blocks.errors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_history_series",
		Help: "Time series in the newest part of the history."}, func() float64 { return float64(h.raw().db.Head().NumSeries()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_history_set_aside_parts",
			Help: "Damaged parts of the history that were set aside when the node started."}, func() float64 { return float64(len(h.setAside)) }))
	for _, t := range h.tiers {
		resolution := prometheus.Labels{"resolution": t.name}
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_history_bytes", ConstLabels: resolution,
			Help: "History on disk, by resolution, added up once a minute."}, func() float64 { return float64(t.size.Load()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_history_oldest_timestamp_seconds", ConstLabels: resolution,
				Help: "When the history of each resolution begins; 0 while there is none."}, func() float64 {
				if from, ok := t.from(); ok {
					return float64(from) / 1000
				}
				return 0
			}))
	}
}

// measure adds up what every tier takes on disk.
func (h *History) measure() {
	for _, t := range h.tiers {
		t.bytes()
	}
}

// damagedDir is where damaged parts go.
func (h *History) damagedDir() string { return filepath.Join(h.dir, "damaged") }
