package promapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// The ends of time that clients ask for when they want all, as in Prometheus.
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()
	maxEnd  = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC()
)

// timeOf reads a parameter of Unix seconds or RFC 3339; empty is def.
func timeOf(r *http.Request, name string, def time.Time) (time.Time, error) {
	text := r.Form.Get(name)
	if text == "" {
		return def, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) <= math.MaxInt64/1000 {
		whole, part := math.Modf(seconds)
		return time.Unix(int64(whole), int64(math.Round(part*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	// time.Parse knows years of four digits only.
	switch text {
	case minTime.Format(time.RFC3339Nano):
		return minTime, nil
	case maxEnd.Format(time.RFC3339Nano):
		return maxEnd, nil
	}
	return time.Time{}, badParameter(name, fmt.Errorf("cannot parse %q to a valid timestamp", text))
}

// needed is timeOf for a parameter that must be there.
func needed(r *http.Request, name string) (time.Time, error) {
	if r.Form.Get(name) == "" {
		return time.Time{}, badParameter(name, errors.New(`cannot parse "" to a valid timestamp`))
	}
	return timeOf(r, name, time.Time{})
}

// durationOf reads a parameter of seconds or of PromQL's durations.
func durationOf(r *http.Request, name string) (time.Duration, error) {
	text := r.Form.Get(name)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if ns := seconds * float64(time.Second); math.Abs(ns) < math.MaxInt64 {
			return time.Duration(ns), nil
		}
		return 0, badParameter(name, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", text))
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, badParameter(name, fmt.Errorf("cannot parse %q to a valid duration", text))
	}
	return time.Duration(d), nil
}

// timeoutOf is how long the request may take.
func timeoutOf(r *http.Request) (time.Duration, error) {
	if r.Form.Get("timeout") == "" {
		return maxTime, nil
	}
	d, err := durationOf(r, "timeout")
	return min(d, maxTime), err
}

// limitOf is how many entries an answer may hold: what the client asks for, and bound
// at most.
func limitOf(r *http.Request, bound int) (int, error) {
	text := r.Form.Get("limit")
	if text == "" {
		return bound, nil
	}
	n, err := strconv.Atoi(text)
	if err == nil && n < 0 {
		err = errors.New("limit must be non-negative")
	}
	if err != nil {
		return 0, badParameter("limit", err)
	}
	if n == 0 {
		return bound, nil
	}
	return min(n, bound), nil
}

// matchersOf reads match[]: sets of matchers, each of which excludes something.
func (a *API) matchersOf(r *http.Request) ([][]*labels.Matcher, error) {
	texts := r.Form["match[]"]
	if len(texts) > maxMatchers {
		return nil, badParameter("match[]", fmt.Errorf("more than %d of them", maxMatchers))
	}
	sets, err := a.source.Parser.ParseMetricSelectors(texts)
	if err != nil {
		return nil, badParameter("match[]", err)
	}
	for _, set := range sets {
		selective := false
		for _, m := range set {
			selective = selective || !m.Matches("")
		}
		if !selective {
			return nil, badParameter("match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
	}
	return sets, nil
}

// span reads start and end, each open when it is not given.
func span(r *http.Request) (from, to int64, err error) {
	start, err := timeOf(r, "start", minTime)
	if err != nil {
		return 0, 0, err
	}
	end, err := timeOf(r, "end", maxEnd)
	return start.UnixMilli(), end.UnixMilli(), err
}

// queryOptions reads what a query may ask for besides its expression.
func queryOptions(r *http.Request) (promql.QueryOpts, error) {
	if r.Form.Get("lookback_delta") == "" {
		return promql.NewPrometheusQueryOpts(false, 0), nil
	}
	d, err := durationOf(r, "lookback_delta")
	return promql.NewPrometheusQueryOpts(false, d), err
}
