package probes

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

const (
	// minLookback is for how long the last sample of a series speaks for it, at
	// least.
	minLookback = 5 * time.Second
	// samplesInRange is how many samples a range must have room for: a rate needs
	// two of them, also when they do not come on time.
	samplesInRange = 4
)

// engine evaluates PromQL over samples that are further apart the older they are.
// A range shorter than a few of them is widened, and the last sample speaks for
// longer, so that an expression written for one-second samples, as those of the
// panels are, has an answer at any moment.
type engine struct {
	*promql.Engine
	history *History
}

// NewInstantQuery implements promql.QueryEngine.
func (e *engine) NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, expr string, at time.Time) (promql.Query, error) {
	expr, opts, err := e.fit(expr, opts, at, at)
	if err != nil {
		return nil, err
	}
	return e.Engine.NewInstantQuery(ctx, q, opts, expr, at)
}

// NewRangeQuery implements promql.QueryEngine.
func (e *engine) NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, expr string, start, end time.Time, step time.Duration) (promql.Query, error) {
	expr, opts, err := e.fit(expr, opts, start, end)
	if err != nil {
		return nil, err
	}
	return e.Engine.NewRangeQuery(ctx, q, opts, expr, start, end, step)
}

// fit makes an expression fit the resolution of what it reads.
func (e *engine) fit(expr string, opts promql.QueryOpts, start, end time.Time) (string, promql.QueryOpts, error) {
	const ranges = samplesInRange * time.Second // of one second apart: no panel has shorter ones
	if fine := e.history.resolution(start.UnixMilli()); samplesInRange*fine <= ranges &&
		!strings.Contains(expr, "offset") && !strings.Contains(expr, "@") && !strings.Contains(expr, alertsPrefix) && !strings.Contains(expr, ":") {
		return expr, opts, nil
	}
	parsed, err := e.history.parser.ParseExpr(expr)
	if err != nil {
		return "", nil, err
	}
	coarsest := e.history.writtenEvery(parsed)
	widen(parsed, start, end, func(at time.Time) time.Duration {
		resolution := e.history.resolution(at.UnixMilli())
		coarsest = max(coarsest, resolution)
		return samplesInRange * resolution
	})
	lookback := max(minLookback, coarsest*5/2)
	perStep := false
	if opts != nil {
		lookback, perStep = max(lookback, opts.LookbackDelta()), opts.EnablePerStepStats()
	}
	return parsed.String(), promql.NewPrometheusQueryOpts(perStep, lookback), nil
}

// alertsPrefix begins the names of the two metrics that alerting rules write.
const alertsPrefix = "ALERTS"

// writtenEvery returns how far apart the samples are of what an expression reads that
// rules write: [History.RulesEvery]. A rule's name has a colon in it by convention, and
// no other metric has.
func (h *History) writtenEvery(expr parser.Expr) time.Duration {
	apart := time.Duration(0)
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		for _, m := range v.LabelMatchers {
			switch {
			case m.Name != model.MetricNameLabel:
			case strings.Contains(m.Value, alertsPrefix):
				apart = max(apart, time.Duration(h.alertsEvery.Load()))
			case strings.Contains(m.Value, ":"):
				apart = max(apart, time.Duration(h.recordsEvery.Load()))
			}
		}
		return nil
	})
	return apart
}

// widen makes every range of an expression at least as long as atLeast says for
// the earliest moment that the range ends at; start and end are those of the query.
func widen(expr parser.Expr, start, end time.Time, atLeast func(at time.Time) time.Duration) {
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		at := start
		for _, above := range path {
			if s, ok := above.(*parser.SubqueryExpr); ok {
				at = moved(at, start, end, s.Timestamp, s.StartOrEnd).Add(-s.OriginalOffset - s.Range)
			}
		}
		at = moved(at, start, end, v.Timestamp, v.StartOrEnd).Add(-v.OriginalOffset)
		need := atLeast(at)
		if len(path) > 0 {
			if m, ok := path[len(path)-1].(*parser.MatrixSelector); ok {
				m.Range = max(m.Range, need)
			}
		}
		return nil
	})
}

// moved returns the moment that an @ modifier names, or at where there is none.
func moved(at, start, end time.Time, timestamp *int64, startOrEnd parser.ItemType) time.Time {
	switch {
	case timestamp != nil:
		return time.UnixMilli(*timestamp)
	case startOrEnd == parser.START:
		return start
	case startOrEnd == parser.END:
		return end
	}
	return at
}
