package control_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// observer is of a node whose clock was set back by ten minutes.
type observer struct{}

func (observer) Latest() time.Time { return time.Now().Add(10 * time.Minute) }

func (observer) Panels() []control.Panel { return []control.Panel{{ID: "p"}} }
func (observer) Now(context.Context) map[string][]control.Value {
	nan := control.Number(math.NaN())
	return map[string][]control.Value{"p": {{Value: &nan}}}
}
func (observer) History(context.Context, time.Duration, time.Duration) (map[string][]control.Series, error) {
	return map[string][]control.Series{"p": {{Points: []control.Point{{T: 1, V: control.Number(math.Inf(1))}}}}}, nil
}
func (observer) LookAt(_ context.Context, at time.Time) (control.Look, error) {
	return control.Look{Time: at}, nil
}
func (observer) HistoryUntil(_ context.Context, end time.Time, _, _ time.Duration) (map[string][]control.Series, error) {
	return map[string][]control.Series{"p": {{Points: []control.Point{{T: end.UnixMilli(), V: 1}}}}}, nil
}
func (observer) Comparison(_ context.Context, condition string, end time.Time, _, _ time.Duration) (control.Comparison, error) {
	return control.Comparison{Values: []control.Series{{Label: condition, Points: []control.Point{{T: end.UnixMilli(), V: 1}}}}}, nil
}
func (observer) AlertsBetween(_ context.Context, from, to time.Time) ([]control.Event, time.Time, error) {
	return []control.Event{{Time: to.Add(-time.Hour), Kind: "alert", Severity: "bad", Subject: "A", Text: "firing"}}, from, nil
}
func (observer) SettingsAt(_ context.Context, at time.Time) (map[string]float64, error) {
	return map[string]float64{"pool.limit": float64(at.UnixMilli())}, nil
}
func (observer) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }

type rig struct {
	*control.Client
	server  *control.Server
	trail   *audit.Log
	dir     string
	guard   atomic.Pointer[string]                                      // the guard that holds
	ask     atomic.Pointer[func(context.Context, string) (bool, error)] // answers for guards, where it is set
	limit   *settings.Value[int]
	started atomic.Pointer[time.Time]
	events  *control.Events
	forced  map[string]string
	socket  string
}

func serve(t *testing.T) *rig {
	t.Helper()
	return serveIn(t, t.TempDir())
}

// serveIn serves with its files in dir, where they may stand already.
func serveIn(t *testing.T, dir string) *rig {
	t.Helper()
	reg := settings.NewRegistry()
	events := control.NewEvents(nil)
	trail, err := audit.Open(filepath.Join(dir, "audit.jsonl"), func(severity, text string) {
		events.Add(control.Event{Kind: "node", Severity: severity, Subject: "audit", Text: text})
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{trail: trail, dir: dir,
		limit:  settings.Int(reg, settings.Spec{Key: "pool.limit", Min: 1, Max: 64, Doc: "Limit.", Risk: settings.RiskHigh}, 8),
		events: events, forced: map[string]string{"a": "closed"},
		socket: filepath.Join(dir, "s", "control.sock"),
	}
	settings.Ratio(reg, settings.Spec{Key: "breaker.upstream.failure_ratio", Doc: "Ratio."}, 0.5)
	settings.String(reg, settings.Spec{Key: "store.dsn", Doc: "Secret.", Secret: true}, "postgres://user:hunter2@host/db")
	l, err := control.Listen(r.socket, control.Groups{})
	if err != nil {
		t.Fatal(err)
	}
	r.server = control.NewServer(l, control.Host{
		Registry: reg, Gatherer: prometheus.NewRegistry(), Events: r.events, Observer: observer{}, Prometheus: observer{},
		Node: func() control.Node {
			n := control.Node{Name: "n"}
			if at := r.started.Load(); at != nil {
				n.Started = *at
			}
			return n
		},
		Breakers: func() []control.Breaker { return nil }, Upstreams: func() []control.Upstream { return nil },
		Pool: func() control.Pool { return control.Pool{} }, Tiers: func() []control.Tier { return nil }, Warming: func() control.Warming { return control.Warming{} },
		HotKeys: func(n int) []control.HotKey { return make([]control.HotKey, n) },
		Outcomes: func(name string) (control.Outcomes, bool) {
			return control.Outcomes{Span: time.Second, Cells: []control.Cell{{Calls: 3, Failures: 1}}}, name == "upstream/a"
		},
		Transitions: func(name string) ([]control.Transition, bool) {
			return []control.Transition{{From: "closed", To: "open", Reason: "r"}}, name == "upstream/a"
		},
		Alerts: func() []control.Alert { return []control.Alert{{Name: "A", Expr: "g > 2"}} }, Silencer: silencer{}, Changed: func() {},
		Audit: trail, Overrides: filepath.Join(dir, "overrides.yaml"),
		Condition: func(ctx context.Context, guard string) (bool, error) {
			if ask := r.ask.Load(); ask != nil {
				return (*ask)(ctx, guard)
			}
			if guard == "(" {
				return false, errors.New("unclosed left parenthesis")
			}
			holds := r.guard.Load()
			return holds != nil && *holds == guard, nil
		},
		Warn: func(_ context.Context, c control.Changed) []string {
			if c.New == "1" {
				return []string{"below the current use"}
			}
			return nil
		},
		Operations: []control.Operation{{
			Action: control.Action{ID: "breaker.force_open", Title: "force open"}, TargetsNow: func() []string { return []string{"a"} },
			State: func(n string) string { return r.forced[n] }, Outcome: "forced-open",
			Do: func(_ context.Context, n, _ string) error { r.forced[n] = "forced-open"; return nil },
		}, {
			Action: control.Action{ID: "cache.flush_l2", Title: "flush L2", Word: "flush"}, State: func(string) string { return "" },
			Do: func(context.Context, string, string) error { r.forced["flushed"] = "yes"; return nil },
		}},
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.server.Serve(); err != nil {
			t.Error(err)
		}
	})
	r.Client = control.NewClient(r.socket)
	t.Cleanup(func() { r.Close(); _ = r.server.Close(); wg.Wait(); _ = trail.Close() })
	return r
}

func change(key, value string) control.ChangeRequest {
	return control.ChangeRequest{Changes: []control.Change{{Key: key, Value: value}}, Reason: "test"}
}
