package remote_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
	"github.com/bizra/bizra-top/probes/promapi"
	"github.com/bizra/bizra-top/probes/remote"
)

// common is what both nodes of a fleet say, and of is what one of them says.
const common = `
bizra_node_info{version="1.2.3",mode="node"} 1
process_start_time_seconds 1700000000
bizra_setting{key="upstream.chain_id"} 10
bizra_setting{key="pool.ceiling"} 64
bizra_setting{key="cache.ttl.block"} 86400
bizra_setting_revision 3
bizra_circuit_breaker_state{name="upstream/p",class="upstream",state="closed"} 1
bizra_circuit_breaker_state{name="upstream/p",class="upstream",state="open"} 0
bizra_circuit_breaker_failure_ratio{name="upstream/p",class="upstream"} 0.25
bizra_circuit_breaker_window_calls{name="upstream/p",class="upstream"} 8
bizra_upstream_up{provider="p"} 1
bizra_upstream_head_block{provider="p"} 100
bizra_upstream_requests_total{provider="p",outcome="success"} 37
bizra_upstream_requests_total{provider="p",outcome="failure"} 3
bizra_cache_hits_total{tier="l1",class="block"} 9
bizra_cache_misses_total{tier="l1",class="block"} 1
bizra_cache_class_entries{class="block"} 5
bizra_cache_warm_planned_loads 4
bizra_cache_warm_done_loads 3
bizra_db_pool_waiting 0
`

var of = map[string]string{
	"a": `
bizra_setting{key="pool.limit"} 8
bizra_db_pool_limit 8
bizra_db_pool_in_use 2
bizra_upstream_lag_blocks{provider="p"} 0
`,
	"b": `
bizra_setting{key="pool.limit"} 6
bizra_db_pool_limit 6
bizra_db_pool_in_use 6
bizra_upstream_lag_blocks{provider="p"} 9
bizra_upstream_state{provider="p",state="lagging"} 1
bizra_circuit_breaker_state{name="database",class="database",state="open"} 1
bizra_circuit_breaker_changed_timestamp_seconds{name="database",class="database"} 1700000100
bizra_circuit_breaker_state{name="redis",class="redis",state="closed"} 1
`,
}

// fleet is a server that has scraped the nodes a and b for a minute, once a second,
// and evaluates rules. pass may answer a request instead, and says whether it has.
func fleet(t *testing.T, pass func(http.ResponseWriter, *http.Request) bool) (door *remote.Door, server *remote.Server, now time.Time) {
	t.Helper()
	h, err := probes.OpenHistory(t.TempDir(), probes.Declare(settings.NewRegistry()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	engine, queryable, appendable, p := h.Storage()
	write := appendable.(interface {
		Appender(context.Context) storage.Appender
	}).Appender(t.Context())
	now = time.Now().Truncate(time.Second)
	for name, own := range of {
		for line := range strings.Lines(common + own) {
			fields := strings.Fields(line)
			if len(fields) != 2 {
				continue
			}
			metric, err := p.ParseMetric(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			metric = labels.NewBuilder(metric).Set("instance", name).Labels()
			v, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			for back := 60; back >= 0; back-- {
				if _, err := write.Append(0, metric, now.Add(-time.Duration(back)*time.Second).UnixMilli(), v); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := write.Commit(); err != nil {
		t.Fatal(err)
	}

	manager := &rules.ManagerOptions{QueryFunc: rules.EngineQueryFunc(engine, queryable), Queryable: queryable, Appendable: appendable, Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: slog.New(slog.DiscardHandler)}
	var list []rules.Rule
	for _, r := range []struct{ name, expr, summary string }{
		{"PoolFull", "bizra_db_pool_in_use >= bizra_db_pool_limit", "\x1b[31mthe pool is full"},
		{"Lagging", "max(bizra_upstream_lag_blocks) > 3", "some node lags"}, // says not which
		{"Waiting", "bizra_db_pool_waiting > 100", ""},
		{"Foreign", "vector(1) > 0", "about no node"},
	} {
		list = append(list, rules.NewAlertingRule(r.name, expression(t, p, r.expr), 0, 0, labels.FromStrings("severity", "warning", "part", "pool"),
			labels.FromStrings("summary", r.summary, "description", "what "+r.name+" is", "what_to_do", "mend it"), labels.EmptyLabels(), "", true, manager.Logger))
	}
	list = append(list, rules.NewRecordingRule("bizra:in_use", expression(t, p, "sum(bizra_db_pool_in_use)"), labels.EmptyLabels()))
	group := rules.NewGroup(rules.GroupOptions{Name: "fleet", File: "fleet.yaml", Interval: time.Second, Rules: list, Opts: manager})
	group.Eval(t.Context(), now)

	answers := promapi.New(promapi.Source{Engine: engine, Queryable: queryable, Parser: p, Gatherer: prometheus.NewRegistry(),
		Rules: func() []*rules.Group { return []*rules.Group{group} }, Latest: func() time.Time { return now }, Parallel: 4})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pass == nil || !pass(w, r) {
			answers.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(web.Close)
	if server, err = remote.Dial(web.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	registry := settings.NewRegistry()
	pool.Declare(registry, 2)
	if door, err = remote.NewDoor(server, "instance", registry.All()); err != nil {
		t.Fatal(err)
	}
	return door, server, now
}

func expression(t *testing.T, p parser.Parser, text string) parser.Expr {
	t.Helper()
	e, err := p.ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// state is the state of an alert by its name.
func state(list []control.Alert, name string) string {
	for _, a := range list {
		if a.Name == name {
			return a.State
		}
	}
	return ""
}

// What a screen shows of one node is that node's alone, also where another one is worse.
func TestALookIsAtOneNodeOfMany(t *testing.T) {
	door, _, now := fleet(t, nil)
	if nodes, err := door.Nodes(t.Context()); err != nil || strings.Join(nodes, " ") != "a b" {
		t.Fatalf("%v %v", nodes, err)
	}
	for name, c := range map[string]struct {
		limit, inUse int
		lag          uint64
		ledger, l2   string
		reachable    bool
		breakers     []string
		upstream     string
		alerts       map[string]string
	}{
		"a": {8, 2, 0, "sqlite", "off", true, []string{"upstream/p"}, "closed",
			map[string]string{"PoolFull": "inactive", "Lagging": "inactive", "Waiting": "inactive", "Foreign": ""}},
		"b": {6, 6, 9, "postgresql", "redis", false, []string{"upstream/p", "database", "redis"}, "lagging",
			map[string]string{"PoolFull": "firing", "Lagging": "firing", "Waiting": "inactive", "Foreign": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			door.Choose(name)
			l, err := door.Look(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if !l.Time.Equal(now) || l.Node.Name != name || l.Node.Version != "1.2.3" || l.Node.ChainID != 10 || l.Node.Ledger != c.ledger || l.Node.L2 != c.l2 ||
				!l.Node.Started.Equal(time.Unix(1_700_000_000, 0)) || l.Revision != 3 {
				t.Errorf("%s %+v", l.Time, l.Node)
			}
			if l.Pool.Limit != c.limit || l.Pool.InUse != c.inUse || l.Pool.Reachable != c.reachable || l.Pool.Ceiling != 64 || l.Pool.Backend != c.ledger {
				t.Errorf("%+v", l.Pool)
			}
			var breakers []string
			for _, b := range l.Breakers {
				breakers = append(breakers, b.Name)
			}
			if fmt.Sprint(breakers) != fmt.Sprint(c.breakers) || l.Breakers[0].Calls != 8 || l.Breakers[0].Failures != 2 || l.Breakers[0].State != "closed" {
				t.Errorf("%+v", l.Breakers)
			}
			if u := l.Upstreams; len(u) != 1 || u[0].Lag != c.lag || u[0].Head != 100 || u[0].Calls != 40 || u[0].Failures != 3 || u[0].State != c.upstream {
				t.Errorf("%+v", u)
			}
			if w := l.Warming; !w.Running || w.Done != 3 || len(l.Tiers) != 1 || l.Tiers[0].Hits != 9 || l.Tiers[0].Entries != 5 || l.Tiers[0].TTL != "1d" {
				t.Errorf("%+v %+v", w, l.Tiers)
			}
			for alert, want := range c.alerts {
				if got := state(l.Alerts, alert); got != want {
					t.Errorf("%s is %q, want %q", alert, got, want)
				}
			}
			if a := l.Alerts[0]; a.State == "firing" && (a.WhatToDo != "mend it" || strings.ContainsRune(a.Summary, '\x1b') || a.Labels["instance"] != "" || a.Value == nil) {
				t.Errorf("%+v", a)
			}
			list, err := door.Settings(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range list {
				if s.Key == "pool.limit" && s.Value != fmt.Sprint(c.limit) {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// The past of a node is read as its present is: panels, both sides of a condition,
// settings, and expressions of the operator's own.
func TestThePastOfOneNode(t *testing.T) {
	door, server, now := fleet(t, nil)
	ctx, then := t.Context(), now.Add(-20*time.Second)
	if _, err := door.LookAt(ctx, then); err == nil {
		t.Error("a look at no node")
	}
	door.Choose("b")
	if _, err := door.Comparison(ctx, "PoolFull", now, 30*time.Second, time.Second); err == nil || !strings.Contains(err.Error(), "has no rule PoolFull") {
		t.Errorf("before the rules are known: %v", err)
	}
	if _, err := door.Look(ctx, 0); err != nil {
		t.Fatal(err)
	}
	l, err := door.LookAt(ctx, then)
	if err != nil || l.Pool.Limit != 6 || l.Node.Name != "b" || !l.Time.Equal(then) {
		t.Errorf("%v %+v %+v", err, l.Node, l.Pool)
	}
	for what, get := range map[string]func() (map[string][]control.Series, error){
		"until now": func() (map[string][]control.Series, error) { return door.History(ctx, 30*time.Second, time.Second) },
		"until then": func() (map[string][]control.Series, error) {
			return door.HistoryUntil(ctx, then, 30*time.Second, time.Second)
		},
	} {
		panels, err := get()
		if err != nil {
			t.Fatal(err)
		}
		limits := panels["pool_limit"]
		if len(limits) != 1 || len(limits[0].Points) != 31 || limits[0].Points[30].V != 6 {
			t.Errorf("%s: %+v", what, limits)
		}
	}
	both, err := door.Comparison(ctx, "PoolFull", now, 30*time.Second, time.Second)
	if err != nil || len(both.Values) != 1 || len(both.Thresholds) != 1 || both.Values[0].Points[0].V != 6 || len(both.Thresholds[0].Points) != 31 {
		t.Errorf("%v %+v", err, both)
	}
	if list, err := door.SettingsAt(ctx, then); err != nil || len(list) == 0 {
		t.Errorf("%v %v", list, err)
	}
	own, err := door.Evaluate(ctx, "bizra_db_pool_in_use", then, now, 10*time.Second)
	if err != nil || len(own) != 1 || own[0].Labels["instance"] != "b" || len(own[0].Points) != 3 {
		t.Errorf("%v %+v", err, own)
	}
	if _, err := door.Evaluate(ctx, "sum(", then, now, time.Second); err == nil {
		t.Error("a broken expression was evaluated")
	}
	if values, err := server.LabelValues(ctx, "instance"); err != nil || strings.Join(values, " ") != "a b" {
		t.Errorf("%v %v", values, err)
	}
	if actions, err := door.Actions(ctx); err != nil || len(actions) != 0 {
		t.Errorf("%v %v", actions, err)
	}
}

// A server that only answers queries has no rules to tell: what its samples say of alerts
// is shown.
func TestAlertsOfAServerWithoutRules(t *testing.T) {
	door, _, _ := fleet(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/rules" {
			return false
		}
		http.NotFound(w, r)
		return true
	})
	door.Choose("b")
	l, err := door.Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Alerts) != 1 || l.Alerts[0].Name != "PoolFull" || l.Alerts[0].State != "firing" || l.Alerts[0].Severity != "warning" || l.Alerts[0].Since.IsZero() {
		t.Errorf("%+v", l.Alerts)
	}
}
