package probes_test

//lint:file-ignore SA1019 The first schema is the one that every Grafana reads; the second needs version 12.

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/probes"
)

// grafanaSchema reads a dashboard with the types that Grafana generates from its
// schema. They return an empty list of mistakes as an error.
func grafanaSchema(data []byte) error {
	var d dashboard.Dashboard
	for _, err := range []error{d.UnmarshalJSONStrict(data), d.Validate()} {
		if list, ok := err.(cog.BuildErrors); err != nil && (!ok || len(list) > 0) {
			return err
		}
	}
	return nil
}

// The dashboard is read with the types that Grafana generates from its own schema,
// which refuse unknown members and break on wrong ones, and holds every panel once.
func TestGrafanaDashboardIsValid(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	data, err := probes.GrafanaDashboard()
	if err != nil {
		t.Fatal(err)
	}
	if err := grafanaSchema(data); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{`"refresh": "5s"`: `"refresh": 5`, `"tags": [`: `"labels": [`, `"legendFormat": `: `"legend": `, `"min": 0`: `"min": "0"`} {
		broken := strings.Replace(string(data), from, to, 1)
		if broken == string(data) || grafanaSchema([]byte(broken)) == nil {
			t.Errorf("%s passes for %s", to, from)
		}
	}
	var raw struct {
		Panels []struct {
			Type, Title string
			GridPos     dashboard.GridPos
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	titles := map[string]string{}
	places := map[dashboard.GridPos]string{}
	p := parser.NewParser(parser.Options{})
	for _, panel := range raw.Panels {
		if other, taken := places[panel.GridPos]; taken {
			t.Errorf("%s lies on %s", panel.Title, other)
		}
		places[panel.GridPos] = panel.Title
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) != 1 {
			t.Fatalf("%s has %d queries", panel.Title, len(panel.Targets))
		}
		expr := panel.Targets[0].Expr
		titles[panel.Title] = expr
		if _, err := p.ParseExpr(strings.ReplaceAll(expr, "$__rate_interval", "20s")); err != nil {
			t.Errorf("%s: %v", panel.Title, err)
		}
		if strings.Contains(expr, "histogram_quantile") && !strings.Contains(expr, "_bucket[") {
			t.Errorf("%s reads native histograms only: %s", panel.Title, expr)
		}
	}
	for _, panel := range probes.Panels() {
		if titles[panel.Title] == "" {
			t.Errorf("%s is not in the dashboard", panel.ID)
		}
	}
	if len(titles) < 11 {
		t.Errorf("only %d panels", len(titles))
	}
	const want = `histogram_quantile(0.5, sum by (provider) (rate(bizra_upstream_request_seconds[$__rate_interval]))) or ` +
		`histogram_quantile(0.5, sum by (provider, le) (rate(bizra_upstream_request_seconds_bucket[$__rate_interval])))`
	if titles["Provider p50"] != want {
		t.Errorf("%s", titles["Provider p50"])
	}
}
