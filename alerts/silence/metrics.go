package silence

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	silencesDesc = prometheus.NewDesc("bizra_alert_silences", "Silences by state: pending, active, or expired and not yet forgotten.", []string{"state"}, nil)
	ackDesc      = prometheus.NewDesc("bizra_alerts_acknowledged", "Alerts that someone has acknowledged.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (s *Store) Describe(out chan<- *prometheus.Desc) { out <- silencesDesc; out <- ackDesc }

// Collect implements [prometheus.Collector].
func (s *Store) Collect(out chan<- prometheus.Metric) {
	states := map[string]int{"pending": 0, "active": 0, "expired": 0}
	now := time.Now()
	for _, o := range s.List() {
		states[o.State(now)]++
	}
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(silencesDesc, prometheus.GaugeValue, float64(n), state)
	}
	out <- prometheus.MustNewConstMetric(ackDesc, prometheus.GaugeValue, float64(s.acknowledged()))
}
