package tui

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/probes"
)

// fakeDoor is a node with three providers, one of them failing: its breaker is
// open, an alert fires and another one is pending.
type fakeDoor struct {
	mu       sync.Mutex
	now      func() time.Time
	err      error
	settings []control.Setting
	events   []control.Event
	recorded []control.Event // older ones, on disk
	changes  []control.ChangeRequest
	acts     []control.ActionRequest
	undos    int
	asked    []string                          // keep, revert, redo, save
	silenced map[string]control.SilenceRequest // by fingerprint, or name
	acked    map[string]string                 // comments by fingerprint
	states   map[string]string
	spoil    func(*control.Look)
	revision uint64
	trials   []control.Trial
	role     string
	conflict error // what the next change that is applied meets
	unsaved  int
	evil     string      // in the labels of what is evaluated
	old      bool        // it does not know what was added later
	visited  []time.Time // moments that were asked for
	load     *control.DrillLoad
	faults   map[string]bool
	real     bool // no demo
}

// tooOld is what every version answers to what it does not know.
var tooOld = &control.Problem{Status: 404, Text: "there is nothing here; see GET /v1/node"}

var fakeStart = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newFakeDoor() *fakeDoor {
	d := &fakeDoor{now: func() time.Time { return fakeStart }, states: map[string]string{}, revision: 7,
		silenced: map[string]control.SilenceRequest{}, acked: map[string]string{}, faults: map[string]bool{}}
	num := func(key, kind, unit, value, def string, n, lo, hi, step float64, doc, risk string) {
		d.settings = append(d.settings, control.Setting{Key: key, Part: key[:slices.Index([]byte(key), '.')], Kind: kind, Unit: unit, Value: value, Default: def,
			Started: def, Number: n, Numeric: true, Min: lo, Max: hi, Step: step, Doc: doc, Risk: risk, Source: "default"})
	}
	num("alerts.error_ratio.threshold", "ratio", "", "0.05", "0.05", 0.05, 0, 1, 0.01, "Share of failed requests above which the alert fires.", "low")
	num("alerts.pool_saturation.threshold", "ratio", "", "0.9", "0.9", 0.9, 0, 1, 0.05, "Pool saturation above which the alert fires.", "low")
	num("breaker.database.failure_ratio", "ratio", "", "0.5", "0.5", 0.5, 0.01, 1, 0.05, "Failure ratio that opens the breaker of the database.", "high")
	num("breaker.redis.failure_ratio", "ratio", "", "0.5", "0.5", 0.5, 0.01, 1, 0.05, "Failure ratio that opens the breaker of Redis.", "medium")
	num("breaker.upstream.failure_ratio", "ratio", "", "0.5", "0.5", 0.5, 0.01, 1, 0.05, "Failure ratio that opens the breaker of a provider.", "high")
	num("cache.l1.max_bytes", "bytes", "", "64MiB", "64MiB", 64<<20, 1<<20, 16<<30, 0, "Bytes that the L1 cache may hold.", "medium")
	num("cache.ttl.block", "duration", "", "1d", "1d", 86400, 1, 30*86400, 0, "How long a block stays in the cache.", "medium")
	num("pool.acquire_timeout", "duration", "", "1m", "1m", 60, 0.1, 600, 1, "How long a caller waits for a connection.", "high")
	num("pool.limit", "int", "connections", "14", "8", 14, 1, 64, 1, "Connections that may be in use at once.", "high")
	num("upstream.hedge_after", "duration", "", "250ms", "250ms", 0.25, 0.01, 10, 0.05, "How long the first call may take before a second one is started.", "medium")
	d.settings = append(d.settings,
		control.Setting{Key: "cache.l2.enabled", Part: "cache", Kind: "bool", Value: "true", Default: "true", Started: "true", Doc: "Whether Redis is asked.", Risk: "medium", Source: "default", Numeric: true, Number: 1},
		control.Setting{Key: "log.level", Part: "log", Kind: "enum", Value: "info", Default: "info", Started: "info", Choices: []string{"debug", "info", "warn", "error"}, Doc: "How much is logged.", Risk: "low", Source: "file"},
		control.Setting{Key: "api.listen", Part: "api", Kind: "string", Value: "127.0.0.1:3000", Default: "127.0.0.1:3000", Started: "127.0.0.1:3000", Doc: "Address of the public API.", Risk: "high", Restart: true, Source: "flag"})
	slices.SortFunc(d.settings, func(a, b control.Setting) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	for i, e := range []control.Event{
		{Kind: "node", Severity: "info", Subject: "node", Text: "started on 127.0.0.1:3000"},
		{Kind: "change", Severity: "info", Subject: "pool.limit", Text: "8 → 14", Actor: "uid 1000"},
		{Kind: "upstream", Severity: "warn", Subject: "beta", Text: "timed out after 2s"},
		{Kind: "breaker", Severity: "bad", Subject: "upstream/beta", Text: "closed → open: 62.5% of 48 calls failed"},
		{Kind: "alert", Severity: "bad", Subject: "BreakerOpen", Text: "firing: upstream/beta refuses calls"},
		{Kind: "breaker", Severity: "good", Subject: "redis", Text: "half-open → closed: 3 probes succeeded"},
	} {
		e.Seq, e.Time = uint64(i+1), fakeStart.Add(time.Duration(i-6)*17*time.Second)
		d.events = append(d.events, e)
	}
	return d
}

// wave is a number that moves with time, but is the same for the same time.
func wave(t time.Time, period, mean, swing float64) float64 {
	x := float64(t.UnixMilli()) / 1000
	return mean + swing*(0.7*math.Sin(2*math.Pi*x/period)+0.3*math.Sin(2*math.Pi*x/(period/3.7)))
}

func fakeValues(t time.Time, limit int) map[string][]control.Series {
	bad := wave(t, 97, 0, 1) > 0.3
	spike := 0.0
	if bad {
		spike = 0.02
	}
	out := map[string][]control.Series{}
	set := func(id, label string, v float64) {
		out[id] = append(out[id], control.Series{Label: label, Points: []control.Point{{T: t.UnixMilli(), V: control.Number(v)}}})
	}
	set("request_rate", "", wave(t, 60, 1240, 180))
	set("error_ratio", "", max(0, wave(t, 97, -0.002, 0.02)))
	set("latency_p50", "", wave(t, 45, 0.0021, 0.0004))
	set("latency_p99", "", wave(t, 71, 0.016, 0.005)+spike)
	set("in_flight", "", math.Round(wave(t, 30, 9, 4)))
	inUse := math.Round(wave(t, 40, 9, 3))
	set("pool_in_use", "", inUse)
	set("pool_limit", "", float64(limit))
	set("pool_saturation", "", inUse/float64(limit))
	set("pool_waiting", "", max(0, math.Round(wave(t, 53, -1, 3))))
	set("pool_acquire_p99", "", wave(t, 50, 0.0012, 0.0007))
	set("pool_acquire_p50", "", wave(t, 50, 0.0002, 0.0001))
	set("pool_query_p50", "", wave(t, 80, 0.0011, 0.0003))
	set("pool_timeouts", "", 0)
	set("ledger_commit_p99", "", wave(t, 70, 0.0052, 0.001))
	set("ledger_queue", "", math.Round(wave(t, 20, 6, 5)))
	set("cache_l2_errors", "call", 0)
	set("cache_coalesced", "", wave(t, 45, 21, 6))
	set("cache_stale", "", 0)
	set("upstream_hedge_wins", "", max(0, wave(t, 55, 0.2, 0.4)))
	set("upstream_failures", "timeout", max(0, wave(t, 97, 0.6, 0.9)))
	set("upstream_failures", "connection", max(0, wave(t, 97, -0.3, 0.9)))
	set("pool_query_p99", "", wave(t, 80, 0.0046, 0.0015))
	set("cache_l1_hit_ratio", "", wave(t, 200, 0.93, 0.03))
	set("cache_l2_hit_ratio", "", wave(t, 160, 0.61, 0.1))
	set("cache_l1_bytes", "", wave(t, 300, 41<<20, 3<<20))
	set("cache_l1_fill", "", wave(t, 300, 0.64, 0.05))
	set("cache_evictions", "expired", wave(t, 30, 12, 4))
	set("cache_evictions", "size", max(0, wave(t, 30, 0.5, 2)))
	set("cache_l2_p99", "", wave(t, 66, 0.0009, 0.0002))
	set("cache_l2_compression", "", wave(t, 90, 3.8, 0.2))
	single := wave(t, 70, 0.08, 0.05)
	set("answers_trust", "proof", 0.7-single)
	set("answers_trust", "quorum", 0.3)
	set("answers_trust", "single", single)
	set("cache_hit_rate", "l1", wave(t, 60, 1130, 150))
	set("cache_hit_rate", "l2", wave(t, 60, 62, 20))
	set("breakers_open", "", 1)
	for _, n := range []string{"upstream/alpha", "upstream/beta", "upstream/gamma", "database", "redis"} {
		v := 0.004
		if n == "upstream/beta" {
			v = wave(t, 97, 0.5, 0.3)
		}
		set("breaker_failure_ratio", n, max(0, v))
		set("breaker_rejected", n, map[bool]float64{true: 14.2}[n == "upstream/beta"])
	}
	for i, n := range []string{"alpha", "beta", "gamma"} {
		f := float64(i + 1)
		set("upstream_rate", n, wave(t, 60, 40/f, 6))
		set("upstream_failure_ratio", n, map[bool]float64{true: 0.625}[n == "beta"])
		set("upstream_p50", n, wave(t, 45, 0.011*f, 0.002))
		set("upstream_p99", n, wave(t, 71, 0.06*f*f, 0.02))
		set("upstream_lag", n, 0)
		set("lies", n, map[bool]float64{true: 2}[n == "gamma"])
	}
	set("upstream_retries", "", max(0, wave(t, 40, 1, 2)))
	set("upstream_hedges", "", max(0, wave(t, 55, 0.4, 0.6)))
	set("verdict_rate", "valid", wave(t, 50, 52, 9))
	set("verdict_rate", "invalid", max(0, wave(t, 50, 0.3, 1)))
	set("validation_p99", "", wave(t, 61, 0.041, 0.01))
	set("ledger_rate", "", wave(t, 50, 52, 9))
	set("ledger_outbox", "", 0)
	set("alerts_firing", "", 1)
	set("cpu", "", wave(t, 33, 0.18, 0.05))
	set("memory", "", wave(t, 400, 96<<20, 6<<20))
	set("goroutines", "", math.Round(wave(t, 30, 84, 8)))
	return out
}

func (d *fakeDoor) limit() int {
	for _, s := range d.settings {
		if s.Key == "pool.limit" {
			return int(s.Number)
		}
	}
	return 0
}

func (d *fakeDoor) Look(_ context.Context, since uint64) (control.Look, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return control.Look{}, d.err
	}
	now := d.now()
	l := control.Look{Time: now, Revision: d.revision, Panels: map[string][]control.Value{}, LastEvent: uint64(len(d.events)), Undoable: "pool.limit 14 → 8",
		Trials: slices.Clone(d.trials), Role: cmp.Or(d.role, "admin"), Redoable: "pool.limit 8 → 14", Unsaved: d.unsaved}
	l.Node = control.Node{Name: "node-a", Version: "0.1.0", PID: 4242, Mode: "demo", Listen: "127.0.0.1:3000", ChainID: 1337, Started: fakeStart.Add(-192 * time.Second), Ledger: "sqlite", L2: "embedded",
		Head: control.Head{Number: 21_345_678, Trust: control.TrustQuorum, Votes: 2, Voters: 2, Final: 21_345_614}}
	for id, list := range fakeValues(now, d.limit()) {
		for _, s := range list {
			v := s.Points[0].V
			l.Panels[id] = append(l.Panels[id], control.Value{Label: s.Label, Value: &v})
		}
	}
	val := func(id, label string) float64 {
		for _, v := range l.Panels[id] {
			if v.Label == label {
				return float64(*v.Value)
			}
		}
		return math.NaN()
	}
	l.Pool = control.Pool{Backend: "sqlite", Limit: d.limit(), InUse: int(val("pool_in_use", "")), Waiting: int(val("pool_waiting", "")), Idle: 3, Ceiling: 64, Reachable: true}
	state := func(n, def string) string {
		if s := d.states[n]; s != "" {
			return s
		}
		return def
	}
	breaker := func(name, class, st string, ratio float64, calls uint64) control.Breaker {
		return control.Breaker{Name: name, Class: class, State: state(name, st), Reason: "since the start", Since: fakeStart.Add(-3 * time.Minute), Calls: calls,
			Failures: uint64(ratio * float64(calls)), FailureRatio: control.Number(ratio), SlowRatio: 0, Threshold: 0.5}
	}
	beta := breaker("upstream/beta", "upstream", "open", 0.625, 48)
	beta.Reason, beta.LastError, beta.Opened = "62.5% of 48 calls failed", "Post \"http://127.0.0.1:8546\": context deadline exceeded after 2s", 3
	beta.Since, beta.NextProbe = now.Add(-41*time.Second), now.Add(3*time.Second)
	l.Breakers = []control.Breaker{
		breaker("upstream/alpha", "upstream", "closed", 0.004, 1932), beta,
		breaker("upstream/gamma", "upstream", "half-open", 0.21, 611),
		breaker("database", "database", "closed", 0, 8120), breaker("redis", "redis", "closed", 0.0001, 20440),
	}
	for i, n := range []string{"alpha", "beta", "gamma"} {
		f := control.Number(i + 1)
		l.Upstreams = append(l.Upstreams, control.Upstream{Name: n, Host: fmt.Sprintf("%s.example.org:854%d", n, i+5), Breaker: "upstream/" + n, State: l.Breakers[i].State,
			Healthy: i != 1, Head: 21_345_678 - uint64(i*i*2), Lag: uint64(i * i * 2), P50: 0.011 * f, P95: 0.04 * f, P99: 0.06 * f, InFlight: int64(3 - i), Calls: uint64(4200 / (i + 1)),
			Failures: uint64(i * 31), Lies: uint64(i / 2 * 2), Preference: i + 1})
	}
	l.Upstreams[1].LastError, l.Upstreams[1].Lacks = beta.LastError, []string{"no debug_*", "pruned below 128"}
	tier := func(t, c string, h, miss, n, b uint64, ttl string) {
		l.Tiers = append(l.Tiers, control.Tier{Tier: t, Class: c, Hits: h, Misses: miss, Entries: n, Bytes: b, Evictions: miss / 4, TTL: ttl})
	}
	tier("l1", "transaction", 120400, 8020, 5100, 12<<20, "5m")
	tier("l1", "block", 98230, 2100, 1800, 24<<20, "1d")
	tier("l1", "address", 40120, 9100, 2300, 3<<20, "15m")
	tier("l1", "rpc", 220400, 12040, 6400, 2<<20, "5s")
	tier("l1", "not_found", 310, 900, 120, 9<<10, "2s")
	tier("l2", "transaction", 4100, 3920, 0, 0, "5m")
	tier("l2", "block", 1500, 600, 0, 0, "1d")
	one, sat := control.Number(1), control.Number(0.93)
	l.Alerts = []control.Alert{
		{Name: "BreakerOpen", Part: "breaker", State: "firing", Severity: "critical", Summary: "The breaker upstream/beta refuses calls.", WhatToDo: "Look at the provider's last error; take it out with d in the upstreams view if it does not come back.",
			Labels: map[string]string{"name": "upstream/beta"}, Expr: `bizra_circuit_breaker_state{state="open"} == 1`, For: "5s", Value: &one, Since: now.Add(-36 * time.Second)},
		{Name: "PoolSaturated", Part: "pool", State: "pending", Severity: "warning", Summary: "The database pool is nearly used up.", WhatToDo: "Raise pool.limit, or find the slow query.",
			Expr: `bizra_db_pool_in_use / bizra_db_pool_limit > on() bizra_setting{key="alerts.pool_saturation.threshold"}`, For: "30s", Value: &sat, Since: now.Add(-9 * time.Second), Thresholds: []string{"alerts.pool_saturation.threshold"}},
		{Name: "ErrorRatioHigh", Part: "api", State: "inactive", Severity: "critical", Summary: "Many requests fail.", WhatToDo: "Look at providers and pool.",
			Expr: `sum(rate(bizra_http_requests_total{code=~"5.."}[1m])) / sum(rate(bizra_http_requests_total[1m])) > on() bizra_setting{key="alerts.error_ratio.threshold"}`, For: "30s", Thresholds: []string{"alerts.error_ratio.threshold", "alerts.pool_saturation.threshold"}},
		{Name: "LedgerOutboxGrowing", Part: "ledger", State: "inactive", Severity: "warning", Summary: "Verdicts wait for PostgreSQL.", WhatToDo: "See whether PostgreSQL answers.", Expr: "bizra_ledger_outbox_verdicts > 100", For: "1m"},
	}
	for _, e := range d.events {
		if e.Seq > since {
			l.Events = append(l.Events, e)
		}
	}
	for i := range l.Alerts {
		a := &l.Alerts[i]
		if a.State == "firing" || a.State == "pending" {
			a.Fingerprint = "print of " + a.Name
		}
		if r, ok := d.silenced[a.Fingerprint]; ok {
			a.Silenced = &control.SilencedBy{ID: "s-" + a.Fingerprint, Until: now.Add(time.Hour), Author: "ops", Comment: r.Comment}
		}
		if comment, ok := d.acked[a.Fingerprint]; ok {
			a.Acknowledged = &control.Acknowledged{Author: "ops", Since: now.Add(-time.Minute), Comment: comment}
		}
	}
	if d.spoil != nil {
		d.spoil(&l)
	}
	return l, nil
}

func (d *fakeDoor) Panels(context.Context) ([]control.Panel, error) { return probes.Panels(), d.err }

func (d *fakeDoor) History(_ context.Context, span, step time.Duration) (map[string][]control.Series, error) {
	if d.err != nil {
		return nil, d.err
	}
	out := map[string][]control.Series{}
	end := d.now()
	for t := end.Add(-span); !t.After(end); t = t.Add(step) {
		for id, list := range fakeValues(t, 14) {
			if len(out[id]) == 0 {
				out[id] = list
				continue
			}
			for i := range list {
				out[id][i].Points = append(out[id][i].Points, list[i].Points...)
			}
		}
	}
	return out, nil
}
