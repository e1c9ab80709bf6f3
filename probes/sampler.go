package probes

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/bizra/bizra-top/node/control"
)

// minGap keeps samples that are asked for apart, however often they are.
const minGap = 100 * time.Millisecond

// Sampler gathers the registry into the history, and answers the panels from
// it. It implements [control.Observer].
type Sampler struct {
	history  *History
	gatherer prometheus.Gatherer
	settings Settings
	log      *slog.Logger
	panels   []control.Panel
	shared   map[string]quantile // of the panels and tables, by expression
	nudge    chan struct{}
	last     atomic.Int64 // Unix milliseconds of the newest sample

	known []known // of the newest gathering; of Run alone

	samples prometheus.Counter
	took    prometheus.Histogram
	errors  prometheus.Counter

	every map[string]time.Duration // how often a panel is worth evaluating, by id

	mu        sync.Mutex
	now       map[string][]control.Value
	nowFor    int64            // the sample that now is for
	evaluated map[string]int64 // the sample that a panel was evaluated at, by id
}

// NewSampler returns a sampler of everything registered with reg, its own
// metrics included. Run must be running for samples to be taken.
func NewSampler(h *History, reg *prometheus.Registry, s Settings, log *slog.Logger) *Sampler {
	m := &Sampler{history: h, gatherer: reg, settings: s, log: log, panels: Panels(), shared: quantiles(h.parser, expressions()), nudge: make(chan struct{}, 1),
		samples: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_history_samples_total", Help: "Samples written to the history."}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bizra_history_sample_seconds",
			Help: "Time to gather and write all samples once.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1}}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_history_errors_total", Help: "Times samples could not be gathered or written."}),
	}
	m.now, m.every, m.evaluated = map[string][]control.Value{}, map[string]time.Duration{}, map[string]int64{}
	for _, p := range m.panels {
		m.every[p.ID] = worthEvery(h.parser, p.Expr)
	}
	reg.MustRegister(m.samples, m.took, m.errors)
	h.register(reg)
	return m
}

// Stopped says why no samples are taken, or is empty. Newest is when the newest was.
func (m *Sampler) Stopped() (why string, newest time.Time) {
	if last := m.last.Load(); last > 0 {
		newest = time.UnixMilli(last)
	}
	if text := m.history.why.Load(); text != nil {
		why = *text
	}
	return why, newest
}

// Nudge asks for a sample now, because something has changed.
func (m *Sampler) Nudge() {
	select {
	case m.nudge <- struct{}{}:
	default:
	}
}

// Run samples until ctx ends. told is called when sampling stops to work, and when
// it works again.
func (m *Sampler) Run(ctx context.Context, told func(severity, text string)) {
	for ctx.Err() == nil {
		began := time.Now()
		err := m.sample(ctx)
		if err != nil {
			m.errors.Inc()
		}
		if failing := err != nil; m.history.stopped.Swap(failing) != failing && ctx.Err() == nil {
			if failing {
				text := err.Error()
				m.history.why.Store(&text)
				told("bad", "sampling has stopped, the node goes on without history: "+err.Error())
			} else {
				m.history.why.Store(nil)
				told("good", "sampling works again")
			}
		}
		m.took.Observe(time.Since(began).Seconds())
		m.pause(ctx, began)
	}
}

func (m *Sampler) pause(ctx context.Context, began time.Time) {
	timer := time.NewTimer(time.Until(began.Add(m.settings.SampleEvery.Get())))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-m.nudge:
		gap := time.NewTimer(time.Until(began.Add(minGap)))
		defer gap.Stop()
		select {
		case <-ctx.Done():
		case <-gap.C:
		}
	}
}

func (m *Sampler) sample(ctx context.Context) error {
	if err := m.history.ready(); err != nil {
		return err
	}
	// As in a scrape, the time is that of its start: what changed before it is in it.
	now := time.Now()
	families, err := m.gatherer.Gather()
	if len(families) == 0 {
		return err
	}
	at := max(now.Add(m.history.leadAt(now)).UnixMilli(), m.last.Load()+1)
	a := appender{AppenderV2: m.history.raw().db.AppenderV2(ctx), at: at, known: m.known}
	for _, f := range families {
		for _, metric := range f.Metric {
			a.metric(f.GetName(), metric)
		}
	}
	m.known = a.known
	if a.err != nil {
		_ = a.Rollback() // the first error is the one that matters
		return a.err
	}
	if err := a.Commit(); err != nil {
		return err
	}
	m.samples.Add(float64(a.count))
	m.last.Store(at)
	m.history.anchor(at, now)
	return nil
}

// appender writes one gathering. The first error stops it.
type appender struct {
	storage.AppenderV2
	at    int64
	known []known // of the gathering before this one, in its order
	count int     // samples so far, and the place in known
	err   error
}

// known is a series that was written before. A gathering comes in the same order as
// the one before it but for series that are new, so each is found where it was, and
// its labels need not be made, sorted and looked up again.
type known struct {
	name, suffix, bound string
	values              []string
	labels              labels.Labels
	ref                 storage.SeriesRef
}

func (k *known) is(name, suffix, bound string, m *dto.Metric) bool {
	if k.name != name || k.suffix != suffix || k.bound != bound || len(k.values) != len(m.Label) {
		return false
	}
	for i, l := range m.Label {
		if k.values[i] != l.GetValue() {
			return false
		}
	}
	return true
}

func newKnown(name, suffix, bound string, m *dto.Metric) known {
	k := known{name: name, suffix: suffix, bound: bound, values: make([]string, len(m.Label))}
	pairs := make([]string, 0, 2*len(m.Label)+4)
	pairs = append(pairs, model.MetricNameLabel, name+suffix)
	for i, l := range m.Label {
		pairs = append(pairs, l.GetName(), l.GetValue())
		k.values[i] = l.GetValue()
	}
	if bound != "" {
		pairs = append(pairs, labels.BucketLabel, bound)
	}
	k.labels = labels.FromStrings(pairs...)
	return k
}

func (a *appender) metric(name string, m *dto.Metric) {
	switch {
	case m.Counter != nil:
		a.append(name, "", "", m, m.Counter.GetValue(), nil)
	case m.Gauge != nil:
		a.append(name, "", "", m, m.Gauge.GetValue(), nil)
	case m.Untyped != nil:
		a.append(name, "", "", m, m.Untyped.GetValue(), nil)
	case m.Summary != nil:
		a.append(name, "_sum", "", m, m.Summary.GetSampleSum(), nil)
		a.append(name, "_count", "", m, float64(m.Summary.GetSampleCount()), nil)
	case m.Histogram != nil && m.Histogram.Schema != nil:
		a.append(name, "", "", m, 0, native(m.Histogram))
	case m.Histogram != nil:
		a.append(name, "_sum", "", m, m.Histogram.GetSampleSum(), nil)
		a.append(name, "_count", "", m, float64(m.Histogram.GetSampleCount()), nil)
		for _, b := range m.Histogram.Bucket {
			a.append(name, "_bucket", formatBound(b.GetUpperBound()), m, float64(b.GetCumulativeCount()), nil)
		}
		a.append(name, "_bucket", "+Inf", m, float64(m.Histogram.GetSampleCount()), nil)
	}
}

// append writes a sample of the series of a metric with a suffix behind its name
// and, where it is not empty, the bound of a bucket.
func (a *appender) append(name, suffix, bound string, m *dto.Metric, v float64, h *histogram.Histogram) {
	if a.err != nil {
		return
	}
	switch {
	case a.count == len(a.known):
		a.known = append(a.known, newKnown(name, suffix, bound, m))
	case !a.known[a.count].is(name, suffix, bound, m):
		// A series has come or gone: from here on every one is looked up once.
		a.known = append(a.known[:a.count], newKnown(name, suffix, bound, m))
	}
	k := &a.known[a.count]
	if k.ref, a.err = a.Append(k.ref, k.labels, 0, a.at, v, h, nil, storage.AppendV2Options{}); a.err == nil {
		a.count++
	}
}

// native takes the sparse buckets of a gathered histogram.
func native(h *dto.Histogram) *histogram.Histogram {
	spans := func(in []*dto.BucketSpan) []histogram.Span {
		out := make([]histogram.Span, len(in))
		for i, s := range in {
			out[i] = histogram.Span{Offset: s.GetOffset(), Length: s.GetLength()}
		}
		return out
	}
	return &histogram.Histogram{
		Schema: h.GetSchema(), ZeroThreshold: h.GetZeroThreshold(), ZeroCount: h.GetZeroCount(),
		Count: h.GetSampleCount(), Sum: h.GetSampleSum(),
		PositiveSpans: noFakeSpan(spans(h.PositiveSpan), h.PositiveDelta), NegativeSpans: noFakeSpan(spans(h.NegativeSpan), h.NegativeDelta),
		PositiveBuckets: h.PositiveDelta, NegativeBuckets: h.NegativeDelta,
	}
}

// noFakeSpan drops the empty span client_golang adds so that an unused native
// histogram can be told from a classic one.
func noFakeSpan(s []histogram.Span, deltas []int64) []histogram.Span {
	if len(deltas) == 0 {
		return nil
	}
	return s
}

func formatBound(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return labelFloat(v)
}
