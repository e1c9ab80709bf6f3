package api

import (
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/latency"
)

type metrics struct {
	requests *prometheus.CounterVec
	latency  *latency.Vec
	rpc      *prometheus.CounterVec
	answers  *prometheus.CounterVec
	shed     prometheus.Counter
	open     atomic.Int64 // connections
}

// connection counts connections; it is http.Server.ConnState.
func (m *metrics) connection(_ net.Conn, to http.ConnState) {
	switch to {
	case http.StateNew:
		m.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		m.open.Add(-1)
	}
}

func newMetrics() *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_http_requests_total",
			Help: "Requests answered, by route and status."}, []string{"route", "code"}),
		latency: latency.NewVec("bizra_http_request_seconds", "Time from a request's header to its answer, by route.", "route"),
		rpc: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_http_rpc_requests_total",
			Help: "JSON-RPC requests of the gateway, by method and outcome."}, []string{"method", "outcome"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_gateway_answers_total",
			Help: "Results that the gateway sent, members of batches included, by what they rest on: proof, quorum, or single (one provider's word), as X-Verified says."}, []string{"trust"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_http_shed_total",
			Help: "Requests refused because too many were under way, or their bodies or answers had no room."}),
	}
	for _, words := range verified { // a share needs all series from the start
		m.answers.WithLabelValues(words[0])
	}
	for _, status := range []int{http.StatusNotFound, http.StatusMethodNotAllowed} {
		m.requests.WithLabelValues(otherRoute, strconv.Itoa(status))
	}
	return m
}

func (m *metrics) collectors(s *Server) []prometheus.Collector {
	return append(s.streams.collectors(), m.requests, m.latency, m.rpc, m.answers, m.shed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_http_in_flight_requests", Help: "Requests being answered."},
			func() float64 { return float64(s.inFlight.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_http_connections", Help: "Open client connections, those of streams apart."},
			func() float64 { return float64(m.open.Load()) }),
		healthCollector{s.health})
}

// otherRoute stands for whatever no route takes, so that what clients make up
// makes no series.
const otherRoute = "other"

// meter counts and times one route.
type meter struct {
	latency *latency.Histogram
	ok      prometheus.Counter // of status 200, which need not be looked up
	others  func(status int) prometheus.Counter
}

func (m *metrics) route(pattern string) meter {
	return meter{m.latency.With(pattern), m.requests.WithLabelValues(pattern, "200"), func(status int) prometheus.Counter {
		return m.requests.WithLabelValues(pattern, strconv.Itoa(status))
	}}
}

func (m meter) count(status int, took time.Duration) {
	m.latency.Observe(took)
	if status == http.StatusOK {
		m.ok.Inc()
	} else {
		m.others(status).Inc()
	}
}

var (
	descReady = prometheus.NewDesc("bizra_health_ready",
		"1 while the node should get traffic, as /health/ready says.", nil, nil)
	descDegraded = prometheus.NewDesc("bizra_health_degraded_parts",
		"Parts that do not pass, by check, as /health names them.", []string{"check"}, nil)
)

type healthCollector struct{ *health }

func (c healthCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descReady
	ch <- descDegraded
}

func (c healthCollector) Collect(ch chan<- prometheus.Metric) {
	now, ready := c.now(), 0.0
	if now.Ready {
		ready = 1
	}
	ch <- prometheus.MustNewConstMetric(descReady, prometheus.GaugeValue, ready)
	for _, check := range checks {
		ch <- prometheus.MustNewConstMetric(descDegraded, prometheus.GaugeValue, float64(now.degraded(check)), check)
	}
}
