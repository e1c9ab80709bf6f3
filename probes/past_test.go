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
	r.metrics.MustRegister(limit, setting)
	set := func(v float64) {
		limit.Set(v)
		setting.WithLabelValues("pool.limit").Set(v)
		eventually(t, "sampled", func() bool {
			v2 := r.query(t, "bizra_db_pool_limit")
			return len(v2) == 1 && v2[0].F == v
		})
	}
	set(8)
	time.Sleep(1100 * time.Millisecond) // steps stand at full seconds
	before := r.Latest()
	set(12)
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
