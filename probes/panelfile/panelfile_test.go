package panelfile_test

import (
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/probes/panelfile"
)

const whole = `
views:
  - name: rollup
    panels:
      - title: Reorganisations
        expr: rate(bizra_upstream_reorgs_total[5m])
        unit: per_second
        shape: spark
        legend: provider
      - title: One
        expr: 1
  - name: disk
    panels:
      - title: Commits
        expr: |
          histogram_quantile(0.99,
            sum(rate(bizra_ledger_commit_seconds[1m])))
        unit: seconds
        shape: table
`

func TestParse(t *testing.T) {
	views, err := panelfile.Parse("panels.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if len(views) != 2 || views[0].Name != "rollup" || len(views[0].Panels) != 2 || views[1].Name != "disk" {
		t.Fatalf("%+v", views)
	}
	want := control.Panel{ID: "own/1/1", Title: "Reorganisations", Part: "own", Expr: "rate(bizra_upstream_reorgs_total[5m])",
		Unit: control.UnitPerSecond, Shape: control.ShapeSpark, Legend: "provider"}
	if got := views[0].Panels[0]; got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
	if got := views[0].Panels[1]; got.Unit != control.UnitCount || got.Shape != control.ShapeChart || got.Expr != "1" {
		t.Errorf("without unit and shape: %+v", got)
	}
	if got := views[1].Panels[0].Expr; !strings.HasPrefix(got, "histogram_quantile(0.99,\n") {
		t.Errorf("over two lines: %q", got)
	}
}

// Every mistake is told with its line and column.
func TestParseTellsWhere(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(whole, from, to, 1) }
	panels := func(n int) string {
		return "views:\n  - name: a\n    panels:\n" + strings.Repeat("      - {title: x, expr: up}\n", n)
	}
	for name, c := range map[string]struct{ file, want string }{
		"empty":           {"", "p.yaml:1:1: want one document"},
		"no YAML":         {"views: [", "p.yaml:1:"},
		"a list":          {"- a", "p.yaml:1:1: want views"},
		"no views":        {"views: 3", "p.yaml:1:8: views: want a list"},
		"unknown key":     {change("shape: spark", "shaep: spark"), "p.yaml:8:9: shaep: no such key; there are expr, legend, shape, title, unit"},
		"unknown shape":   {change("shape: spark", "shape: pie"), `p.yaml:8:16: shape: "pie" is none of chart, spark, gauge, number, table`},
		"unknown unit":    {change("unit: per_second", "unit: furlongs"), `p.yaml:7:15: unit: "furlongs" is none of`},
		"no title":        {change("title: One\n        expr: 1", "expr: 1"), "title is missing"},
		"no expr":         {change("        expr: 1\n", ""), "expr is missing"},
		"empty title":     {change("title: One", `title: ""`), "p.yaml:10:16: title: empty"},
		"broken PromQL":   {change("expr: 1", "expr: sum(("), "p.yaml:11:15: expr: 1:"},
		"a matrix":        {change("expr: 1", "expr: up[5m]"), "p.yaml:11:15: expr: gives a range vector"},
		"a string":        {change("expr: 1", `expr: '"x"'`), "p.yaml:11:15: expr: gives a string"},
		"many steps":      {change("expr: 1", "expr: max_over_time(up[90d:1s])"), "p.yaml:11:15: expr:"},
		"long expression": {change("expr: 1", "expr: "+strings.Repeat("1+", 1000)+"1"), "p.yaml:11:15: expr: 2001 bytes"},
		"same name":       {change("name: disk", "name: rollup"), `there are two views "rollup"`},
		"null":            {change("title: One", "title:"), "title: want text"},
		"alias":           {"a: &a [*a]\nviews: *a", "p.yaml:1:1: a: no such key"},
		"alias as views":  {"views: &a\n  - *a", "p.yaml:"},
		"twice":           {change("unit: per_second", "title: again"), "p.yaml:7:"},
		"many panels":     {panels(panelfile.MaxPanels + 1), "p.yaml:16:"},
		"many views":      {"views:\n" + strings.Repeat("  - {name: x, panels: [{title: x, expr: up}]}\n", 1) + strings.Repeat("  - 1\n", 1), "p.yaml:3:5: want name, panels"},
		"long":            {"#" + strings.Repeat("x", panelfile.MaxFile), "p.yaml:1:1: 65537 bytes"},
	} {
		_, err := panelfile.Parse("p.yaml", []byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v; want %q", name, err, c.want)
		}
	}
	if _, err := panelfile.Parse("p.yaml", []byte(panels(panelfile.MaxPanels))); err != nil {
		t.Errorf("as many panels as may be: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{whole, "", "views: [", "views: [{name: x, panels: [{title: \"\\e[31m\", expr: up}]}]", "a: &a [*a]\nviews: *a", "views: !!binary x", "? {a: b}\n: c", "---\n---\n", "views:\n  <<: *x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		views, err := panelfile.Parse("p.yaml", []byte(data))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "p.yaml:") || strings.ContainsAny(err.Error(), "\x1b\n\r\x00") {
				t.Errorf("an error that is no safe line with a place: %q", err)
			}
			return
		}
		if len(views) == 0 || len(views) > panelfile.MaxViews {
			t.Fatalf("%d views", len(views))
		}
		for _, v := range views {
			if v.Name == "" || len(v.Panels) == 0 || len(v.Panels) > panelfile.MaxPanels || strings.ContainsRune(v.Name, '\x1b') {
				t.Errorf("taken for a view: %+v", v)
			}
			for _, p := range v.Panels {
				if p.ID == "" || p.Title == "" || p.Expr == "" || strings.ContainsAny(p.Title+p.Legend, "\x1b\n\u009b") {
					t.Errorf("taken for a panel: %+v", p)
				}
			}
		}
	})
}
