package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/bizra/bizra-top/node/settings"
)

// everyMetric gathers the metrics of a node that has every part, PostgreSQL and
// Redis included, though nothing answers there.
func everyMetric(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	s, _ := serveNode(t, settings.Change{Key: "store.dsn", Value: "postgres://127.0.0.1:1/none"},
		settings.Change{Key: "cache.l2.url", Value: "redis://127.0.0.1:1"})
	registry := s.node.Host().Gatherer.(*prometheus.Registry)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		name := fqName.FindStringSubmatch(d.String())[1]
		if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name }) {
			t.Errorf("%s has no series before the first event: declare them where it is declared", name)
		}
	}
	return families
}

var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

// The reference of metrics in the repository is made of what a node exports.
func TestReferenceOfMetricsIsUpToDate(t *testing.T) {
	families := everyMetric(t)
	if len(families) < 90 {
		t.Errorf("%d metrics, fewer than 90", len(families))
	}
	golden(t, "testdata/metrics.md", metricsReference(families), func(text string) string { return text })
}

func metricsReference(families []*dto.MetricFamily) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Metrics\n\nWhat `GET /metrics` of a node with every part exports. Written by `make generate`. "+
		"Histograms of seconds have native buckets, by which a quantile is within 3 %%, and classic ones.\n\n")
	b.WriteString("| metric | type | labels | unit | meaning |\n|---|---|---|---|---|\n")
	for _, f := range families {
		var labels []string
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if !slices.Contains(labels, l.GetName()) {
					labels = append(labels, l.GetName())
				}
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()),
			strings.Join(labels, ", "), unitOf(f.GetName()), strings.ReplaceAll(f.GetHelp(), "|", `\|`))
	}
	return b.String()
}

// unitOf reads the unit from a name, where Prometheus's conventions put it.
func unitOf(name string) string {
	for _, u := range []struct{ suffix, unit string }{
		{"bizra_setting", "that of the setting"}, {"_timestamp_seconds", "Unix seconds"}, {"_start_time_seconds", "Unix seconds"},
		{"_seconds", "seconds"}, {"_bytes", "bytes"}, {"_ratio", "0 to 1"}, {"_percent", "percent"}, {"_blocks", "blocks"},
		{"_info", "1"}, {"_state", "0 or 1"}, {"_up", "0 or 1"}, {"_ready", "0 or 1"},
	} {
		if strings.HasSuffix(strings.TrimSuffix(name, "_total"), u.suffix) {
			return u.unit
		}
	}
	return "count"
}

// golden compares with a file of the repository, or writes it with -update. same
// takes out what may differ.
func golden(t *testing.T, path, got string, same func(string) string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if same(got) != same(string(want)) {
		t.Errorf("%s is stale: run `make generate`. %s", path, firstDifference(same(got), same(string(want))))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("Line %d is\n%s\nnot\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("It has %d lines, not %d", len(g), len(w))
}
