package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/alerts"
)

// The files in testdata/export are what export prints; `make generate` rewrites
// them, and CI fails where a panel or rule changed without them.
func TestExportsAreUpToDate(t *testing.T) {
	for file, args := range map[string][]string{
		"grafana.json":      {"export", "grafana"},
		"rules.yaml":        {"export", "rules"},
		"prometheus.yaml":   {"export", "prometheus", "--rules", "rules.yaml", "--nodes", "10.0.0.1:3000,10.0.0.2:3000", "--alertmanager", "127.0.0.1:9093"},
		"alertmanager.yaml": {"export", "alertmanager", "--webhook", "https://hooks.example.com/alerts"},
		"bizra-top.service": {"export", "systemd"},
		"bizra-top.socket":  {"export", "systemd", "--socket-unit"},
		"kubernetes.yaml":   {"export", "kubernetes", "--image", "registry.example.com/bizra-top:1.0.0"},
	} {
		got, err := execute(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata/export", file)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is stale: run `make generate`", path)
		}
	}
}

func TestExportedRulesAreAllRules(t *testing.T) {
	out, err := execute(t, "export", "rules")
	if err != nil {
		t.Fatal(err)
	}
	count := func(data []byte) (n int) {
		groups, errs := rulefmt.Parse(data, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		for _, g := range groups.Groups {
			n += len(g.Rules)
		}
		return n
	}
	want := 0
	for _, data := range alerts.Shipped() {
		want += count(data)
	}
	if got := count([]byte(out)); got != want || got < 30 {
		t.Errorf("%d rules, want %d", got, want)
	}
}

func TestExportedPrometheusConfigScrapesTheNodes(t *testing.T) {
	out, err := execute(t, "export", "prometheus", "--nodes", "[::1]:3000,b.example:3001")
	if err != nil {
		t.Fatal(err)
	}
	c, err := promconfig.Load(out, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.ScrapeConfigs) != 1 || c.ScrapeConfigs[0].MetricsPath != "/metrics" || len(c.RuleFiles) != 1 || len(c.AlertingConfig.AlertmanagerConfigs) != 0 {
		t.Errorf("%s", out)
	}
	if !strings.Contains(out, `["[::1]:3000", "b.example:3001"]`) {
		t.Errorf("%s", out)
	}
}

func TestExportRefusesWhatDoesNotFit(t *testing.T) {
	for _, args := range [][]string{
		{"prometheus", "--nodes", "http://a"}, {"prometheus", "--alertmanager", "a"}, {"alertmanager", "--webhook", "ftp://a/b"}, {"rules", "more"},
		{"systemd", "--binary", "bizra-top"}, {"systemd", "--binary", "/a b"}, {"systemd", "--socket-unit", "--api", "3000"},
		{"kubernetes", "--image", "a b"}, {"kubernetes", "--image", "a: b"}, {"kubernetes", "--replicas", "-1"},
	} {
		if out, err := execute(t, append([]string{"export"}, args...)...); err == nil {
			t.Errorf("%v printed %s", args, out)
		}
	}
}
