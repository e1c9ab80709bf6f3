package probes

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// quantile is an expression histogram_quantile(rank, of) taken apart.
type quantile struct {
	rank float64
	of   string
}

// quantiles takes those expressions apart of which a quantile of the same thing is
// asked for more than once, such as p50 and p99.
func quantiles(p parser.Parser, exprs []string) map[string]quantile {
	taken, asked := map[string]quantile{}, map[string]int{}
	for _, expr := range exprs {
		ast, err := p.ParseExpr(expr)
		if err != nil {
			continue // who evaluates it is told
		}
		call, ok := ast.(*parser.Call)
		if !ok || call.Func.Name != "histogram_quantile" {
			continue
		}
		rank, ok := call.Args[0].(*parser.NumberLiteral)
		if !ok {
			continue
		}
		q := quantile{rank.Val, call.Args[1].String()}
		taken[expr] = q
		asked[q.of]++
	}
	for expr, q := range taken {
		if asked[q.of] < 2 {
			delete(taken, expr)
		}
	}
	return taken
}

// sharing evaluates at one moment over the node's own histograms, which are native
// ones, and evaluates once what several quantiles are taken of: to add up the
// histograms of ten seconds costs a hundred times what a quantile of the sum does. It
// is for one goroutine.
type sharing struct {
	Evaluator
	quantiles map[string]quantile
	sums      map[string]promql.Vector
}

func (s *sharing) Instant(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	q, ok := s.quantiles[expr]
	if !ok {
		return s.Evaluator.Instant(ctx, expr, at)
	}
	sum, ok := s.sums[q.of]
	if !ok {
		var err error
		if sum, err = s.Evaluator.Instant(ctx, q.of, at); err != nil {
			return nil, err
		}
		s.sums[q.of] = sum
	}
	out := make(promql.Vector, 0, len(sum))
	for _, one := range sum {
		if one.H == nil {
			continue
		}
		v, _ := promql.HistogramQuantile(q.rank, one.H, "", posrange.PositionRange{})
		out = append(out, promql.Sample{T: one.T, F: v, Metric: one.Metric})
	}
	return out, nil
}
