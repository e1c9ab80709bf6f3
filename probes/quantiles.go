package probes

import (
	"context"
	"maps"
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

// sharing evaluates, at one moment or over one span, the node's own histograms, which
// are native ones, and evaluates once what several quantiles are taken of: to add up
// the histograms of ten seconds costs a hundred times what a quantile of the sum does.
// It is for one goroutine, and for one look.
type sharing struct {
	*History
	quantiles map[string]quantile
	sums      map[string]promql.Vector
	over      map[string][]promql.Series // of each expression of quantiles, once it is known
}

func (s *sharing) Instant(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	q, ok := s.quantiles[expr]
	if !ok {
		return s.History.Instant(ctx, expr, at)
	}
	sum, ok := s.sums[q.of]
	if !ok {
		var err error
		if sum, err = s.History.Instant(ctx, q.of, at); err != nil {
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

func (s *sharing) Range(ctx context.Context, expr string, start, end time.Time, step time.Duration, visit func(promql.Series)) error {
	q, ok := s.quantiles[expr]
	if !ok {
		return s.History.Range(ctx, expr, start, end, step, visit)
	}
	if _, known := s.over[expr]; !known {
		if err := s.rangeOf(ctx, q.of, start, end, step); err != nil {
			return err
		}
	}
	for _, one := range s.over[expr] {
		visit(one)
	}
	return nil
}

// rangeOf takes all quantiles of what one expression is over time.
func (s *sharing) rangeOf(ctx context.Context, of string, start, end time.Time, step time.Duration) error {
	out := map[string][]promql.Series{}
	for expr, q := range s.quantiles {
		if q.of == of {
			out[expr] = nil
		}
	}
	err := s.History.Range(ctx, of, start, end, step, func(sum promql.Series) {
		for expr := range out {
			one := promql.Series{Metric: sum.Metric, Floats: make([]promql.FPoint, 0, len(sum.Histograms))}
			for _, p := range sum.Histograms {
				v, _ := promql.HistogramQuantile(s.quantiles[expr].rank, p.H, "", posrange.PositionRange{})
				one.Floats = append(one.Floats, promql.FPoint{T: p.T, F: v})
			}
			if len(one.Floats) > 0 {
				out[expr] = append(out[expr], one)
			}
		}
	})
	if err == nil {
		maps.Copy(s.over, out)
	}
	return err
}
