package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/probes/promises"
)

// The bench runs for real, in its quick form, and reports every promise. Whether all
// are kept is the host's matter, and the exit code says the same as the rows.
func TestBenchReportsEveryPromise(t *testing.T) {
	out, errs, code := runCommand(t, "bench", "--quick", "--json")
	var r promises.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, errs)
	}
	var names []string
	for _, row := range r.Rows {
		names = append(names, row.Name)
		if row.Unit == "" || row.How == "" || row.Before < 0 || row.After < 0 {
			t.Errorf("%+v", row)
		}
	}
	if !slices.Equal(names, promises.Names()) || len(r.Memory) < 10 || !strings.Contains(r.Parts, "SQLite") {
		t.Errorf("rows %v, %d samples of memory, on %s\n%s", names, len(r.Memory), r.Parts, errs)
	}
	if missed := len(r.Missed()) > 0; missed != (code == exitMissed) || !missed && code != exitDone {
		t.Errorf("exit %d with %d missed", code, len(r.Missed()))
	}
	// What is written to be read by programs keeps its names.
	var raw struct{ Rows []map[string]any }
	if err := json.Unmarshal([]byte(out), &raw); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"name", "unit", "before", "target", "after", "passed"} {
		if _, ok := raw.Rows[0][field]; !ok {
			t.Errorf("rows have no %q", field)
		}
	}
}

// Providers that are slow are seen: their row is missed, the others are not touched,
// and a comparison with a good run calls it a regression.
func TestASlowedPartFailsItsRow(t *testing.T) {
	dir := t.TempDir()
	chain, err := devchain.Start(t.Context(), devchain.Config{Prefill: 30, Traffic: true, MinTx: 1, MaxTx: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	var providers []string
	for i, p := range chain.Providers {
		p.SetFault(devchain.Fault{Latency: 80 * time.Millisecond})
		providers = append(providers, fmt.Sprintf("%q", fmt.Sprintf("p%d=%s", i, p.URL())))
	}
	conf, old := filepath.Join(dir, "bizra-top.yaml"), filepath.Join(dir, "old.json")
	good := `{"began":"2026-01-31T03:00:00Z","rows":[{"name":"validation.mean","unit":"ms","before":30,"target":20,"after":8,"passed":true}]}`
	for path, text := range map[string]string{conf: "upstream.providers: [" + strings.Join(providers, ", ") + "]\n", old: good} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := runCommand(t, "bench", "--quick", "--only", "validation,breaker.memory", "--config", conf, "--compare", old)
	if code != exitMissed || !strings.HasSuffix(errs, "missed on this host: validation.mean, validation.p95") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	for _, line := range strings.Split(out, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		switch fields[0] {
		case "validation.mean":
			if !strings.Contains(line, verdictMissed) || !strings.Contains(line, "REGRESSION") {
				t.Error(line)
			}
		case "breaker.memory":
			if !strings.Contains(line, verdictPassed) || !strings.Contains(line, "new") {
				t.Error(line)
			}
		}
	}
	if !strings.Contains(out, "1 of 3 promises are kept") || !strings.Contains(out, conf) {
		t.Error(out)
	}
}

func TestBenchThatCannotBe(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.json")
	for says, args := range map[string][]string{
		"there is no promise": {"--only", "speed"},
		"--compare":           {"--compare", missing},
		"none.json":           {"--compare", missing},
		"none of the others":  {"--json", "--markdown"},
	} {
		if _, errs, code := runCommand(t, append([]string{"bench", "--quick"}, args...)...); code == exitDone || code == exitMissed || !strings.Contains(errs, says) {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}

func TestBenchAsMarkdownAndOnItsScale(t *testing.T) {
	rows := []promises.Row{
		{Name: "a", Unit: "ms", Before: 40, Target: 20, After: 2, Passed: true},
		{Name: "b", Unit: "/s", Before: 350, Target: 3500, After: 350_000, Passed: true, Higher: true},
		{Name: "c", Unit: "%", Before: 0, Target: 0, After: 7},
	}
	var out strings.Builder
	if err := printBenchMarkdown(&out, promises.Report{Rows: rows, Others: -1}, &promises.Report{Rows: rows[:1]}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"| a | 40.0 ms | ≤ 20.0 ms | 2.00 ms | ✓ passed | +0% |", "| b | 350 /s | ≥ 3500 /s | 350000 /s | ✓ passed | new |",
		"| c | 0 % | ≤ 0 % | 7.00 % | ✗ MISSED | new |"} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, out.String())
		}
	}
	for i, want := range []string{"············●·····│·○····", "······●···········│·····○", "○·················│·····●"} {
		if got := scaleOf(rows[i]); got != want {
			t.Errorf("%s: %s, want %s", rows[i].Name, got, want)
		}
	}
}
