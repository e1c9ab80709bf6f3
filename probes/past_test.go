package probes_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The past is what was measured then, whatever is now.
func TestLookAtAMoment(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	limit := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_db_pool_limit"})
	setting := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bizra_setting"}, []string{"key"})
	set := func(v float64) {
		limit.Set(v)
		setting.WithLabelValues("pool.limit").Set(v)
	}
	sampled := func(v float64) {
		eventually(t, "sampled", func() bool {
			now := r.query(t, "bizra_db_pool_limit")
			return len(now) == 1 && now[0].F == v
		})
	}
	set(8) // before it is sampled: the limit never was 0
	r.metrics.MustRegister(limit, setting)
	sampled(8)
	before := r.secondOfSamples(t)
	set(12)
	sampled(12)
	l, err := r.LookAt(t.Context(), before)
	if err != nil || l.Pool.Limit != 8 || !l.Time.Equal(before) || float64(*l.Panels["pool_limit"][0].Value) != 8 {
		t.Errorf("the look at %v: %+v, %v", before, l.Pool, err)
	}
	if v, err := r.SettingsAt(t.Context(), before); err != nil || v["pool.limit"] != 8 {
		t.Errorf("the settings at %v: %v, %v", before, v, err)
	}
	h, err := r.HistoryUntil(t.Context(), before, time.Minute, time.Second)
	if err != nil || len(h["pool_limit"]) != 1 {
		t.Fatalf("history: %v, %v", h, err)
	}
	for _, p := range h["pool_limit"][0].Points {
		if p.V != 8 || p.T > before.UnixMilli() {
			t.Errorf("a point of what came later: %+v", p)
		}
	}
	if l, err := r.LookAt(t.Context(), before.Add(-time.Hour)); err != nil || len(l.Breakers) > 0 || l.Pool.Limit != 0 {
		t.Errorf("before anything was measured: %+v, %v", l.Pool, err)
	}
}
