package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

// Health is the node's state as load balancers and people ask for it, after
// the draft "Health Check Response Format for HTTP APIs".
type Health struct {
	Status string                  `json:"status"` // pass, warn, fail
	Ready  bool                    `json:"-"`
	Output string                  `json:"output,omitempty"` // what is wrong
	Checks map[string][]HealthPart `json:"checks,omitempty"`
}

// HealthPart is one part's state, or one figure of it.
type HealthPart struct {
	Component string    `json:"componentId,omitempty"`
	Status    string    `json:"status"`
	Output    string    `json:"output,omitempty"` // for anybody, in our own words
	Detail    string    `json:"-"`                // for the operator: what another program said
	Since     time.Time `json:"since,omitzero"`   // when the status became this
	Value     *float64  `json:"observedValue,omitempty"`
	Unit      string    `json:"observedUnit,omitempty"`
	Time      time.Time `json:"time,omitzero"` // of the observed value
	Needed    bool      `json:"-"`             // no other part of the check makes up for it
}

// The words for a status, from good to bad.
const (
	Pass = "pass"
	Warn = "warn"
	Fail = "fail"
)

// The checks, each at /health/ and its name.
const (
	CheckUpstreams   = "upstreams"
	CheckBreakers    = "circuit-breakers"
	CheckDatabase    = "database"
	CheckCache       = "cache"
	CheckHistory     = "history"
	CheckAlerts      = "alerts"
	checkPerformance = "performance"
	checkNode        = "node"
)

// checks are those the node states; performance is measured.
var checks = []string{CheckUpstreams, CheckBreakers, CheckDatabase, CheckCache, CheckHistory, CheckAlerts}

// Worst returns the status of a whole: that of the worst part, where a failed part
// only warns when others of its kind can do its work.
func Worst(parts []HealthPart, any bool) string {
	failed, kind := 0, 0
	worst := Pass
	for _, p := range parts {
		if p.Status != Pass {
			worst = Warn
		}
		switch {
		case p.Needed && p.Status == Fail:
			return Fail
		case p.Needed:
			continue
		case p.Status == Fail:
			failed++
		}
		kind++
	}
	if failed > 0 && (!any || failed == kind) {
		return Fail
	}
	return worst
}

// health keeps since when each part is as it is. Sampling the metrics looks once a
// second, so that it is known also when nobody asks.
type health struct {
	server *Server
	parts  Parts

	mu    sync.Mutex
	known map[string]state // by check and component

	measuring  sync.Mutex
	measured   []HealthPart
	measuredAt time.Time
}

type state struct {
	status string
	since  time.Time
}

// now returns the state of the node, each part with since when.
func (h *health) now() Health {
	now := h.parts.Health()
	at := time.Now()
	seen := map[string]state{}
	h.mu.Lock()
	for check, parts := range now.Checks {
		for i, p := range parts {
			key := check + " " + p.Component
			s, ok := h.known[key]
			if !ok || s.status != p.Status {
				s = state{p.Status, at}
				h.tell(check, p)
			}
			if p.Since.IsZero() {
				parts[i].Since = s.since.UTC()
			}
			seen[key] = s
		}
	}
	h.known = seen
	h.mu.Unlock()
	began, why := h.server.heldOut.Load(), "an operator has drained the node"
	if stops := h.server.drainingSince.Load(); stops != nil {
		began, why = stops, "the node is shutting down"
	}
	if began != nil {
		now.Ready, now.Output = false, why
		if now.Checks == nil {
			now.Checks = map[string][]HealthPart{}
		}
		now.Checks[checkNode] = []HealthPart{{Component: checkNode, Status: Fail, Output: now.Output, Since: began.UTC()}}
	}
	if !now.Ready {
		now.Status = Fail
	}
	return now
}

// reported are the checks whose changes nothing else reports to the operator.
var reported = []string{CheckDatabase, CheckCache, CheckHistory, CheckAlerts}

// tell reports a part that stopped to work, with the detail that clients are not told.
func (h *health) tell(check string, p HealthPart) {
	if p.Status != Pass && p.Detail != "" && h.parts.Report != nil && slices.Contains(reported, check) {
		h.parts.Report(check + ", " + p.Component + ": " + p.Output + ": " + printable.Clean(p.Detail, 200))
	}
}

// degraded returns how many parts of a check do not pass.
func (n Health) degraded(check string) (bad int) {
	for _, p := range n.Checks[check] {
		if p.Status != Pass {
			bad++
		}
	}
	return bad
}

func (h *health) answer(w http.ResponseWriter, ok bool, said Health) {
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/health+json")
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, said)
}

// all answers /health: everything.
func (h *health) all(w http.ResponseWriter, _ *http.Request) {
	now := h.now()
	h.answer(w, now.Ready, now)
}

// ready answers whether the node should get traffic, and if not, for which parts.
func (h *health) ready(w http.ResponseWriter, _ *http.Request) {
	now := h.now()
	for check, parts := range now.Checks {
		now.Checks[check] = slices.DeleteFunc(parts, func(p HealthPart) bool { return now.Ready || p.Status == Pass })
		if len(now.Checks[check]) == 0 {
			delete(now.Checks, check)
		}
	}
	h.answer(w, now.Ready, now)
}

// live answers that the process answers. It looks at nothing else: a restart mends
// no provider and no database.
func (h *health) live(w http.ResponseWriter, _ *http.Request) {
	h.answer(w, true, Health{Status: Pass})
}

// startup answers whether everything was opened and is served. Like live it depends
// on no other host, and stays true until the end.
func (h *health) startup(w http.ResponseWriter, _ *http.Request) {
	if !h.server.serving.Load() {
		h.answer(w, false, Health{Status: Fail, Output: "the node is starting",
			Checks: map[string][]HealthPart{checkNode: {{Component: checkNode, Status: Fail, Output: "starting", Since: h.server.opened.UTC()}}}})
		return
	}
	h.answer(w, true, Health{Status: Pass})
}

// one answers one check.
func (h *health) one(check string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		parts := h.now().Checks[check]
		h.part(w, check, parts, Worst(parts, check == CheckUpstreams))
	}
}

func (h *health) part(w http.ResponseWriter, check string, parts []HealthPart, status string) {
	said := Health{Status: status, Checks: map[string][]HealthPart{check: parts}}
	for _, p := range parts {
		if p.Status != Pass && said.Output == "" {
			said.Output = p.Component + ": " + p.Output
		}
	}
	h.answer(w, status != Fail, said)
}

// figure is one row of the performance of the last minute.
type figure struct{ name, unit, expr string }

// figures are what performance says: the quantiles of each stage a request goes
// through, and rates. What probes and dashboards ask for is no part of it.
var figures = func() []figure {
	var out []figure
	for _, stage := range []struct{ name, metric string }{
		{"requests", `bizra_http_request_seconds{route=~"POST /.*|GET /v1/.*"}`},
		{"cache reads", "bizra_cache_read_seconds"},
		{"upstream calls", "bizra_upstream_request_seconds"},
	} {
		for _, q := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
			out = append(out, figure{fmt.Sprintf("%s p%g", stage.name, q*100), "seconds",
				fmt.Sprintf("histogram_quantile(%g, sum(rate(%s[1m])))", q, stage.metric)})
		}
	}
	return append(out,
		figure{"requests", "per second", `sum(rate(bizra_http_requests_total{route=~"POST /.*|GET /v1/.*"}[1m]))`},
		figure{"in flight", "requests", "bizra_http_in_flight_requests"},
		figure{shedding, "per second", "rate(bizra_http_shed_total[1m])"})
}()

// shedding is the figure that should be zero.
const shedding = "requests refused"

// measureFor bounds all queries of one look at the performance.
const measureFor = 2 * time.Second

// performance answers how fast the node has been in the last minute. It looks once
// a second, however many ask.
func (h *health) performance(w http.ResponseWriter, r *http.Request) {
	h.measuring.Lock()
	if time.Since(h.measuredAt) > time.Second {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), measureFor)
		h.measured, h.measuredAt = h.measure(ctx), time.Now()
		cancel()
	}
	parts := h.measured
	h.measuring.Unlock()
	h.part(w, checkPerformance, parts, Worst(parts, true))
}

func (h *health) measure(ctx context.Context) []HealthPart {
	parts := make([]HealthPart, 0, len(figures))
	for _, f := range figures {
		p := HealthPart{Component: f.name, Status: Pass, Unit: f.unit, Time: time.Now().UTC()}
		samples, err := h.parts.Observer.Query(ctx, f.expr)
		switch {
		case err != nil:
			p.Status, p.Output = Warn, "not measured now"
		case len(samples) > 0 && !math.IsNaN(samples[0].Value): // otherwise there was nothing to measure
			p.Value = &samples[0].Value
			if f.name == shedding && *p.Value > 0 {
				p.Status, p.Output = Warn, overloaded
			}
		}
		parts = append(parts, p)
	}
	return h.since(parts)
}

// since fills in since when figures are as they are.
func (h *health) since(parts []HealthPart) []HealthPart {
	for i, p := range parts {
		parts[i].Since = p.Time
		for _, before := range h.measured {
			if before.Component == p.Component && before.Status == p.Status {
				parts[i].Since = before.Since
			}
		}
	}
	return parts
}
