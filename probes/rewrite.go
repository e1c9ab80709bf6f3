package probes

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// scrapesOfARate is how many scrapes a rate looks back over at least: with four it
// still has two samples after one scrape has failed.
const scrapesOfARate = 4

// Rewrite makes an expression over one node's own samples fit a Prometheus server
// that scrapes several: every selector takes the matcher, every range looks back
// over a few scrapes at least, and a quantile also reads the classic buckets of a
// server that does not keep native histograms.
func Rewrite(expr string, node *labels.Matcher, scrape time.Duration) (string, error) {
	ast, err := ParseExpr(expr)
	if err != nil {
		return "", err
	}
	classic, err := classicQuantile(expr)
	if err != nil {
		return "", err
	}
	fit(ast, node, scrape)
	if classic == nil {
		return ast.String(), nil
	}
	fit(classic, node, scrape)
	return ast.String() + " or " + classic.String(), nil
}

func fit(ast parser.Expr, node *labels.Matcher, scrape time.Duration) {
	parser.Inspect(ast, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			n.LabelMatchers = append(n.LabelMatchers, node)
		case *parser.MatrixSelector:
			n.Range = max(n.Range, scrapesOfARate*scrape)
		}
		return nil
	})
}

// classicQuantile returns the form of a quantile of a native histogram that reads
// classic buckets, and nil for what is no quantile.
func classicQuantile(expr string) (parser.Expr, error) {
	ast, err := ParseExpr(expr)
	if err != nil {
		return nil, err
	}
	quantile, ok := ast.(*parser.Call)
	if !ok || quantile.Func.Name != "histogram_quantile" {
		return nil, nil
	}
	parser.Inspect(quantile, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			n.Grouping = append(n.Grouping, "le")
		case *parser.VectorSelector:
			n.Name += "_bucket"
			for i, m := range n.LabelMatchers {
				if m.Name == model.MetricNameLabel {
					n.LabelMatchers[i] = labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, n.Name)
				}
			}
		}
		return nil
	})
	return quantile, nil
}
