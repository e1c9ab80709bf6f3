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
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/settings"
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
	s.cmd = exec.Command(tool(t, "prometheus"), s.args...)
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
