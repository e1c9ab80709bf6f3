package probes_test

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/probes"
)

func TestRewriteFitsAServerOfManyNodes(t *testing.T) {
	node := labels.MustNewMatcher(labels.MatchEqual, "instance", `a"b{}`)
	for _, c := range []struct {
		expr   string
		scrape time.Duration
		want   string
	}{
		{`up`, 0, `up{instance="a\"b{}"}`},
		{`sum(rate(x_total{l="[10s]"}[10s])) / (y or vector(0))`, time.Second,
			`sum(rate(x_total{instance="a\"b{}",l="[10s]"}[10s])) / (y{instance="a\"b{}"} or vector(0))`},
		{`rate(x_total[10s])`, 15 * time.Second, `rate(x_total{instance="a\"b{}"}[1m])`},
		{`{__name__=~"a|b"}`, 0, `{__name__=~"a|b",instance="a\"b{}"}`},
		{`histogram_quantile(0.9, sum by (p) (rate(h_seconds[10s])))`, 5 * time.Second,
			`histogram_quantile(0.9, sum by (p) (rate(h_seconds{instance="a\"b{}"}[20s]))) or histogram_quantile(0.9, sum by (p, le) (rate(h_seconds_bucket{instance="a\"b{}"}[20s])))`},
	} {
		got, err := probes.Rewrite(c.expr, node, c.scrape)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.expr, err, got, c.want)
		}
	}
	if _, err := probes.Rewrite("sum(", node, 0); err == nil {
		t.Error("a broken expression passes")
	}
}

// Every panel keeps its meaning: it parses, and no selector is without the node.
func TestRewriteOfEveryPanelSelectsTheNode(t *testing.T) {
	node := labels.MustNewMatcher(labels.MatchEqual, "instance", "a")
	for _, p := range probes.Panels() {
		text, err := probes.Rewrite(p.Expr, node, 15*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", p.ID, err)
		}
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil {
			t.Fatalf("%s: %v", p.ID, err)
		}
		for _, selector := range parser.ExtractSelectors(expr) {
			if !slices.ContainsFunc(selector, func(m *labels.Matcher) bool { return m.String() == node.String() }) {
				t.Errorf("%s: %s without the node", p.ID, selector)
			}
		}
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if m, ok := n.(*parser.MatrixSelector); ok && m.Range < time.Minute {
				t.Errorf("%s looks back %s over scrapes 15 s apart", p.ID, m.Range)
			}
			return nil
		})
	}
}

func TestSubqueriesAreBounded(t *testing.T) {
	for _, c := range []struct {
		expr string
		over time.Duration
		ok   bool
	}{
		{"max_over_time(up[1h:1s])", 0, true}, {"max_over_time(up[1d:])", 24 * time.Hour, true},
		{"max_over_time(up[100y:1ms])", 0, false}, {"max_over_time(up[1m:1ms])", time.Hour, false},
		{"1 + sum(max_over_time(rate(up[1m])[290y:1s]))", 0, false}, {"max_over_time(max_over_time(up[1m:1s])[200d:1m])", 0, false},
		{"max_over_time(up[290y:1m])", 290 * 365 * 24 * time.Hour, false},
	} {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		if err := probes.CheckSubqueries(c.expr, expr, c.over); (err == nil) != c.ok {
			t.Errorf("%s over %s: %v", c.expr, c.over, err)
		}
	}
}
