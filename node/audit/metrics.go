package audit

import "github.com/prometheus/client_golang/prometheus"

var (
	waitingDesc = prometheus.NewDesc("bizra_audit_waiting_entries", "Entries of the audit trail that wait in memory, since the disk refuses them or does not answer.", nil, nil)
	lostDesc    = prometheus.NewDesc("bizra_audit_lost_entries_total", "Entries of the audit trail that are lost, since too many waited.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (l *Log) Describe(out chan<- *prometheus.Desc) { out <- waitingDesc; out <- lostDesc }

// Collect implements [prometheus.Collector]. It does not wait for a disk that hangs.
func (l *Log) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(l.waiting.count.Load()))
	out <- prometheus.MustNewConstMetric(lostDesc, prometheus.CounterValue, float64(l.lost.Load()))
}
