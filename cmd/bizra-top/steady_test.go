//go:build integration && faults

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/probes/load"
)

// lasting is how long a fault is kept up: the first in CI (-short), the second in the
// suite, the third with BIZRA_TEST_LONG=1.
func lasting(inCI, suite, long time.Duration) time.Duration {
	switch {
	case os.Getenv("BIZRA_TEST_LONG") != "":
		return long
	case testing.Short():
		return inCI
	}
	return suite
}

// resources are what a process holds at a moment: memory in bytes, goroutines, open files.
type resources struct{ memory, goroutines, files int }

// middle is the median of resources over a span of time: collections and single requests
// move the samples, not it.
func middle(samples []resources) resources {
	of := func(field func(resources) int) int {
		var all []int
		for _, s := range samples {
			all = append(all, field(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return resources{of(func(s resources) int { return s.memory }), of(func(s resources) int { return s.goroutines }), of(func(s resources) int { return s.files })}
}

// value reads a series of the program's metrics; name is a regular expression.
func (p *process) value(t *testing.T, name string) float64 {
	t.Helper()
	_, text := fetch(t, p.url+"/metrics")
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Errorf("no metric %s", name)
		return 0
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Error(err)
	}
	return v
}

// resources reads what the program holds from its own metrics.
func (p *process) resources(t *testing.T) resources {
	t.Helper()
	read := func(name string) int { return int(p.value(t, name)) }
	return resources{read("process_resident_memory_bytes"), read("go_goroutines"), read("process_open_fds")}
}

// A node on PostgreSQL, Redis and three providers, whose chain goes on, serves a steady
// load of everything it can be asked, of what it knows and of what it does not: no request
// fails, and after the warm-up neither its memory nor its goroutines grow, but for the two
// of each connection that is kept for the next burst. The warm-up fills the small L1 and ends
// with a burst, after which the stalls of a busy host open few connections more. Two minutes
// after a warm-up of two, in CI of one; half an hour after 18 with BIZRA_TEST_LONG=1: by
// then the history has made its first blocks and deleted its first file of chunks.
func TestFaultSteadyLoad(t *testing.T) {
	const rate = 60
	warmUp := lasting(time.Minute, 2*time.Minute, 18*time.Minute)
	lasts := lasting(2*time.Minute, 2*time.Minute, 30*time.Minute)
	chain, err := devchain.Start(t.Context(), devchain.Config{Seed: 3, Prefill: 60, Traffic: true, MinTx: 3, MaxTx: 10, Interval: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	var providers []string
	for i, u := range chain.URLs() {
		providers = append(providers, fmt.Sprintf("%c=%s", 'a'+i, u))
	}
	_, dsn, _ := role(t)
	p := start(t, asReleased(t), "--headless", "--listen", "127.0.0.1:0", "--state-dir", t.TempDir(), "--upstream.providers", strings.Join(providers, ","),
		"--store.dsn", dsn, "--cache.l2.url", address(t, "BIZRA_TEST_REDIS_URL"), "--cache.l2.secret", "a secret of the tests", "--cache.l2.prefix", fmt.Sprintf("steady-%d", time.Now().UnixNano()),
		"--cache.l1.max_bytes", "2MiB", "--validation.confirmations_final", "8")
	target, err := load.NewTarget(p.url, false)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	subjects, err := load.Find(t.Context(), target, 40)
	if err != nil {
		t.Fatal(err)
	}
	var samples []resources
	put := func(each float64, lasts time.Duration, progress func(load.Report)) load.Report {
		t.Helper()
		r, err := load.Run(t.Context(), load.Config{Target: target, Subjects: subjects, Follow: 40, Skew: 0.9, Seed: 11,
			Mix: load.Mix{{Kind: "block", Weight: 6}, {Kind: "transaction", Weight: 6}, {Kind: "address", Weight: 3}, {Kind: "absent", Weight: 2}, {Kind: "malformed", Weight: 1},
				{Kind: "ledger", Weight: 0.2}, {Kind: "rpc.block", Weight: 6}, {Kind: "rpc.receipt", Weight: 6}, {Kind: "rpc.address", Weight: 3}, {Kind: "rpc.head", Weight: 3}},
			Timeout: 20 * time.Second, Concurrency: 64, Pattern: load.Pattern{Shape: load.Constant, Rate: each, Duration: lasts}, Progress: progress})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	put(rate, warmUp, nil)
	put(5*rate, 10*time.Second, nil)
	report := put(rate, lasts, func(load.Report) { samples = append(samples, p.resources(t)) })
	if report.Errors > 0 {
		t.Errorf("%d of %d requests failed: %+v\n%s", report.Errors, report.Requests, report.Failures, p.output)
	}
	const span = 30 // seconds
	if len(samples) < 3*span {
		t.Fatalf("%d samples in %s", len(samples), lasts)
	}
	first, most := middle(samples[:span]), resources{}
	for i := span; i+span <= len(samples); i += span {
		m := middle(samples[i : i+span])
		t.Logf("after %d s: %.1f MiB, %d goroutines, %d files", i+span, float64(m.memory)/(1<<20), m.goroutines, m.files)
		if m.goroutines > most.goroutines {
			most.goroutines, most.files = m.goroutines, m.files
		}
		most.memory = max(most.memory, m.memory)
	}
	grew := 100 * float64(most.memory-first.memory) / float64(first.memory)
	t.Logf("%d requests in %s after a warm-up of %s, %d errors, p99 %.1f ms; memory %.1f MiB %+.1f %%, goroutines %d %+d, open files %d %+d",
		report.Requests, lasts, warmUp, report.Errors, 1000*report.Latency.P99, float64(first.memory)/(1<<20), grew,
		first.goroutines, most.goroutines-first.goroutines, first.files, most.files-first.files)
	if grew > 5 {
		t.Errorf("memory grew by %.1f %%", grew)
	}
	if most.files > 300 { // 64 kept to each provider, as many clients, and the node's own
		t.Errorf("%d open files", most.files)
	}
	if most.goroutines > first.goroutines+first.goroutines/20+2*max(0, most.files-first.files) {
		t.Errorf("goroutines grew from %d to %d, open files from %d to %d: %s", first.goroutines, most.goroutines, first.files, most.files, p.goroutines(t))
		return
	}
	p.stop(t)
}

// goroutines ends the program with SIGQUIT and tells how many of its goroutines were
// created where.
func (p *process) goroutines(t *testing.T) string {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end after SIGQUIT")
	}
	created := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^created by (\S+)`).FindAllStringSubmatch(p.output.String(), -1) {
		created[m[1]]++
	}
	return fmt.Sprint(created)
}
