//go:build integration

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/probes"
)

// operated is a node whose second provider has begun to fail, as an operator comes to it.
type operated struct {
	*process
	client *control.Client
	state  string // the folder
}

// operatedNode starts it. A breaker that has opened stays open for the test, and the
// node itself asks providers often enough to open it.
func operatedNode(t *testing.T) *operated {
	t.Helper()
	chain, err := devchain.Start(context.Background(), devchain.Config{Seed: 7, Prefill: 40, Traffic: true, MinTx: 2, MaxTx: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	var providers []string
	for i, u := range chain.URLs() {
		providers = append(providers, demoProviders[i]+"="+u)
	}
	conf := filepath.Join(t.TempDir(), "bizra-top.yaml")
	yaml := fmt.Sprintf("upstream:\n  providers: [%s]\n  hedge_floor: 40ms\npool.limit: 4\nbreaker.upstream: {minimum_calls: 3, open_for: 2m, open_for_max: 4m}\n",
		strings.Join(providers, ", "))
	if err := os.WriteFile(conf, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	tenMinutesBefore(t, state)
	p := start(t, asReleased(t), "--headless", "--config", conf, "--state-dir", state, "--listen", "127.0.0.1:0", "--upstream.hedge_floor", "30ms")
	n := &operated{process: p, client: control.NewClient(p.socket), state: state}
	t.Cleanup(n.client.Close)
	n.until(t, "that bravo is well", func(l control.Look) bool { return bravo(l).Healthy && bravo(l).Head > 0 })
	chain.Providers[1].SetFault(devchain.Fault{ErrorRate: 1, Status: 503})
	n.until(t, "that bravo's breaker is open", func(l control.Look) bool { return bravo(l).State == "open" })
	return n
}

// tenMinutesBefore writes the history that a node before this one left in the state
// folder, from twenty to three minutes ago: then pool.limit was 3, all three places were
// in use and seven callers waited, and the breaker of a provider that is gone was open.
func tenMinutesBefore(t *testing.T, state string) {
	t.Helper()
	h, err := probes.OpenHistory(filepath.Join(state, "history"), declareAll().history, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, _, to, _ := h.Storage()
	now := time.Now()
	app := to.Appender(t.Context())
	for at := now.Add(-20 * time.Minute); at.Before(now.Add(-3 * time.Minute)); at = at.Add(time.Second) {
		for _, one := range []struct {
			value  float64
			labels []string
		}{
			{1, []string{"__name__", "bizra_node_info", "version", "0.0.9", "mode", "node"}},
			{float64(now.Add(-30 * time.Minute).Unix()), []string{"__name__", "process_start_time_seconds"}},
			{3, []string{"__name__", "bizra_setting", "key", "pool.limit"}},
			{3, []string{"__name__", "bizra_db_pool_limit"}}, {3, []string{"__name__", "bizra_db_pool_in_use"}}, {7, []string{"__name__", "bizra_db_pool_waiting"}},
			{1, []string{"__name__", "bizra_circuit_breaker_state", "name", "upstream/zulu", "class", "upstream", "state", "open"}},
			{0.75, []string{"__name__", "bizra_circuit_breaker_failure_ratio", "name", "upstream/zulu", "class", "upstream"}},
		} {
			if _, err := app.Append(0, labels.FromStrings(one.labels...), at.UnixMilli(), one.value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(app.Commit(), h.Close()); err != nil {
		t.Fatal(err)
	}
}

// until waits until the node is as it should be.
func (n *operated) until(t *testing.T, what string, so func(control.Look) bool) control.Look {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		l, err := n.client.Look(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if so(l) {
			return l
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node never said %s: %+v, %+v, %+v", what, l.Upstreams, l.Trials, l.Events)
		}
	}
}

// setting expects a value of the node.
func (n *operated) setting(t *testing.T, key, want string) {
	t.Helper()
	s, err := n.client.Setting(t.Context(), key)
	if err != nil || s.Value != want {
		t.Errorf("%s is %q, %v; want %q", key, s.Value, err, want)
	}
}

// change is what another operator does: it is kept at once.
func (n *operated) change(t *testing.T, key, value string) {
	t.Helper()
	if _, err := n.client.Change(t.Context(), control.ChangeRequest{Changes: []control.Change{{Key: key, Value: value}}}); err != nil {
		t.Fatal(err)
	}
}

func bravo(l control.Look) control.Upstream {
	for _, u := range l.Upstreams {
		if u.Name == "bravo" {
			return u
		}
	}
	return control.Upstream{}
}

// breakerAlert is the alert of the failing provider's breaker.
func breakerAlert(l control.Look) control.Alert {
	for _, a := range l.Alerts {
		if a.Name == "BreakerOpen" && a.Labels["name"] == "upstream/bravo" {
			return a
		}
	}
	return control.Alert{}
}

// A change that has just begun is not kept by a key that came too early.
func (x *terminal) keep() {
	x.t.Helper()
	x.see(`goes back in \d`)
	time.Sleep(1500 * time.Millisecond)
	x.press("y")
	x.see(`kept`)
}
