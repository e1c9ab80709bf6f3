package breaker

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	descState = prometheus.NewDesc("bizra_circuit_breaker_state",
		"1 for the state the circuit breaker is in, 0 for the others.", []string{"name", "class", "state"}, nil)
	descFailureRatio = prometheus.NewDesc("bizra_circuit_breaker_failure_ratio",
		"Share of failed calls in the circuit breaker's window.", []string{"name", "class"}, nil)
	descSlowRatio = prometheus.NewDesc("bizra_circuit_breaker_slow_ratio",
		"Share of slow calls in the circuit breaker's window.", []string{"name", "class"}, nil)
	descWindowCalls = prometheus.NewDesc("bizra_circuit_breaker_window_calls",
		"Calls in the circuit breaker's window.", []string{"name", "class"}, nil)
	descOpened = prometheus.NewDesc("bizra_circuit_breaker_opened_total",
		"Times the circuit breaker opened by itself.", []string{"name", "class"}, nil)
	descOpensAt = prometheus.NewDesc("bizra_circuit_breaker_opens_at_ratio",
		"Share of failed calls that opens the circuit breaker.", []string{"name", "class"}, nil)
	descChanged = prometheus.NewDesc("bizra_circuit_breaker_changed_timestamp_seconds",
		"Time of the circuit breaker's last change of state, in Unix seconds.", []string{"name", "class"}, nil)
	descRejected = prometheus.NewDesc("bizra_circuit_breaker_rejected_total",
		"Calls the circuit breaker refused.", []string{"name", "class"}, nil)
)

// Collector exports the breakers that list returns at each scrape.
func Collector(list func() []*Breaker) prometheus.Collector { return collector(list) }

type collector func() []*Breaker

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descState, descFailureRatio, descSlowRatio, descWindowCalls, descOpensAt, descChanged, descOpened, descRejected} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	for _, b := range c() {
		s := b.Snapshot()
		for _, state := range States {
			v := 0.0
			if s.State == state {
				v = 1
			}
			ch <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue, v, s.Name, s.Class, string(state))
		}
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.Name, s.Class)
		}
		gauge(descFailureRatio, s.FailureRatio)
		gauge(descSlowRatio, s.SlowRatio)
		gauge(descWindowCalls, float64(s.Calls))
		gauge(descOpensAt, s.Threshold)
		gauge(descChanged, float64(s.Since.UnixMilli())/1000)
		ch <- prometheus.MustNewConstMetric(descOpened, prometheus.CounterValue, float64(s.Opened), s.Name, s.Class)
		ch <- prometheus.MustNewConstMetric(descRejected, prometheus.CounterValue, float64(s.Rejected), s.Name, s.Class)
	}
}
