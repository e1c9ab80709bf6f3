package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"

	"github.com/bizra/bizra-top/probes/load"
)

// runCommand runs the program in this process and returns what it wrote and its exit
// code.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	root, _ := rootCommand()
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	root.SilenceErrors, root.SilenceUsage = true, true
	err := root.ExecuteContext(t.Context())
	if err != nil {
		errs.WriteString(safe(err))
	}
	return out.String(), errs.String(), exitCode(err, true)
}

// A load on a whole node finds what to ask for by itself, counts every request, and
// keeps or misses its objectives.
func TestLoadOnANode(t *testing.T) {
	_, socket := serveNode(t)
	dir := t.TempDir()
	report, timeline := filepath.Join(dir, "report.json"), filepath.Join(dir, "timeline.csv")
	args := []string{"load", "--socket", socket, "--rate", "50", "--duration", "2s", "--mix", "block=2,rpc.block=1,ledger=1,absent=1,malformed=1",
		"--json", report, "--csv", timeline}
	out, errs, code := runCommand(t, append(args, "--slo", "errors=0%,rate=1,p99=1m")...)
	if code != exitDone || strings.Count(out, "✓ kept") != 3 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	var r load.Report
	data, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil || r.Requests != 100 || r.Errors != 0 || len(r.Kinds) != 5 || len(r.Timeline) < 2 || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P999 {
		t.Errorf("%v %+v", err, r)
	}
	f, err := os.Open(timeline)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if rows, err := csv.NewReader(f).ReadAll(); err != nil || len(rows) != len(r.Timeline)+1 {
		t.Errorf("%v %v", err, rows)
	}

	out, errs, code = runCommand(t, append(args, "--slo", "errors=0%,p50=1us,rate=51")...)
	if code != exitMissed || strings.Count(out, "✗ missed") != 2 || !strings.Contains(errs, "p50=1us") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

// A JSON-RPC endpoint is measured with subjects from a file, and its errors are named.
func TestLoadOnAnEndpoint(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(body), `"eth_getBlockByNumber","params":["0x11",true]`) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"limit exceeded"}}`)
	}))
	defer server.Close()
	subjects := filepath.Join(t.TempDir(), "subjects")
	if err := os.WriteFile(subjects, []byte("17\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := runCommand(t, "load", "--rpc", server.URL+"/key/s3cret", "--subjects", subjects, "--mix", "block=1", "--rate", "20", "--duration", "1s")
	if code != exitDone || !strings.Contains(out, "20 of block: error -32005") || strings.Contains(out+errs, "s3cret") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	out, _, code = runCommand(t, "load", "--rpc", server.URL, "--subjects", subjects, "--mix", "block=1", "--rate", "20", "--duration", "1s", "--json", "-")
	var r load.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || r.ErrorRatio != 1 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
}

func TestLoadThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		says string
		args []string
	}{
		{"--slo", []string{"http://127.0.0.1:1", "--slo", "p98=1s"}},
		{"--mix", []string{"http://127.0.0.1:1", "--mix", "block"}},
		{"give one", []string{"http://127.0.0.1:1", "--rpc", "http://127.0.0.1:1"}},
		{"--duration", []string{"http://127.0.0.1:1", "--duration", "0s"}},
		{"connection refused", []string{"http://127.0.0.1:1"}},
		{"--blocks", []string{"http://127.0.0.1:1", "--blocks", "0"}},
		{"bizra-top load http://", []string{"--socket", filepath.Join(t.TempDir(), "none.sock")}},
	} {
		if _, errs, code := runCommand(t, append([]string{"load"}, c.args...)...); code == exitDone || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit %d, %s", c.args, code, errs)
		}
	}
}

// On a terminal the progress is drawn over itself and leaves nothing behind.
func TestProgressIsDrawnOverItself(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, terminal: true, length: 10 * time.Second}
	r := load.Report{}
	for i := range 5 {
		r.Timeline = append(r.Timeline, load.Second{At: float64(i + 1), Due: 100, Answered: 100 + i, P99: 0.01})
		p.show(r)
	}
	p.clear()
	screen := vt.NewEmulator(100, 30)
	if _, err := screen.WriteString(strings.ReplaceAll(out.String(), "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	if text := strings.TrimSpace(screen.String()); text != "" || !strings.Contains(out.String(), "p99, ms") {
		t.Errorf("left behind:\n%s", text)
	}
}
