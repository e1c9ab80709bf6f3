package probes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the tunables of sampling and history.
type Settings struct {
	SampleEvery *settings.Value[time.Duration]
	Retention   *settings.Value[time.Duration]
	MaxBytes    *settings.Value[int64]
}

// Declare declares the tunables of the history.
func Declare(r *settings.Registry) Settings {
	return Settings{
		SampleEvery: settings.Duration(r, settings.Spec{Key: "history.sample_every", Min: 0.2, Max: 60, Step: 0.5,
			Doc: "How often the node's metrics are sampled into its history."}, time.Second),
		Retention: settings.Duration(r, settings.Spec{Key: "history.retention", Min: 3600, Max: 366 * 86400, Step: 86400, Restart: true,
			Doc: "How long samples are kept."}, 48*time.Hour),
		MaxBytes: settings.Bytes(r, settings.Spec{Key: "history.max_bytes", Min: 64 << 20, Max: 1 << 40, Step: 64 << 20, Restart: true,
			Doc: "Bound of the history on disk; the oldest samples go first."}, 1<<30),
	}
}

const (
	// lookback is for how long the last sample of a series speaks for it.
	lookback = 5 * time.Second
	// maxSamples and queryTimeout bound one query.
	maxSamples   = 5_000_000
	queryTimeout = 10 * time.Second
	// headSpan is how much is kept in memory before it becomes a block.
	headSpan = 30 * time.Minute
)

// History is the embedded time series database and the PromQL engine over it.
// All methods may be called from any goroutine.
type History struct {
	db     *tsdb.DB
	engine *promql.Engine
	parser parser.Parser
}

// OpenHistory opens or creates the history in a folder of its own.
func OpenHistory(dir string, s Settings, log *slog.Logger) (*History, error) {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = s.Retention.Get().Milliseconds()
	o.MaxBytes = s.MaxBytes.Get()
	o.MinBlockDuration = headSpan.Milliseconds()
	// Blocks no longer than a tenth of the retention, as Prometheus does, so
	// that what is dropped at once is a tenth at most.
	o.MaxBlockDuration = max(o.RetentionDuration/10, o.MinBlockDuration)
	o.EnableMemorySnapshotOnShutdown = true
	o.WALSegmentSize = 16 << 20
	db, err := tsdb.Open(dir, log, nil, o, nil)
	if err != nil {
		return nil, fmt.Errorf("open the history in %s: %w", dir, err)
	}
	p := boundedParser{parser.NewParser(parser.Options{})}
	return &History{db: db, parser: p, engine: promql.NewEngine(promql.EngineOpts{
		Logger: log, MaxSamples: maxSamples, Timeout: queryTimeout, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: p,
		NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
	})}, nil
}

// Storage gives rules their place to read from and write to.
func (h *History) Storage() (*promql.Engine, storage.Queryable, storage.Appendable, parser.Parser) {
	return h.engine, h.db, h.db, h.parser
}

// Close ends queries and writes what is in memory to disk.
func (h *History) Close() error {
	return errors.Join(h.engine.Close(), h.db.Close())
}

// Instant evaluates an expression at one moment.
func (h *History) Instant(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	q, err := h.engine.NewInstantQuery(ctx, h.db, nil, expr, at)
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
	q, err := h.engine.NewRangeQuery(ctx, h.db, nil, expr, start, end, step)
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
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_history_series",
		Help: "Time series in the newest part of the history."}, func() float64 { return float64(h.db.Head().NumSeries()) }))
}
