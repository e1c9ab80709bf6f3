package promapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/bizra/bizra-top/probes"
)

// queryData is the answer to a query.
type queryData struct {
	ResultType parser.ValueType `json:"resultType"`
	Result     json.RawMessage  `json:"result"`
	Stats      stats.QueryStats `json:"stats,omitempty"`
}

func (a *API) query(ctx context.Context, r *http.Request) (result, error) {
	limit, err := limitOf(r, maxSeries)
	if err != nil {
		return result{}, err
	}
	at, err := timeOf(r, "time", a.latest())
	if err != nil {
		return result{}, err
	}
	options, err := queryOptions(r)
	if err != nil {
		return result{}, err
	}
	q, err := a.source.Engine.NewInstantQuery(ctx, a.source.Queryable, options, r.Form.Get("query"), at)
	if err != nil {
		return result{}, badParameter("query", err)
	}
	return run(ctx, r, q, limit)
}

// latest is the moment of a query that names none.
func (a *API) latest() time.Time {
	if t := a.source.Latest(); t.UnixMilli() > 0 {
		return t
	}
	return time.Now()
}

func (a *API) queryRange(ctx context.Context, r *http.Request) (result, error) {
	limit, err := limitOf(r, maxSeries)
	if err != nil {
		return result{}, err
	}
	start, err := needed(r, "start")
	if err != nil {
		return result{}, err
	}
	end, err := needed(r, "end")
	if err != nil {
		return result{}, err
	}
	if end.Before(start) {
		return result{}, badParameter("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := durationOf(r, "step")
	if err != nil {
		return result{}, err
	}
	// The engine counts in milliseconds.
	if step < time.Millisecond {
		return result{}, badParameter("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if end.Sub(start)/step > maxSteps {
		return result{}, badData(errors.New("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"))
	}
	options, err := queryOptions(r)
	if err != nil {
		return result{}, err
	}
	// The engine parses once more; it does not show what it parsed.
	expr, err := a.source.Parser.ParseExpr(r.Form.Get("query"))
	if err == nil {
		err = probes.CheckSubqueries(r.Form.Get("query"), expr, end.Sub(start))
	}
	if err != nil {
		return result{}, badParameter("query", err)
	}
	q, err := a.source.Engine.NewRangeQuery(ctx, a.source.Queryable, options, r.Form.Get("query"), start, end, step)
	if err != nil {
		return result{}, badParameter("query", err)
	}
	return run(ctx, r, q, limit)
}

// run evaluates a query and closes it.
func run(ctx context.Context, r *http.Request, q promql.Query, limit int) (result, error) {
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return result{}, failed(res.Err)
	}
	value, cut := truncate(res.Value, limit)
	if n := points(value); n > maxPoints {
		return result{}, failed(fmt.Errorf("the answer has %d points, more than %d: ask with a larger step or for fewer series", n, maxPoints))
	}
	// Encoded before Close, which takes the samples back.
	encoded, err := json.Marshal(value)
	if err != nil {
		return result{}, &failure{http.StatusInternalServerError, "internal", err}
	}
	if bytes.Equal(encoded, []byte("null")) {
		encoded = []byte("[]") // what is empty is a list, too
	}
	out := queryData{ResultType: value.Type(), Result: encoded}
	if r.Form.Get("stats") != "" {
		out.Stats = stats.NewQueryStats(q.Stats())
	}
	warnings, infos := res.Warnings.AsStrings(r.Form.Get("query"), 10, 10)
	if cut {
		warnings = append(warnings, truncated)
	}
	return result{data: out, warnings: warnings, infos: infos}, nil
}

// truncated is Prometheus's warning of an answer that was cut.
const truncated = "results truncated due to limit"

// truncate keeps at most limit series.
func truncate(v parser.Value, limit int) (parser.Value, bool) {
	switch v := v.(type) {
	case promql.Vector:
		return v[:min(len(v), limit)], len(v) > limit
	case promql.Matrix:
		return v[:min(len(v), limit)], len(v) > limit
	}
	return v, false
}

// points counts what an answer holds; a histogram counts by its buckets.
func points(v parser.Value) int {
	n := 0
	switch v := v.(type) {
	case promql.Vector:
		for _, s := range v {
			n++
			if s.H != nil {
				n += len(s.H.PositiveBuckets) + len(s.H.NegativeBuckets)
			}
		}
	case promql.Matrix:
		for _, s := range v {
			n += len(s.Floats)
			for _, h := range s.Histograms {
				n += 1 + len(h.H.PositiveBuckets) + len(h.H.NegativeBuckets)
			}
		}
	}
	return n
}

func (a *API) formatQuery(_ context.Context, r *http.Request) (result, error) {
	text := r.Form.Get("query")
	if len(text) > maxFormatted {
		return result{}, badParameter("query", fmt.Errorf("longer than %d bytes", maxFormatted))
	}
	expr, err := a.source.Parser.ParseExpr(text)
	if err != nil {
		return result{}, badParameter("query", err)
	}
	return result{data: expr.Pretty(0)}, nil
}
