package probes_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/control"
)

// Panels that are quantiles of one sum share it: they show what the engine answers
// for their expressions.
func TestSharedQuantilesAreThoseOfTheEngine(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	native := func(name string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, NativeHistogramBucketFactor: 1.03}, []string{"provider"})
		r.metrics.MustRegister(h)
		return h
	}
	requests, calls := native("bizra_http_request_seconds"), native("bizra_upstream_request_seconds")
	observe := func() {
		for _, provider := range []string{"a", "b"} {
			for range 50 {
				requests.WithLabelValues(provider).Observe(math.Exp(3 * rand.NormFloat64()))
				calls.WithLabelValues(provider).Observe(math.Exp(rand.NormFloat64()))
			}
		}
	}
	compared := 0
	eventually(t, "all are there", func() bool {
		observe()
		look, err := r.LookAt(t.Context(), r.Latest())
		if err != nil {
			t.Fatal(err)
		}
		compared = 0
		for _, p := range r.Panels() {
			want, err := r.history.Instant(t.Context(), p.Expr, look.Time)
			if err != nil {
				t.Fatal(err)
			}
			got := look.Panels[p.ID]
			if len(got) != len(want) {
				t.Fatalf("%s: %v, the engine has %v", p.ID, got, want)
			}
			for _, w := range want {
				found := false
				for _, g := range got {
					v := float64(*g.Value)
					found = found || (p.Legend == "" || g.Label == w.Metric.Get(p.Legend)) && (v == w.F || math.IsNaN(v) && math.IsNaN(w.F))
				}
				if !found {
					t.Fatalf("%s: %v, the engine has %v", p.ID, got, want)
				}
				switch p.ID {
				case "latency_p50", "latency_p99", "upstream_p50", "upstream_p99":
					if w.F > 0 {
						compared++
					}
				}
			}
		}
		return compared == 6
	})
	for range 16 {
		observe()
		time.Sleep(200 * time.Millisecond)
	}
	end, start := r.Latest(), r.Latest().Add(-3*time.Second)
	over, err := r.HistoryUntil(t.Context(), end, 3*time.Second, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	compared = 0
	for _, p := range r.Panels() {
		n := 0
		if err := r.history.Range(t.Context(), p.Expr, start.Truncate(time.Second), end, time.Second, func(want promql.Series) {
			i := slices.IndexFunc(over[p.ID], func(s control.Series) bool { return p.Legend == "" || s.Label == want.Metric.Get(p.Legend) })
			if n++; i < 0 || len(over[p.ID][i].Points) != len(want.Floats) {
				t.Fatalf("%s: %v, the engine has %v", p.ID, over[p.ID], want)
			}
			for j, w := range want.Floats {
				if got := over[p.ID][i].Points[j]; got.T != w.T || float64(got.V) != w.F && !math.IsNaN(w.F) {
					t.Errorf("%s: %v, the engine has %v", p.ID, got, w)
				}
				compared++
			}
		}); err != nil {
			t.Fatal(err)
		}
		if n != len(over[p.ID]) {
			t.Errorf("%s: %d series, the engine has %d", p.ID, len(over[p.ID]), n)
		}
	}
	if compared < 10 {
		t.Errorf("only %d points were compared", compared)
	}
}

// A panel that looks back over half a minute is not evaluated at every sample, and
// one of a gauge is.
func TestPanelsAreEvaluatedAsOftenAsTheyMove(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	inFlight := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_http_in_flight_requests"})
	waits := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bizra_db_pool_acquire_wait_seconds", NativeHistogramBucketFactor: 1.03})
	r.metrics.MustRegister(inFlight, waits)
	fast, slow, most := map[float64]bool{}, map[float64]bool{}, 0
	for i := range 25 { // five samples a second
		inFlight.Set(float64(i))
		waits.Observe(float64(i))
		time.Sleep(200 * time.Millisecond)
		now := r.Now(t.Context())
		if v := now["in_flight"]; len(v) == 1 {
			fast[float64(*v[0].Value)] = true
		}
		if v := now["pool_acquire_p99"]; len(v) == 1 && !math.IsNaN(float64(*v[0].Value)) {
			slow[float64(*v[0].Value)] = true
		}
		most = i
	}
	if len(fast) < most/2 || len(slow) < 1 || len(slow) > 3 {
		t.Errorf("in %d samples: in flight had %d values, acquire wait p99 %d", most, len(fast), len(slow))
	}
}
