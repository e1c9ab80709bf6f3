//go:build integration && faults

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// resources are what a process holds at a moment.
type resources struct{ rss, goroutines int }

// levels are the medians of resources over a span of time: collections and single
// requests move the samples, not them.
func levels(samples []resources) (rss, goroutines int) {
	middle := func(of func(resources) int) int {
		var all []int
		for _, s := range samples {
			all = append(all, of(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return middle(func(s resources) int { return s.rss }), middle(func(s resources) int { return s.goroutines })
}

// A node on PostgreSQL, Redis and three providers, whose chain goes on, serves a steady
// load of everything it can be asked, of what it knows and of what it does not: no request
// fails, and after the warm-up neither its memory nor its goroutines grow. Its L1 is small
// enough to be full by then. Two minutes after a warm-up of one; half an hour after five
// with BIZRA_TEST_LONG=1. In CI the warm-up is half a minute.
func TestFaultSteadyLoad(t *testing.T) {
	warmUp := lasting(30*time.Second, time.Minute, 5*time.Minute)
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
		"--store.dsn", dsn, "--cache.l2.url", address(t, "BIZRA_TEST_REDIS_URL"), "--cache.l2.prefix", fmt.Sprintf("steady-%d", time.Now().UnixNano()),
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
	goroutines := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`)
	var samples []resources
	report, err := load.Run(t.Context(), load.Config{Target: target, Subjects: subjects, Follow: 40, Skew: 0.9, Seed: 11,
		Mix: load.Mix{{Kind: "block", Weight: 6}, {Kind: "transaction", Weight: 6}, {Kind: "address", Weight: 3}, {Kind: "absent", Weight: 2}, {Kind: "malformed", Weight: 1},
			{Kind: "ledger", Weight: 0.2}, {Kind: "rpc.block", Weight: 6}, {Kind: "rpc.receipt", Weight: 6}, {Kind: "rpc.address", Weight: 3}, {Kind: "rpc.head", Weight: 3}},
		Timeout: 20 * time.Second, Concurrency: 64, WarmUp: warmUp, Pattern: load.Pattern{Shape: load.Constant, Rate: 60, Duration: lasts},
		Progress: func(r load.Report) {
			if r.Timeline[len(r.Timeline)-1].At < 0 {
				return // warm-up
			}
			_, metrics := fetch(t, p.url+"/metrics")
			m := goroutines.FindStringSubmatch(metrics)
			if m == nil {
				t.Error("no goroutines in the metrics")
				return
			}
			n, _ := strconv.Atoi(m[1]) // digits
			samples = append(samples, resources{rss(t, p.Process.Pid), n})
		}})
	if err != nil {
		t.Fatal(err)
	}
	if report.Errors > 0 {
		t.Errorf("%d of %d requests failed: %+v", report.Errors, report.Requests, report.Failures)
	}
	span := len(samples) / 4
	if span < 10 {
		t.Fatalf("%d samples of memory in %s", len(samples), lasts)
	}
	memory, running := levels(samples[:span])
	var highest, most int
	for i := span; i+span <= len(samples); i += span {
		rss, n := levels(samples[i : i+span])
		highest, most = max(highest, rss), max(most, n)
		t.Logf("after %d s: %.1f MiB, %d goroutines", i+span, float64(rss)/(1<<20), n)
	}
	grew := 100 * float64(highest-memory) / float64(memory)
	t.Logf("%d requests in %s, %d errors, p99 %.1f ms; memory %.1f MiB %+.1f %%, goroutines %d %+d",
		report.Requests, lasts, report.Errors, 1000*report.Latency.P99, float64(memory)/(1<<20), grew, running, most-running)
	if grew > 5 {
		t.Errorf("memory grew by %.1f %%", grew)
	}
	if most > running+running/20+5 {
		t.Errorf("goroutines grew from %d to %d", running, most)
	}
	p.stop(t)
}
