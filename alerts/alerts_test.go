package alerts_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/alerts"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

type rig struct {
	*alerts.Evaluator
	registry *settings.Registry
	metrics  *prometheus.Registry
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
	r := &rig{registry: reg, metrics: prometheus.NewRegistry()}
	r.metrics.MustRegister(settings.Collector(reg))
	sampler := probes.NewSampler(h, r.metrics, hs, log)
	ctx, cancel := context.WithCancel(context.Background())
	if r.Evaluator, err = alerts.New(ctx, h, as, log, r.add); err != nil {
		cancel()
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() { sampler.Run(ctx) })
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
	if len(list) < 12 {
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
		if strings.HasSuffix(s.Key, ".threshold") && !used[s.Key] {
			t.Errorf("no rule reads %s", s.Key)
		}
	}
}

func TestBrokenRuleFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte("groups:\n- name: x\n  rules:\n  - alert: A\n    expr: sum(\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := build(t, path); err == nil || !strings.Contains(err.Error(), "mine.yaml") {
		t.Fatalf("%v", err)
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
