package alerts_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/rules"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/alerts"
	"github.com/bizra/bizra-top/alerts/silence"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/latency"
	"github.com/bizra/bizra-top/node/printable/printabletest"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*alerts.Evaluator
	registry *settings.Registry
	silences *silence.Store
	metrics  *prometheus.Registry
	history  *probes.History
	sampler  *probes.Sampler
	mu       sync.Mutex
	events   []control.Event
}

func (r *rig) add(e control.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *rig) told(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if strings.HasPrefix(e.Text, text) {
			return true
		}
	}
	return false
}

func build(t *testing.T, files ...string) (*rig, error) {
	t.Helper()
	reg := settings.NewRegistry()
	hs, as := probes.Declare(reg), alerts.Declare(reg)
	if err := reg.Load(settings.SourceFile, []settings.Change{
		{Key: "history.sample_every", Value: "200ms"}, {Key: "alerts.evaluate_every", Value: "500ms"},
		{Key: "alerts.rule_files", Value: strings.Join(files, ",")},
	}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	h, err := probes.OpenHistory(t.TempDir(), hs, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	r := &rig{registry: reg, metrics: prometheus.NewRegistry(), history: h}
	r.metrics.MustRegister(settings.Collector(reg))
	r.sampler = probes.NewSampler(h, r.metrics, hs, log)
	ctx, cancel := context.WithCancel(context.Background())
	if r.silences, err = silence.Open(filepath.Join(t.TempDir(), "silences.json"), log); err != nil {
		t.Fatal(err)
	}
	if r.Evaluator, err = alerts.New(ctx, alerts.Options{History: h, Metrics: r.metrics, Settings: as, Silences: r.silences,
		Send: func(context.Context, string, ...*rules.Alert) {}, Log: log, Notify: r.add}); err != nil {
		cancel()
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.sampler.Run(ctx, func(string, string) {}) })
	wg.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r, nil
}

func (r *rig) state(name string) (control.Alert, bool) {
	for _, a := range r.List() {
		if a.Name == name {
			return a, true
		}
	}
	return control.Alert{}, false
}

func (r *rig) eventually(t *testing.T, name, state string) control.Alert {
	t.Helper()
	for range 400 {
		if a, ok := r.state(name); ok && a.State == state {
			return a
		}
		time.Sleep(20 * time.Millisecond)
	}
	a, _ := r.state(name)
	t.Fatalf("%s never was %s: %+v", name, state, a)
	return a
}

// load calls do fifty times a second until the test ends.
func load(t *testing.T, do func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				do()
			}
		}
	})
	t.Cleanup(func() { close(stop); wg.Wait() })
}

// An alert goes through pending and firing, and a moved threshold resolves it
// at the next evaluation.
func TestThresholdIsASetting(t *testing.T) {
	r, err := build(t)
	if err != nil {
		t.Fatal(err)
	}
	waiting := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_db_pool_waiting"})
	waiting.Set(9)
	r.metrics.MustRegister(waiting)
	r.eventually(t, "PoolWaiting", "pending")
	a := r.eventually(t, "PoolWaiting", "firing")
	if a.Severity != "critical" || a.Summary != "9 callers wait for a database connection" || len(a.Thresholds) != 1 ||
		a.Thresholds[0] != "alerts.pool_waiting.threshold" || a.WhatToDo == "" || a.Value == nil || *a.Value != 9 || len(a.Labels) != 0 {
		t.Fatalf("%+v", a)
	}
	if list := r.List(); list[0].Name != "PoolWaiting" {
		t.Fatalf("what fires does not come first: %s", list[0].Name)
	}
	if _, err := r.registry.Apply([]settings.Change{{Key: a.Thresholds[0], Value: "20"}}); err != nil {
		t.Fatal(err)
	}
	a = r.eventually(t, "PoolWaiting", "resolved")
	if time.Since(a.Since) > 5*time.Second || a.Summary == "" {
		t.Fatalf("%+v", a)
	}
	for _, text := range []string{"pending: 9 callers", "firing: 9 callers", "resolved"} {
		if !r.told(text) {
			t.Errorf("no event says %q", text)
		}
	}
}

func TestEveryThresholdOfTheShippedRulesIsASetting(t *testing.T) {
	r, err := build(t)
	if err != nil {
		t.Fatal(err)
	}
	list := r.List()
	if len(list) < 30 {
		t.Fatalf("%d rules", len(list))
	}
	used := map[string]bool{}
	for _, a := range list {
		if a.Severity == "" || a.Part == "" || a.WhatToDo == "" {
			t.Errorf("%s lacks severity, part or what to do", a.Name)
		}
		for _, key := range a.Thresholds {
			used[key] = true
			if _, err := r.registry.Get(key); err != nil {
				t.Errorf("%s: %v", a.Name, err)
			}
		}
	}
	for _, s := range r.registry.All() {
		if (strings.HasSuffix(s.Key, ".threshold") || s.Key == "alerts.availability.objective") && !used[s.Key] {
			t.Errorf("no rule reads %s", s.Key)
		}
	}
}

// The node keeps native histograms only; the rules also know the buckets that a
// server scrapes, which is what their promtool tests feed them.
func TestLatencyRulesReadNativeHistograms(t *testing.T) {
	r, err := build(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.registry.Apply([]settings.Change{{Key: "alerts.ledger_commit.threshold", Value: "1ms"}}); err != nil {
		t.Fatal(err)
	}
	commit := latency.NewHistogram("bizra_ledger_commit_seconds", "x")
	r.metrics.MustRegister(commit)
	load(t, func() { commit.Observe(500 * time.Millisecond) })
	if a := r.eventually(t, "LedgerCommitSlow", "pending"); a.Value == nil || *a.Value < 0.4 || *a.Value > 0.6 {
		t.Errorf("%+v", a)
	}
}

// The objectives are recorded and compared in the node as in promtool's tests, there
// with buckets, here with native histograms; only their pace is quickened.
func TestObjectivesBurnInTheNode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "quick.yaml")
	quick := strings.ReplaceAll(string(alerts.Shipped()["objectives.yaml"]), "interval: 30s", "interval: 500ms")
	if err := os.WriteFile(path, []byte(quick), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := build(t, path)
	if err != nil {
		t.Fatal(err)
	}
	took := latency.NewVec("bizra_http_request_seconds", "x", "route")
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_http_requests_total"}, []string{"route", "code"})
	r.metrics.MustRegister(took, requests)
	failing := requests.WithLabelValues("POST /", "503")
	load(t, func() {
		took.With("POST /").Observe(3 * time.Second)
		requests.WithLabelValues("POST /", "200").Inc()
		failing.Inc()
	})
	if a := r.eventually(t, "ApiLatencyBurnsFast", "firing"); *a.Value < 2.8 || *a.Value > 3.2 {
		t.Errorf("quantile %v of requests that take 3 s", *a.Value)
	}
	if a := r.eventually(t, "ApiAvailabilityBurnsSlow", "firing"); *a.Value < 0.45 || *a.Value > 0.55 {
		t.Errorf("%v of the requests fail, not half", *a.Value)
	}
}

const mine = `groups:
- name: x
  rules:
  - alert: Mine
    expr: vector(1)
    annotations: {summary: one}
`

func TestBrokenRuleFileIsNamedWithItsLine(t *testing.T) {
	for name, c := range map[string]struct{ from, to, line string }{
		"expression":      {"vector(1)", "sum(", "mine.yaml: 5:11: "},
		"template":        {"one", "'{{ nothing }}'", "mine.yaml: 4:12: "},
		"unknown field":   {"expr", "exprs", "mine.yaml: yaml: unmarshal errors:\n  line 5: "},
		"no YAML":         {"rules:", "rules", "mine.yaml: yaml: line 3: "},
		"invalid label":   {"annotations: {summary: one}", "labels: {__name__: a}", "mine.yaml: 4:12: "},
		"recorded labels": {"alert: Mine", "record: 'a{}'", "mine.yaml: 4:13: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mine.yaml")
			if err := os.WriteFile(path, []byte(strings.Replace(mine, c.from, c.to, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := build(t, path); err == nil || !strings.Contains(err.Error(), c.line) {
				t.Fatalf("%v", err)
			}
		})
	}
}

func TestRuleFilesThatAreNotThere(t *testing.T) {
	if _, err := build(t, filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("%v", err)
	}
	if _, err := build(t, t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
	if _, err := build(t, filepath.Join(t.TempDir(), "*.yaml")); err != nil {
		t.Errorf("a pattern that matches nothing yet: %v", err)
	}
}

// Files that change are taken up, broken ones are refused with their line, once,
// and the rules before them go on.
func TestRuleFilesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := build(t, filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.state("Mine"); ok {
		t.Fatal("there is a rule that nobody wrote")
	}
	write("a.yaml", mine)
	fired := r.eventually(t, "Mine", "firing")
	write("b.yaml", strings.Replace(strings.Replace(mine, "Mine", "Second", 1), "vector(1)", "sum(", 1))
	for i := 0; !r.told("rule files refused, the rules before go on: " + filepath.Join(dir, "b.yaml") + ": 5:11: "); i++ {
		if i == 400 {
			t.Fatalf("nobody was told: %+v", r.events)
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.eventually(t, "RuleFilesRefused", "pending")
	if a, _ := r.state("Mine"); a.State != "firing" || !a.Since.Equal(fired.Since) {
		t.Errorf("the old rule did not go on: %+v, fired %s", a, fired.Since)
	}
	write("b.yaml", strings.Replace(mine, "Mine", "Second", 1))
	r.eventually(t, "Second", "firing")
	if a, _ := r.state("Mine"); !a.Since.Equal(fired.Since) {
		t.Errorf("a rule that did not change lost its state")
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		if a, ok := r.state("Mine"); !ok || a.State == "resolved" {
			break
		}
		if i == 400 {
			t.Fatal("a rule outlives its file")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Whatever the files of the operator's rules say, it is clean where the screen and the
// door get it.
func TestOwnRulesAreCleaned(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: x\n  rules:\n")
	for i, payload := range printabletest.Payloads {
		text := strconv.QuoteToASCII(payload) // which YAML reads as well
		fmt.Fprintf(&rules, "  - alert: Mine%d\n    expr: bizra_setting{key=\"alerts.pool_waiting.threshold\"} == 5\n"+
			"    labels: {severity: %s, part: %s, team: %s}\n    annotations: {summary: %s, description: %s, what_to_do: %s, other: %s}\n", i, text, text, text, text, text, text, text)
	}
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := build(t, path)
	if err != nil {
		t.Fatal(err)
	}
	for i, payload := range printabletest.Payloads {
		a := r.eventually(t, fmt.Sprint("Mine", i), "firing")
		all := a.Name + a.Part + a.Severity + a.Summary + a.WhatToDo + a.Expr + a.Fingerprint
		for name, value := range a.Labels {
			all += name + value
		}
		if bad := printabletest.Unsafe(all); bad != 0 {
			t.Errorf("%q gives %q in %q", payload, bad, all)
		}
	}
}

func TestOwnRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	rule := "groups:\n- name: x\n  rules:\n  - alert: Mine\n    expr: bizra_setting{key=\"alerts.pool_waiting.threshold\"} == 5\n    annotations: {summary: \"\\e[31mred\"}\n"
	if err := os.WriteFile(path, []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := build(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if a := r.eventually(t, "Mine", "firing"); strings.Contains(a.Summary, "\x1b") {
		t.Fatalf("%q", a.Summary)
	}
}
