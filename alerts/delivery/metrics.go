package delivery

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/latency"
)

// The kinds of receivers, as the label integration has them.
const (
	toAlertmanager = "alertmanager"
	toWebhook      = "webhook"
)

type metrics struct {
	attempts, failed, dropped *prometheus.CounterVec
	waiting                   *prometheus.GaugeVec
	took                      *latency.Vec
	writeErrors               prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"integration"})
	}
	m := &metrics{
		attempts: counter("bizra_alert_notifications_total", "Attempts to tell an Alertmanager or a webhook of alerts."),
		failed:   counter("bizra_alert_notifications_failed_total", "Attempts that failed."),
		dropped:  counter("bizra_alert_notifications_dropped_total", "Alerts that a receiver was not told of: it refused them, or the queue was full."),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bizra_alert_notification_queue_length",
			Help: "Alerts whose newest state a receiver has yet to be told."}, []string{"integration"}),
		took: latency.NewVec("bizra_alert_notification_seconds", "How long an attempt to tell a receiver takes.", "integration"),
		writeErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_alert_queue_write_errors_total",
			Help: "Times that the queue of alerts could not be written to disk."}),
	}
	for _, to := range []string{toAlertmanager, toWebhook} {
		for _, v := range []*prometheus.CounterVec{m.attempts, m.failed, m.dropped} {
			v.WithLabelValues(to)
		}
		m.waiting.WithLabelValues(to)
		m.took.With(to)
	}
	reg.MustRegister(m.attempts, m.failed, m.dropped, m.waiting, m.took, m.writeErrors)
	return m
}
