package verify

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	proofs  *prometheus.CounterVec
	dropped prometheus.Counter
	seconds prometheus.Counter
}

// newMetrics registers with reg, which may be nil.
func newMetrics(reg prometheus.Registerer, q *queue) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		proofs: f.NewCounterVec(prometheus.CounterOpts{
			Name: "bizra_gateway_proofs_total",
			Help: "Answers of providers put to the proof, by class and finding: proved, refuted (the provider lied), or unproved.",
		}, []string{"class", "finding"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "bizra_gateway_proofs_dropped_total",
			Help: "Answers that were not put to the proof because too many were waiting; they are not kept.",
		}),
		seconds: f.NewCounter(prometheus.CounterOpts{
			Name: "bizra_gateway_proof_cpu_seconds_total",
			Help: "Time spent on proofs in this process, without waiting for providers.",
		}),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bizra_gateway_proofs_queued",
		Help: "Answers that wait for their proof.",
	}, func() float64 { n, _ := q.length(); return float64(n) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "bizra_gateway_proofs_queued_bytes",
		Help: "Size of the answers that wait for their proof.",
	}, func() float64 { _, n := q.length(); return float64(n) })
	// Rates need the series before the first event.
	for _, class := range append([]Class{none}, classes...) {
		for _, status := range []Status{Proved, Refuted, Unproved} {
			m.proofs.WithLabelValues(string(class), status.String())
		}
	}
	return m
}
