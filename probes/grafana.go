package probes

//lint:file-ignore SA1019 The first schema is the one that every Grafana reads; the second needs version 12.

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/gauge"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"

	"github.com/bizra/bizra-top/node/control"
)

// Size of a panel on Grafana's grid, which is 24 wide.
const (
	grafanaWidth  = 8
	grafanaHeight = 7
)

// grafanaUnits are Grafana's names of units.
var grafanaUnits = map[control.Unit]string{
	control.UnitCount: "short", control.UnitPerSecond: "cps", control.UnitSeconds: "s", control.UnitBytes: "bytes",
	control.UnitRatio: "percentunit", control.UnitBlocks: "short", control.UnitState: "short",
}

// GrafanaDashboard returns the panel catalogue as a Grafana dashboard in JSON,
// with a row for each part. It reads from the Prometheus server that scrapes the
// nodes.
func GrafanaDashboard() ([]byte, error) {
	b := dashboard.NewDashboardBuilder("bizra-top").Uid("bizra-top").Tags([]string{"bizra-top"}).
		Description("Generated from the panels of bizra-top by bizra-top export grafana.").
		Time("now-15m", "now").Refresh("5s").Timezone("browser").Editable().
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"))
	part := ""
	for _, p := range Panels() {
		if p.Part != part {
			part = p.Part
			b.WithRow(dashboard.NewRowBuilder(part))
		}
		panel, err := grafanaPanel(p)
		if err != nil {
			return nil, fmt.Errorf("panel %s: %w", p.ID, err)
		}
		b.WithPanel(panel)
	}
	d, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("build the dashboard: %w", err)
	}
	out, err := json.MarshalIndent(d, "", "  ")
	return append(out, '\n'), err
}

func grafanaPanel(p control.Panel) (cog.Builder[dashboard.Panel], error) {
	expr, err := grafanaExpr(p.Expr)
	if err != nil {
		return nil, err
	}
	kind, source := "prometheus", "${datasource}"
	ref := common.DataSourceRef{Type: &kind, Uid: &source}
	legend := p.Title
	if p.Legend != "" {
		legend = "{{" + p.Legend + "}}"
	}
	query := prometheus.NewDataqueryBuilder().RefId("A").Datasource(ref).Expr(expr).LegendFormat(legend)
	unit := grafanaUnits[p.Unit]
	switch p.Shape {
	case control.ShapeGauge:
		return gauge.NewPanelBuilder().Title(p.Title).Description(p.Doc).Datasource(ref).WithTarget(query).
			Unit(unit).Min(0).Max(1).Span(grafanaWidth).Height(grafanaHeight), nil
	case control.ShapeNumber:
		return stat.NewPanelBuilder().Title(p.Title).Description(p.Doc).Datasource(ref).WithTarget(query).
			Unit(unit).Span(grafanaWidth).Height(grafanaHeight), nil
	}
	return timeseries.NewPanelBuilder().Title(p.Title).Description(p.Doc).Datasource(ref).WithTarget(query).
		Unit(unit).Min(0).Span(grafanaWidth).Height(grafanaHeight), nil
}

// window is the range of a rate; the catalogue's fit samples once a second.
var window = regexp.MustCompile(`\[\d+s\]`)

// grafanaExpr makes a panel's expression fit any Prometheus: rates look back as
// far as its scrape interval asks for, and a quantile also reads the classic
// buckets of a server that does not keep native histograms.
func grafanaExpr(expr string) (string, error) {
	classic, err := classicQuantile(expr)
	if err != nil {
		return "", err
	}
	if classic != nil {
		expr += " or " + classic.String()
	}
	return window.ReplaceAllString(expr, "[$$__rate_interval]"), nil
}
