package upstream

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/latency"
	"github.com/bizra/bizra-top/node/upstream/refusal"
)

type metrics struct {
	requests    *prometheus.CounterVec
	failures    *prometheus.CounterVec
	attempts    prometheus.Histogram
	refusals    *prometheus.CounterVec
	latency     *latency.Vec
	retries     prometheus.Counter
	hedges      prometheus.Counter
	hedgeWins   prometheus.Counter
	budgetSpent prometheus.Counter
	shed        prometheus.Counter
}

func newMetrics() *metrics {
	count := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_upstream_requests_total",
			Help: "Calls to providers, by outcome: success, rpc_error, failure, cancelled, shed, refused."}, []string{"provider", "outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_upstream_failures_total",
			Help: "Failed calls to providers, by kind: timeout, connection, status, quota, auth, malformed, oversized, unsound."}, []string{"provider", "kind"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_upstream_refusals_total",
			Help: "Answers of providers that were no result, by what they are about: verdict and known (of the chain), limit (of the question), method, state and block (not there), quota, auth, internal, unavailable, unknown."}, []string{"provider", "class"}),
		attempts: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bizra_upstream_attempts",
			Help: "Attempts a call took, retries and hedges included; 0 when no provider could be asked.", Buckets: []float64{0, 1, 2, 3, 4, 6, 8}}),
		latency:     latency.NewVec("bizra_upstream_request_seconds", "Time of calls to providers that were not cancelled.", "provider"),
		retries:     count("bizra_upstream_retries_total", "Calls tried again after a failure."),
		hedges:      count("bizra_upstream_hedges_total", "Second calls started because the first was slow."),
		hedgeWins:   count("bizra_upstream_hedge_wins_total", "Second calls that answered first."),
		budgetSpent: count("bizra_upstream_retry_budget_exhausted_total", "Retries and hedges that had to wait because the budget was spent."),
		shed:        count("bizra_upstream_shed_total", "Calls refused because the provider had upstream.max_calls under way, or their answer no room in api.max_bodies."),
	}
}

// outcome is what came of asking a provider.
type outcome uint8

const (
	outcomeSuccess outcome = iota
	outcomeRPCError
	outcomeFailure
	outcomeCancelled
	outcomeShed
	outcomeRefused // for a reason that says nothing about how the provider is
	outcomes
)

var outcomeNames = [outcomes]string{"success", "rpc_error", "failure", "cancelled", "shed", "refused"}

// counters are one provider's, found once.
type counters struct {
	requests [outcomes]prometheus.Counter
	kinds    map[string]prometheus.Counter
	classes  []prometheus.Counter // by refusal.Class
	seconds  *latency.Histogram
}

func (m *metrics) of(provider string) counters {
	c := counters{seconds: m.latency.With(provider), kinds: map[string]prometheus.Counter{}}
	for o, name := range outcomeNames {
		c.requests[o] = m.requests.WithLabelValues(provider, name)
	}
	for _, kind := range kinds {
		c.kinds[kind] = m.failures.WithLabelValues(provider, kind)
	}
	for _, class := range refusal.Classes() {
		c.classes = append(c.classes, m.refusals.WithLabelValues(provider, class.String()))
	}
	return c
}

var (
	descHead     = prometheus.NewDesc("bizra_upstream_head_block", "Newest block number of each provider.", []string{"provider"}, nil)
	descLag      = prometheus.NewDesc("bizra_upstream_lag_blocks", "Blocks each provider is behind the trusted head.", []string{"provider"}, nil)
	descUp       = prometheus.NewDesc("bizra_upstream_up", "1 when calls may go to the provider.", []string{"provider"}, nil)
	descPlace    = prometheus.NewDesc("bizra_upstream_preference", "Place in which the provider is asked; 1 is asked first.", []string{"provider"}, nil)
	descState    = prometheus.NewDesc("bizra_upstream_state", "1 for what marks the provider besides its circuit breaker: drained, wrong chain, chain not known yet, failing, asked to wait.", []string{"provider", "state"}, nil)
	descInFlight = prometheus.NewDesc("bizra_upstream_in_flight_requests", "Calls to the provider under way.", []string{"provider"}, nil)
	descLies     = prometheus.NewDesc("bizra_upstream_lies_total", "Answers of the provider that were proved false.", []string{"provider"}, nil)
)

type statuses struct{ set *Set }

func (m *metrics) collectors(s *Set) []prometheus.Collector {
	return []prometheus.Collector{statuses{s}, m.requests, m.failures, m.refusals, m.attempts, m.latency, m.retries, m.hedges, m.hedgeWins, m.budgetSpent, m.shed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_upstream_active_calls", Help: "Calls under way, each with all its attempts."},
			func() float64 { return float64(s.active.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_upstream_head_current",
			Help: "1 while a quorum, or the one provider whose word is taken, has stood behind the trusted head lately enough that it counts."}, func() float64 {
			if _, current := s.Followed(); current {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_upstream_retry_budget_in_use", Help: "Retries and hedges under way."}, s.budget.inUse),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_upstream_retry_budget_limit", Help: "Retries and hedges that may be under way now."},
			func() float64 { return float64(s.allowed()) })}
}

func (s statuses) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descHead, descLag, descUp, descPlace, descState, descInFlight, descLies} {
		ch <- d
	}
}

func (s statuses) Collect(ch chan<- prometheus.Metric) {
	for _, p := range s.set.Status() {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, p.Name)
		}
		gauge(descHead, float64(p.Head))
		gauge(descLag, float64(p.Lag))
		up := 0.0
		if p.Healthy {
			up = 1
		}
		gauge(descUp, up)
		gauge(descPlace, float64(p.Preference))
		for _, state := range marks {
			marked := 0.0
			if p.State == state {
				marked = 1
			}
			ch <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue, marked, p.Name, state)
		}
		gauge(descInFlight, float64(p.InFlight))
		ch <- prometheus.MustNewConstMetric(descLies, prometheus.CounterValue, float64(p.Lies), p.Name)
	}
}
