//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
)

// message is as much of a webhook's message as the tests look at.
type message struct {
	Receiver, Status string
	Alerts           []struct {
		Status string
		Labels map[string]string
	}
}

// hook is a webhook that keeps what it is told.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	got  []message
	keys map[string]bool // of the messages and their alerts
}

// listenHook answers on address, or on a free one when that is empty.
func listenHook(t *testing.T, address string) *hook {
	t.Helper()
	h := &hook{keys: map[string]bool{}}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m message
		var raw struct {
			Alerts []map[string]any
		}
		var top map[string]any
		if err != nil || json.Unmarshal(body, &m) != nil || json.Unmarshal(body, &raw) != nil || json.Unmarshal(body, &top) != nil {
			t.Errorf("a webhook was told %q, %v", body, err)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, m)
		for k := range top {
			h.keys[k] = true
		}
		for _, a := range raw.Alerts {
			for k := range a {
				h.keys["alerts."+k] = true
			}
		}
	}))
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = h.Server.Listener.Close()
		h.Server.Listener = l
	}
	h.Start()
	t.Cleanup(h.Close)
	return h
}

// told returns what it was told of an alert: firing, resolved, …
func (h *hook) told(alert string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, m := range h.got {
		for _, a := range m.Alerts {
			if a.Labels["alertname"] == alert {
				out = append(out, a.Status)
			}
		}
	}
	return strings.Join(out, " ")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func soon(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s within %s", what, within)
		}
	}
}

// alerting returns the arguments of a node with the rule TooMany, which fires when
// the threshold of goroutines is moved below what runs.
func alerting(t *testing.T, more ...string) []string {
	t.Helper()
	chain, err := devchain.Start(context.Background(), devchain.Config{Seed: 5, Prefill: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	rule := filepath.Join(t.TempDir(), "rule.yaml")
	if err := os.WriteFile(rule, []byte(`groups:
- name: test
  rules:
  - alert: TooMany
    expr: go_goroutines > scalar(max(bizra_setting{key="alerts.goroutines.threshold"}))
    labels: {severity: critical, part: runtime}
    annotations: {summary: '{{ $value }} goroutines run'}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"--headless", "--state-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--node.name", "node-a",
		"--upstream.providers", "dev=" + chain.URLs()[0], "--alerts.rule_files", rule, "--alerts.evaluate_every", "500ms",
		"--history.sample_every", "500ms", "--alerts.group_wait", "0s", "--alerts.group_interval", "1s"}, more...)
}

func set(t *testing.T, p *process, key, value string) {
	t.Helper()
	client := control.NewClient(p.socket)
	defer client.Close()
	if _, err := client.Change(t.Context(), control.ChangeRequest{Changes: []control.Change{{Key: key, Value: value}}}); err != nil {
		t.Fatal(err)
	}
}

// A real Alertmanager is sent what fires in a real node and what was resolved, and
// tells a webhook of it; a webhook that the node tells itself reads the same.
func TestARealAlertmanagerIsToldOfAlerts(t *testing.T) {
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Fatal("prometheus-alertmanager is missing: run the tests with .ci/services, or apt-get install prometheus-alertmanager")
	}
	through, direct := listenHook(t, ""), listenHook(t, "")
	dir, address := t.TempDir(), freeAddress(t)
	conf := filepath.Join(dir, "alertmanager.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}\n"+
		"receivers: [{name: hook, webhook_configs: [{url: %s}]}]\n", through.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	am := exec.Command(program, "--config.file="+conf, "--storage.path="+dir, "--web.listen-address="+address, "--cluster.listen-address=")
	am.Stdout, am.Stderr = &said, &said
	if err := diesWithTests(am).Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = am.Process.Kill() // it keeps nothing that is needed
		_ = am.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	soon(t, 30*time.Second, "Alertmanager did not start", func() bool {
		resp, err := http.Get("http://" + address + "/-/ready")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})

	node := start(t, binary(t), alerting(t, "--alerts.alertmanagers", "http://"+address, "--alerts.webhooks", direct.URL)...)
	known := func() string {
		_, body := fetch(t, "http://"+address+"/api/v2/alerts?filter=alertname%3DTooMany")
		return body
	}
	set(t, node, "alerts.goroutines.threshold", "1")
	soon(t, 30*time.Second, "Alertmanager did not hear of it", func() bool { return strings.Contains(known(), `"alertname":"TooMany"`) })
	for _, part := range []string{`"instance":"node-a"`, `"severity":"critical"`, `goroutines run"`, `"state":"active"`, `"generatorURL":"` + node.url + `/health"`} {
		if !strings.Contains(known(), part) {
			t.Errorf("Alertmanager lacks %s: %s", part, known())
		}
	}
	soon(t, 20*time.Second, "the webhooks were not told that it fires", func() bool { return through.told("TooMany") == "firing" && direct.told("TooMany") == "firing" })
	set(t, node, "alerts.goroutines.threshold", "10000")
	soon(t, 30*time.Second, "the webhooks were not told that it is over", func() bool {
		return strings.HasPrefix(through.told("TooMany"), "firing resolved") && strings.HasPrefix(direct.told("TooMany"), "firing resolved")
	})
	soon(t, 20*time.Second, "Alertmanager lists it still", func() bool { return strings.TrimSpace(known()) == "[]" })
	through.mu.Lock()
	defer through.mu.Unlock()
	direct.mu.Lock()
	defer direct.mu.Unlock()
	for k := range through.keys {
		if !direct.keys[k] {
			t.Errorf("Alertmanager's message has %s, the node's has not", k)
		}
	}
	if _, metrics := fetch(t, node.url+"/metrics"); strings.Contains(metrics, direct.URL) || !strings.Contains(metrics, `bizra_alert_notifications_failed_total{integration="alertmanager"} 0`) {
		t.Error("metrics: a receiver's address, or a failure")
	}
	node.stop(t)
}

// What could not be sent when the node was killed is sent after its restart, and
// what was sent is not sent again; so are silences and acknowledgements there.
func TestTheQueueSurvivesAKill(t *testing.T) {
	address := freeAddress(t) // nobody answers there yet
	well := listenHook(t, "")
	program := binary(t)
	args := alerting(t, "--alerts.webhooks", "http://"+address+"/hook,"+well.URL)
	node := start(t, program, args...)
	set(t, node, "alerts.goroutines.threshold", "1")
	soon(t, 30*time.Second, "nobody was told", func() bool { return well.told("TooMany") == "firing" })
	client := control.NewClient(node.socket)
	defer client.Close()
	if _, err := client.Acknowledge(t.Context(), control.AcknowledgeRequest{Alert: "TooMany", Comment: "on it"}); err != nil {
		t.Fatal(err)
	}
	silence, err := client.AddSilence(t.Context(), control.SilenceRequest{Matchers: []string{"alertname=Other"}, For: "1h"})
	if err != nil {
		t.Fatal(err)
	}
	// What was told is on disk a moment after it was told.
	queue := filepath.Join(filepath.Dir(node.socket), "alerts", "queue.json")
	soon(t, 10*time.Second, "the queue is not on disk", func() bool {
		data, err := os.ReadFile(queue)
		return err == nil && bytes.Contains(data, []byte(`"firing":[`))
	})
	if err := node.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-node.ended

	late := listenHook(t, address)
	node = start(t, program, append(args, "--alerts.goroutines.threshold", "1")...)
	soon(t, 30*time.Second, "what was not sent before is not sent after", func() bool { return late.told("TooMany") == "firing" })
	list, err := client.Silences(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != silence.ID {
		t.Errorf("silences after the restart: %+v, %v", list, err)
	}
	soon(t, 30*time.Second, "it does not fire again, acknowledged", func() bool {
		alerts, err := client.Alerts(t.Context())
		return err == nil && len(alerts) > 0 && alerts[0].Name == "TooMany" && alerts[0].State == "firing" &&
			alerts[0].Acknowledged != nil && alerts[0].Acknowledged.Comment == "on it"
	})
	if well.told("TooMany") != "firing" {
		t.Errorf("who knew already was told %q", well.told("TooMany"))
	}
	node.stop(t)
}

// The command line lists, acknowledges, silences and takes it back.
func TestAlertsOnTheCommandLine(t *testing.T) {
	node := start(t, binary(t), alerting(t)...)
	set(t, node, "alerts.goroutines.threshold", "1")
	run := func(args ...string) string {
		t.Helper()
		out, err := execute(t, append(args, "--socket", node.socket)...)
		if err != nil {
			return "error: " + err.Error()
		}
		return out
	}
	soon(t, 30*time.Second, "it does not fire", func() bool { return strings.Contains(run("alerts"), "TooMany") })
	expect := func(got string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("%q lacks %q", got, p)
			}
		}
	}
	expect(run("ack", "TooMany", "--comment", "on it"), "acknowledged: TooMany")
	added := run("silence", "add", "alertname=TooMany", `part=~"run.*"`, "--for", "2h", "--comment", "known")
	expect(added, "silenced until ")
	id := strings.Fields(added)[len(strings.Fields(added))-1]
	expect(run("alerts"), "silenced", "critical", "silenced by ", "acknowledged by ")
	expect(run("alerts", "--json"), `"acknowledged": {`, `"silenced": {`, `"id": "`+id)
	expect(run("silence", "list"), id[:8], "active", `alertname="TooMany", part=~"run.*"`, "known")
	expect(run("silence", "list", "--json"), `"alerts": 1`)
	expect(run("silence", "expire", id[:8]), "ended: alertname=")
	expect(run("silence", "expire", id[:8]), "error: the silence has ended already")
	expect(run("ack", "--undo", "TooMany"), "no longer acknowledged: TooMany")
	expect(run("ack", "--undo", "TooMany"), "error: no such alert is acknowledged")
	expect(run("ack", "Nothing"), "error: no such alert is pending or firing")
	expect(run("ack", "TooMany", "x"), "is not LABEL=VALUE")
	expect(run("silence", "add", "alertname", "--for", "1h"), "error: not a silence")
	expect(run("silence", "add", "alertname=A"), `required flag(s) "for" not set`)
	expect(run("silence", "add", "alertname=A", "--for", "1h"), "warning: no alert matches now")
	node.stop(t)
}
