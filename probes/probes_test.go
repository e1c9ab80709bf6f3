package probes_test

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

type rig struct {
	*probes.Sampler
	history *probes.History
	metrics *prometheus.Registry
}

// sample starts sampling into dir until the test or the returned function ends.
func sample(t *testing.T, dir string) (rig, func()) {
	t.Helper()
	reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	s := probes.Declare(reg)
	if err := reg.Load(settings.SourceFile, []settings.Change{{Key: "history.sample_every", Value: "200ms"}}); err != nil {
		t.Fatal(err)
	}
	h, err := probes.OpenHistory(dir, s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := probes.NewSampler(h, metrics, s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx, func(string, string) {}) })
	stop := sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return rig{m, h, metrics}, stop
}

// query evaluates an expression now.
func (r rig) query(t *testing.T, expr string) promql.Vector {
	t.Helper()
	v, err := r.history.Instant(t.Context(), expr, r.Latest())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// secondOfSamples waits until there are samples of one second more, so that one of the
// full seconds at which the steps of a range stand is among them, and returns the time of
// the newest.
func (r rig) secondOfSamples(t *testing.T) time.Time {
	t.Helper()
	from := r.Latest()
	eventually(t, "a second of samples", func() bool { return r.Latest().Sub(from) > time.Second })
	return r.Latest()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 300 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("never: " + what)
}

func TestSamplesOfEveryKindCanBeQueried(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	count := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total"}, []string{"l"})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "n_seconds", NativeHistogramBucketFactor: 1.1})
	classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h_seconds", Buckets: []float64{1, 2}})
	for i := range 1000 {
		count.WithLabelValues("a").Inc()
		native.Observe(float64(i+1) / 1000)
		classic.Observe(1.5)
	}
	r.metrics.MustRegister(count, native, classic) // one by one: a sample may have seen some
	eventually(t, "all are there", func() bool {
		return len(r.query(t, `c_total{l="a"}==1000 and on () n_seconds and on () h_seconds_count`)) == 1
	})
	if n := len(r.query(t, `h_seconds_bucket{le="2"}==1000`)); n != 1 {
		t.Fatalf("%d classic buckets", n)
	}
	// The quantile of a native histogram is within its 5 % resolution.
	if n := len(r.query(t, `abs(histogram_quantile(0.9,n_seconds)-0.9)<0.05`)); n != 1 {
		t.Fatal("the quantile is off")
	}
	series := 0
	if err := r.history.Range(t.Context(), "c_total", r.Latest().Add(-time.Minute), r.Latest(), time.Second, func(promql.Series) { series++ }); err != nil || series != 1 {
		t.Fatalf("%d series over time, %v", series, err)
	}
}

func TestHistorySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	r, stop := sample(t, dir)
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g"})
	g.Set(42)
	r.metrics.MustRegister(g)
	eventually(t, "sampled", func() bool { return len(r.query(t, "g")) == 1 })
	stop()
	r, _ = sample(t, dir)
	eventually(t, "sampled again", func() bool { return len(r.query(t, "bizra_history_samples_total")) == 1 })
	if n := len(r.query(t, "max_over_time(g[1m])==42")); n != 1 {
		t.Fatal("what was before the restart is gone")
	}
}

func TestNudgeTakesASampleAtOnce(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_http_in_flight_requests"})
	r.metrics.MustRegister(g)
	eventually(t, "sampled", func() bool { return len(r.Now(t.Context())["in_flight"]) == 1 })
	g.Set(7)
	r.Nudge()
	eventually(t, "seen", func() bool { return *r.Now(t.Context())["in_flight"][0].Value == 7 })
	eventually(t, "part of the history", func() bool {
		history, err := r.History(t.Context(), time.Minute, time.Second)
		return err == nil && len(history["in_flight"]) == 1
	})
}

// What was gathered before a change must not have a time after it: a look at the moment
// after a change would show the node as it was before.
func TestASampleHasTheTimeOfItsStart(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	var changed atomic.Pointer[time.Time]
	r.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "g"}, func() float64 {
		if changed.Load() != nil {
			return 1
		}
		now := time.Now()
		changed.Store(&now) // just after it was read
		time.Sleep(50 * time.Millisecond)
		return 0
	}))
	eventually(t, "the change is seen", func() bool { return len(r.query(t, "g==1")) == 1 })
	v, err := r.history.Instant(t.Context(), "g==0", *changed.Load())
	if err != nil || len(v) != 1 {
		t.Errorf("what was read before the change is not known to be from before it: %v, %v", v, err)
	}
}

// The engine would make room for 3 trillion steps and end the process, whoever asked:
// the API, a stream, a rule.
func TestASubqueryOfTooManyStepsDoesNotEndTheProcess(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	if _, err := r.history.Instant(t.Context(), "max_over_time(up[100y:1ms])", time.Now()); err == nil || !strings.Contains(err.Error(), "more than 1000000") {
		t.Error(err)
	}
}

func TestPanels(t *testing.T) {
	seen := map[string]bool{}
	units := []control.Unit{control.UnitCount, control.UnitPerSecond, control.UnitSeconds, control.UnitBytes, control.UnitRatio, control.UnitBlocks, control.UnitState}
	p := parser.NewParser(parser.Options{})
	for _, panel := range probes.Panels() {
		if seen[panel.ID] {
			t.Errorf("%s is declared twice", panel.ID)
		}
		seen[panel.ID] = true
		if _, err := p.ParseExpr(panel.Expr); err != nil {
			t.Errorf("%s: %v", panel.ID, err)
		}
		if panel.Title == "" || panel.Doc == "" || panel.Part == "" || !slices.Contains(units, panel.Unit) {
			t.Errorf("%s is not described: %+v", panel.ID, panel)
		}
	}
}

func TestNowHasNoValueForWhatIsNotMeasured(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	for id, values := range r.Now(t.Context()) {
		for _, v := range values {
			if v.Value == nil || (id != "alerts_firing" && !math.IsNaN(float64(*v.Value))) {
				t.Errorf("%s has a value out of nothing: %v", id, *v.Value)
			}
		}
	}
}
