package validation

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/bizra/bizra-top/node/latency"
)

type metrics struct {
	verdicts *prometheus.CounterVec
	checks   *prometheus.CounterVec
	lies     *prometheus.CounterVec
	seconds  *latency.Vec
}

// newMetrics registers with reg, which may be nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		verdicts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "bizra_validation_verdicts_total",
			Help: "Verdicts reached, by kind of subject and outcome; outcome error counts those that could not be reached.",
		}, []string{"kind", "outcome"}),
		checks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "bizra_validation_checks_total",
			Help: "Checks made for verdicts, by name and result.",
		}, []string{"check", "status"}),
		lies: f.NewCounterVec(prometheus.CounterOpts{
			Name: "bizra_validation_lies_total",
			Help: "False answers of providers found out, by the check that found them.",
		}, []string{"check"}),
		seconds: latency.NewVec("bizra_validation_seconds", "Time taken to reach a verdict.", "kind"),
	}
	if reg != nil {
		reg.MustRegister(m.seconds)
	}
	// Rates need the series before the first event.
	for _, kind := range []Kind{KindTransaction, KindBlock, KindAddress} {
		m.seconds.With(string(kind))
		for _, outcome := range []Outcome{Valid, Invalid, NotFound, Undecided, outcomeError} {
			m.verdicts.WithLabelValues(string(kind), string(outcome))
		}
	}
	for _, names := range checkNames {
		for _, name := range names {
			m.lies.WithLabelValues(name)
			for _, status := range []Status{Passed, Failed, Skipped} {
				m.checks.WithLabelValues(name, string(status))
			}
		}
	}
	return m
}

// outcomeError is only a label: no verdict was reached.
const outcomeError Outcome = "error"
