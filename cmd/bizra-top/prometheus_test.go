//go:build integration

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/alerts"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes/remote"
)

// tool returns the path of a program of Debian's prometheus package.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run the tests with .ci/services, or apt-get install prometheus", name)
	}
	return path
}

// server is a real Prometheus.
type server struct {
	url  string
	args []string
	cmd  *exec.Cmd
}

// startPrometheus starts Debian's Prometheus on a free port with a configuration.
func startPrometheus(t *testing.T, config string) *server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // Prometheus opens it again
	s := &server{url: "http://" + address, args: []string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + address, "--log.level=error"}}
	t.Cleanup(func() { s.kill(t) })
	s.start(t)
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = diesWithTests(exec.Command(tool(t, "prometheus"), s.args...))
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	within30s(t, "Prometheus is ready", func() bool {
		resp, err := http.Get(s.url + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}

func within30s(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("not within 30 s: " + what)
}

func refusal(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ ErrorType string }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Errorf("%s: %v", url, err)
	}
	return resp.StatusCode, a.ErrorType
}

// refusals are requests that a Prometheus refuses too.
var refusals = []string{
	"query?query=sum(", "query?query=", "query", "query?query=up&time=soon", "query?query=up&timeout=x",
	"query?query=rate(up)", "query?query=up[1m:0s]", "query?query=label_replace(up,%22x%22,%22%22,%22%22,%22(%22)",
	"query_range?query=up", "query_range?query=up&start=1&end=2", "query_range?query=up&start=1&end=2&step=0",
	"query_range?query=up&start=2&end=1&step=1", "query_range?query=up&start=1&end=999999999&step=1", "query_range?query=up[1m]&start=1&end=2&step=1",
	"series", "series?match[]={}", "series?match[]=sum(up)", "series?match[]=up&start=x", "labels?match[]={", "labels?start=x",
	"label/a%C3%28/values", "metadata?limit=x", "rules?type=other", "format_query?query=sum(",
}

// compareRefusals asks both for what both refuse; the status and the kind of error
// must be the same.
func compareRefusals(t *testing.T, ours, real string) {
	t.Helper()
	for _, path := range refusals {
		code, kind := refusal(t, ours+"/api/v1/"+path)
		want, wanted := refusal(t, real+"/api/v1/"+path)
		if code != want || kind != wanted || code < 400 {
			t.Errorf("%s: %d %s, Prometheus %d %s", path, code, kind, want, wanted)
		}
	}
}

func TestRefusalsAreThoseOfPrometheus(t *testing.T) {
	s, _ := serveNode(t, settings.Change{Key: "history.listen", Value: "127.0.0.1:0"})
	real := startPrometheus(t, "global: {scrape_interval: 1s}\n")
	compareRefusals(t, "http://"+s.queries.Address(), real.url)
}

// promtool reads the node as it reads a Prometheus server.
func TestPromtoolQueriesTheNode(t *testing.T) {
	s, _ := serveNode(t, settings.Change{Key: "history.listen", Value: "127.0.0.1:0"})
	promtool, url := tool(t, "promtool"), "http://"+s.queries.Address()
	query := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), promtool, append([]string{"query"}, args...)...).CombinedOutput()
		return string(out), err
	}
	within30s(t, "there are samples", func() bool {
		out, err := query("instant", url, "count_over_time(bizra_node_info[1m]) > 2")
		return err == nil && strings.Contains(out, "=>")
	})
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"instant", url, `bizra_setting{key="pool.limit"}`}, `bizra_setting{key="pool.limit"} => `},
		{[]string{"range", "--step=1s", fmt.Sprintf("--start=%d", time.Now().Add(-time.Minute).Unix()), url, "bizra_node_info"}, `bizra_node_info{mode="node", version="devel"} =>` + "\n1 @["},
		{[]string{"series", "--match=bizra_node_info", url}, `{__name__="bizra_node_info", mode="node", version="devel"}`},
		{[]string{"labels", url, "mode"}, "node\n"},
	} {
		if out, err := query(c.args...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("promtool query %q: %v\n%s", c.args, err, out)
		}
	}
	if out, err := query("instant", url, "sum("); err == nil || !strings.Contains(out, "bad_data") {
		t.Errorf("%v\n%s", err, out)
	}
}

// configuration scrapes nodes every second and evaluates the exported rules.
func configuration(t *testing.T, nodes ...string) string {
	t.Helper()
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, alerts.RuleFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(alerts.PrometheusConfig(nodes, rules, "")), "_interval: 5s", "_interval: 1s")
}

// A look through a real Prometheus that scrapes two nodes is a look at each node; it
// is an error while Prometheus is away and works again when it is back. The rules
// that are exported for Prometheus are evaluated without an error.
func TestNodesAreSeenThroughPrometheus(t *testing.T) {
	type side struct {
		*service
		client *control.Client
	}
	var sides []side
	for i := range 2 {
		s, socket := serveNode(t, settings.Change{Key: "pool.limit", Value: strconv.Itoa(5 + i)},
			settings.Change{Key: "upstream.poll_every", Value: "10s"}) // quiet, so that two looks can be alike
		c := control.NewClient(socket)
		t.Cleanup(c.Close)
		exercise(t, s, c, i == 1)
		sides = append(sides, side{s, c})
	}
	real := startPrometheus(t, configuration(t, sides[0].node.Address(), sides[1].node.Address()))
	server, err := remote.Dial(real.url)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	door, err := remote.NewDoor(server, "instance", declareAll().registry.All())
	if err != nil {
		t.Fatal(err)
	}
	within30s(t, "both nodes are scraped", func() bool {
		nodes, err := door.Nodes(t.Context())
		return err == nil && len(nodes) == 2
	})

	look := func() (control.Look, error) { return door.Look(t.Context(), 0) }
	for _, s := range sides {
		door.Choose(s.node.Address())
		alike(t, look, func() (control.Look, error) { return s.client.Look(t.Context(), 0) })
		got, err := look()
		if err != nil || got.Node.Name != s.node.Address() {
			t.Errorf("%v %+v", err, got.Node)
		}
		list, err := door.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		direct, err := s.client.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		same := 0
		for _, want := range direct {
			i := slices.IndexFunc(list, func(s control.Setting) bool { return s.Key == want.Key })
			if i >= 0 && list[i].Value == want.Value && list[i].Doc == want.Doc {
				same++
			} else if want.Numeric {
				t.Errorf("%s is not %s", want.Key, want.Value)
			}
		}
		if same != len(list) {
			t.Errorf("%d of %d settings are those of the node", same, len(list))
		}
		past, err := door.History(t.Context(), time.Minute, time.Second)
		if err != nil || len(past["pool_limit"]) != 1 || len(past["pool_limit"][0].Points) < 2 {
			t.Errorf("%v %v", err, past["pool_limit"])
		}
	}

	program := binary(t)
	once := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"--once", "--json", "--prometheus", strings.Replace(real.url, "//", "//user:secret@", 1)}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	var shown control.Look
	out, err := once("--instance", sides[1].node.Address())
	if err != nil || json.Unmarshal([]byte(out), &shown) != nil || shown.Pool.Limit != 6 || shown.Breakers[0].State != "metrics-only" {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := once(); err == nil || !strings.Contains(out, sides[0].node.Address()) || !strings.Contains(out, sides[1].node.Address()) || strings.Contains(out, "secret") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := once("--node", "job=bizra-top"); err != nil || !strings.Contains(out, `"name": "bizra-top"`) {
		t.Errorf("%v\n%s", err, out)
	}

	ruleHealth(t, real.url)

	real.kill(t)
	if _, err := look(); err == nil || !strings.Contains(err.Error(), "no answer from the Prometheus API at "+real.url) {
		t.Errorf("%v", err)
	}
	real.start(t)
	within30s(t, "the look is back", func() bool { _, err := look(); return err == nil })
}

// ruleHealth waits until Prometheus has evaluated every exported rule.
func ruleHealth(t *testing.T, url string) {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	within30s(t, "every rule is evaluated", func() bool {
		resp, err := http.Get(url + "/api/v1/rules")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		rules := 0
		for _, g := range answer.Data.Groups {
			for _, r := range g.Rules {
				rules++
				if r.Health == "unknown" {
					return false
				}
				if r.Health != "ok" {
					t.Fatalf("%s: %s", r.Name, r.LastError)
				}
			}
		}
		return rules >= 50
	})
}
