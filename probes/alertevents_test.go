package probes_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/control"
)

// What alerts did is told from the history: when one began to fire, and when it ended.
func TestAlertsBetweenMoments(t *testing.T) {
	r, _ := sample(t, t.TempDir())
	firing := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ALERTS"}, []string{"alertname", "alertstate", "severity", "breaker"})
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_node_info"})
	info.Set(1)
	r.metrics.MustRegister(firing, info)
	began := r.secondOfSamples(t)
	r.secondOfSamples(t)
	firing.WithLabelValues("BreakerOpen", "firing", "critical", "redis").Set(1)
	firing.WithLabelValues("ApiErrors", "pending", "warning", "").Set(1)
	r.secondOfSamples(t)
	r.secondOfSamples(t)
	firing.Reset()
	var list []control.Event
	eventually(t, "the alert is told to be resolved", func() bool {
		var since time.Time
		var err error
		list, since, err = r.AlertsBetween(t.Context(), began.Add(-time.Minute), r.Latest())
		if err != nil || since.After(began.Add(11*time.Second)) {
			t.Fatalf("%v %v", since, err)
		}
		return len(list) == 2
	})
	first, last := list[0], list[1]
	if first.Subject != "BreakerOpen" || first.Severity != "bad" || first.Text != "firing breaker=redis" || first.Time.Before(began) ||
		last.Severity != "good" || !strings.HasPrefix(last.Text, "resolved") || !last.Time.After(first.Time) {
		t.Errorf("%+v", list)
	}
}
