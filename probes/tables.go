package probes

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
)

// tablesExpr selects what the tables are made of but for the alerts, all in one query.
const tablesExpr = `{__name__=~"bizra_(node_info|setting|setting_revision|circuit_breaker_.+|upstream_(head_.+|trusted_head_block|final_block|lag_blocks|up|preference|state|in_flight_requests|lies_total|requests_total)|` +
	`db_pool_(limit|in_use|waiting|connections)|ledger_outbox_verdicts|cache_(hits_total|misses_total|class_.+|warm_.+))|process_start_time_seconds"}`

// alertsExpr selects what alerts are active. Rules write it, at their own pace.
const alertsExpr = `{__name__=~"ALERTS|ALERTS_FOR_STATE"}`

// Quantiles of the providers' latency; the node's own look back 30 to 60 seconds.
const (
	upstreamP50 = `histogram_quantile(0.5, sum by (provider) (rate(bizra_upstream_request_seconds[1m])))`
	upstreamP95 = `histogram_quantile(0.95, sum by (provider) (rate(bizra_upstream_request_seconds[1m])))`
	upstreamP99 = `histogram_quantile(0.99, sum by (provider) (rate(bizra_upstream_request_seconds[1m])))`
)

// samples are the values of one moment by the names of their metrics.
type samples map[string]promql.Vector

// where returns the first value of a metric whose labels are those given as pairs,
// and whether there is one.
func (s samples) where(metric string, pairs ...string) (float64, bool) {
next:
	for _, one := range s[metric] {
		for i := 0; i < len(pairs); i += 2 {
			if one.Metric.Get(pairs[i]) != pairs[i+1] {
				continue next
			}
		}
		return one.F, true
	}
	return math.NaN(), false
}

// number is where without the question whether it is there: 0 is for none.
func (s samples) number(metric string, pairs ...string) float64 {
	v, _ := s.where(metric, pairs...)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// count is number for what is never below 0.
func (s samples) count(metric string, pairs ...string) uint64 {
	return uint64(math.Round(min(max(s.number(metric, pairs...), 0), 1<<53)))
}

// setting is the number of a setting in force.
func (s samples) setting(key string) float64 { return s.number("bizra_setting", "key", key) }

// moment is a time in Unix seconds; 0 is none.
func moment(v float64) time.Time {
	if v <= 0 || v > 1e11 {
		return time.Time{}
	}
	return time.UnixMilli(int64(math.Round(v * 1000)))
}

// label returns a label's value, made safe to show.
func label(s promql.Sample, name string) string {
	return printable.Clean(s.Metric.Get(name), maxLabel)
}

// tablesAt derives what is not a panel.
func tablesAt(ctx context.Context, e Evaluator, at time.Time) (control.Look, error) {
	s := samples{}
	for _, expr := range []string{tablesExpr, alertsExpr} {
		v, err := e.Instant(ctx, expr, at)
		if err != nil {
			return control.Look{}, err
		}
		for _, one := range v {
			name := one.Metric.Get(model.MetricNameLabel)
			s[name] = append(s[name], one)
		}
	}
	for name, expr := range map[string]string{"p50": upstreamP50, "p95": upstreamP95, "p99": upstreamP99} {
		v, err := e.Instant(ctx, expr, at)
		if err != nil {
			return control.Look{}, err
		}
		s[name] = v
	}
	return control.Look{
		Node: s.node(), Revision: s.count("bizra_setting_revision"), Breakers: s.breakers(), Upstreams: s.upstreams(),
		Pool: s.pool(), Tiers: s.tiers(), Warming: s.warming(), Alerts: s.alerts(),
	}, nil
}

func (s samples) hasBreaker(class string) bool {
	_, there := s.where("bizra_circuit_breaker_state", "class", class)
	return there
}

func (s samples) node() control.Node {
	n := control.Node{Started: moment(s.number("process_start_time_seconds")), ChainID: uint64(max(s.setting("upstream.chain_id"), 0)),
		Ledger: "sqlite", L2: "off", Head: s.head()}
	if info := s["bizra_node_info"]; len(info) > 0 {
		n.Version, n.Mode = label(info[0], "version"), label(info[0], "mode")
	}
	if s.hasBreaker("database") {
		n.Ledger = "postgresql"
	}
	if s.hasBreaker("redis") {
		n.L2 = "redis"
		if n.Mode == "demo" {
			n.L2 = "embedded"
		}
	}
	return n
}

// head is the trusted head; empty where the node measured none.
func (s samples) head() control.Head {
	current, told := s.where("bizra_upstream_head_current")
	if !told {
		return control.Head{}
	}
	h := control.Head{Number: s.count("bizra_upstream_trusted_head_block"), Final: s.count("bizra_upstream_final_block"), Trust: control.TrustQuorum,
		Votes: int(s.count("bizra_upstream_head_votes")), Voters: int(s.count("bizra_upstream_head_voters"))}
	switch {
	case current != 1:
		h.Trust = control.TrustNone
	case s.number("bizra_upstream_head_single") == 1:
		h.Trust = control.TrustSingle
	}
	return h
}

func (s samples) breakers() []control.Breaker {
	out := []control.Breaker{}
	for _, one := range s["bizra_circuit_breaker_state"] {
		if one.F != 1 {
			continue
		}
		at := []string{"name", one.Metric.Get("name")}
		ratio := func(metric string) control.Number {
			v, _ := s.where(metric, at...)
			return control.Number(v)
		}
		b := control.Breaker{Name: label(one, "name"), Class: label(one, "class"), State: label(one, "state"),
			Since: moment(s.number("bizra_circuit_breaker_changed_timestamp_seconds", at...)), Calls: s.count("bizra_circuit_breaker_window_calls", at...),
			FailureRatio: ratio("bizra_circuit_breaker_failure_ratio"), SlowRatio: ratio("bizra_circuit_breaker_slow_ratio"),
			Threshold: ratio("bizra_circuit_breaker_opens_at_ratio"), Opened: s.count("bizra_circuit_breaker_opened_total", at...)}
		b.Failures, b.Slow = share(b.FailureRatio, b.Calls), share(b.SlowRatio, b.Calls)
		out = append(out, b)
	}
	slices.SortFunc(out, func(a, b control.Breaker) int {
		return cmp.Or(cmp.Compare(classOrder(a.Class), classOrder(b.Class)), strings.Compare(a.Name, b.Name))
	})
	return out
}

// classOrder puts the providers' breakers first, as the node does.
func classOrder(class string) int {
	return slices.Index([]string{"upstream", "database", "redis"}, class)
}

// share is how many of all calls a ratio is.
func share(ratio control.Number, of uint64) uint64 {
	if r := float64(ratio); r > 0 && r <= 1 {
		return uint64(math.Round(r * float64(of)))
	}
	return 0
}

func (s samples) upstreams() []control.Upstream {
	out := []control.Upstream{}
	for _, one := range s["bizra_upstream_up"] {
		name := one.Metric.Get("provider")
		at := []string{"provider", name}
		u := control.Upstream{Name: label(one, "provider"), Breaker: "upstream/" + label(one, "provider"), Healthy: one.F == 1,
			Head: s.count("bizra_upstream_head_block", at...), Lag: s.count("bizra_upstream_lag_blocks", at...),
			InFlight: int64(s.count("bizra_upstream_in_flight_requests", at...)), Lies: s.count("bizra_upstream_lies_total", at...),
			Preference: int(s.count("bizra_upstream_preference", at...)),
			Failures:   s.count("bizra_upstream_requests_total", "provider", name, "outcome", "failure")}
		p50, _ := s.where("p50", at...)
		p95, _ := s.where("p95", at...)
		p99, _ := s.where("p99", at...)
		u.P50, u.P95, u.P99 = control.Number(p50), control.Number(p95), control.Number(p99)
		for _, r := range s["bizra_upstream_requests_total"] {
			if r.Metric.Get("provider") == name {
				u.Calls += uint64(max(r.F, 0))
			}
		}
		// A mark of the provider's own says more than its breaker.
		for _, states := range []promql.Vector{s["bizra_circuit_breaker_state"], s["bizra_upstream_state"]} {
			for _, st := range states {
				if st.F == 1 && (st.Metric.Get("provider") == name || st.Metric.Get("name") == "upstream/"+name) {
					u.State = label(st, "state")
				}
			}
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b control.Upstream) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s samples) pool() control.Pool {
	p := control.Pool{Backend: "sqlite", Limit: int(s.count("bizra_db_pool_limit")), InUse: int(s.count("bizra_db_pool_in_use")),
		Waiting: int(s.count("bizra_db_pool_waiting")), Idle: int(s.count("bizra_db_pool_connections", "state", "idle")),
		Ceiling: int(s.setting("pool.ceiling")), Outbox: int64(s.count("bizra_ledger_outbox_verdicts")), Reachable: true}
	if s.hasBreaker("database") {
		p.Backend, p.Reachable = "postgresql", false
		for _, state := range []breaker.State{breaker.Closed, breaker.ForcedClosed, breaker.MetricsOnly} {
			if s.number("bizra_circuit_breaker_state", "class", "database", "state", string(state)) == 1 {
				p.Reachable = true
			}
		}
	}
	return p
}

func (s samples) tiers() []control.Tier {
	out := []control.Tier{}
	for _, tier := range []cache.Tier{cache.L1, cache.L2} {
		for _, class := range cache.Classes {
			at := []string{"tier", tier.String(), "class", class.String()}
			if _, there := s.where("bizra_cache_hits_total", at...); !there {
				continue
			}
			t := control.Tier{Tier: tier.String(), Class: class.String(), Hits: s.count("bizra_cache_hits_total", at...), Misses: s.count("bizra_cache_misses_total", at...),
				TTL: settings.FormatNumber(settings.KindDuration, s.setting("cache.ttl."+class.String()))}
			if tier == cache.L1 {
				t.Entries = s.count("bizra_cache_class_entries", at[2:]...)
				t.Bytes = s.count("bizra_cache_class_bytes", at[2:]...)
				t.Evictions = s.count("bizra_cache_class_evictions_total", at[2:]...)
			}
			out = append(out, t)
		}
	}
	return out
}

func (s samples) warming() control.Warming {
	w := control.Warming{Done: int64(s.count("bizra_cache_warm_done_loads")), Failed: int64(s.count("bizra_cache_warm_failed_loads")),
		Total: int64(s.count("bizra_cache_warm_planned_loads"))}
	w.Running = w.Done < w.Total
	return w
}

// alerts are those that are pending or firing; what rules there are besides, no
// metric tells.
func (s samples) alerts() []control.Alert {
	out := []control.Alert{}
	for _, one := range s["ALERTS"] {
		a := control.Alert{Name: label(one, model.AlertNameLabel), State: label(one, "alertstate"), Part: label(one, "part"), Severity: label(one, "severity"),
			Labels: map[string]string{}}
		own := labels.NewBuilder(one.Metric).Del(model.MetricNameLabel, "alertstate").Labels()
		for _, since := range s["ALERTS_FOR_STATE"] {
			if labels.Equal(labels.NewBuilder(since.Metric).Del(model.MetricNameLabel).Labels(), own) {
				a.Since = moment(since.F)
			}
		}
		own.Range(func(l labels.Label) {
			if l.Name != model.AlertNameLabel && l.Name != "part" && l.Name != "severity" {
				a.Labels[printable.Clean(l.Name, maxLabel)] = printable.Clean(l.Value, maxLabel)
			}
		})
		out = append(out, a)
	}
	SortAlerts(out)
	return out
}

// SortAlerts puts firing alerts first, then pending ones, those resolved a moment ago
// and inactive rules; within a state by severity and name.
func SortAlerts(list []control.Alert) {
	states := []string{"firing", "pending", "resolved", "inactive"}
	severities := []string{"critical", "warning", "info"}
	slices.SortStableFunc(list, func(a, b control.Alert) int {
		return cmp.Or(cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State)),
			cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity)), cmp.Compare(a.Name, b.Name))
	})
}

// SettingsAt returns the numbers of the settings in force at a moment, by key.
func SettingsAt(ctx context.Context, e Evaluator, at time.Time) (map[string]float64, error) {
	v, err := e.Instant(ctx, "bizra_setting", at)
	if err != nil {
		return nil, err
	}
	out := make(map[string]float64, len(v))
	for _, s := range v {
		out[s.Metric.Get("key")] = s.F
	}
	return out, nil
}
