package api

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	rpc      *prometheus.CounterVec
	shed     prometheus.Counter
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_http_requests_total",
			Help: "Requests answered, by route and status."}, []string{"route", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bizra_http_request_seconds",
			Help:                        "Time from a request's header to its answer, by route.",
			Buckets:                     []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160}, []string{"route"}),
		rpc: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_http_rpc_requests_total",
			Help: "JSON-RPC requests of the gateway, by method and outcome."}, []string{"method", "outcome"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_http_shed_total",
			Help: "Requests refused because too many were under way."}),
	}
}

func (m *metrics) collectors(s *Server) []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.latency, m.rpc, m.shed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_http_in_flight_requests", Help: "Requests being answered."},
			func() float64 { return float64(s.inFlight.Load()) })}
}
