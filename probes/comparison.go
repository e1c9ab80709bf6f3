package probes

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

// Sides returns what the condition of a rule compares: the first comparison's two
// sides. The second is empty where nothing is compared.
func Sides(condition string) (value, threshold string, err error) {
	expr, err := ParseExpr(condition)
	if err != nil {
		return "", "", fmt.Errorf("read the condition %q: %w", condition, err)
	}
	if b := firstComparison(expr); b != nil {
		return b.LHS.String(), b.RHS.String(), nil
	}
	return expr.String(), "", nil
}

// firstComparison looks through parentheses, and, or and unless.
func firstComparison(expr parser.Expr) *parser.BinaryExpr {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return firstComparison(e.Expr)
	case *parser.BinaryExpr:
		if e.Op.IsComparisonOperator() {
			return e
		}
		if e.Op.IsSetOperator() {
			if b := firstComparison(e.LHS); b != nil {
				return b
			}
			return firstComparison(e.RHS)
		}
	}
	return nil
}

// ComparisonBetween returns both sides of a rule's condition over time.
func ComparisonBetween(ctx context.Context, e RangeEvaluator, condition string, start, end time.Time, step time.Duration) (control.Comparison, error) {
	value, threshold, err := Sides(condition)
	if err != nil {
		return control.Comparison{}, err
	}
	c := control.Comparison{Values: []control.Series{}, Thresholds: []control.Series{}}
	for into, expr := range map[*[]control.Series]string{&c.Values: value, &c.Thresholds: threshold} {
		if expr == "" {
			continue
		}
		err := e.Range(ctx, expr, start, end, step, func(s promql.Series) {
			if len(*into) >= maxPanelSeries {
				return
			}
			series := control.Series{Label: seriesLabel(s.Metric), Points: make([]control.Point, 0, len(s.Floats))}
			for _, f := range s.Floats {
				series.Points = append(series.Points, control.Point{T: f.T, V: control.Number(f.F)})
			}
			*into = append(*into, series)
		})
		if err != nil {
			return control.Comparison{}, err
		}
	}
	return c, nil
}

// seriesLabel writes the labels that tell series apart as name=value, in their order.
func seriesLabel(l labels.Labels) string {
	out := ""
	l.Range(func(one labels.Label) {
		if one.Name == model.MetricNameLabel {
			return
		}
		if out != "" {
			out += " "
		}
		out += one.Name + "=" + one.Value
	})
	return printable.Clean(out, maxLabel)
}
