package load

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Objective is a bound that a load has to keep: "p99=80ms".
type Objective struct {
	Name  string
	Bound float64 // seconds, a ratio, or requests a second
	text  string
}

// latencies are the names of objectives that bound a latency from above.
var latencies = map[string]func(Latency) float64{
	"mean": func(l Latency) float64 { return l.Mean }, "p50": func(l Latency) float64 { return l.P50 },
	"p90": func(l Latency) float64 { return l.P90 }, "p95": func(l Latency) float64 { return l.P95 },
	"p99": func(l Latency) float64 { return l.P99 }, "p99.9": func(l Latency) float64 { return l.P999 },
	"max": func(l Latency) float64 { return l.Max },
}

// ParseObjectives reads NAME=BOUND,…: "p99=80ms,errors=1%,rate=3500". Latencies and
// the share of errors are bounded from above, the rate of good answers from below.
func ParseObjectives(text string) ([]Objective, error) {
	var out []Objective
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		name, bound, found := strings.Cut(part, "=")
		o, err := Objective{Name: name, text: part}, error(nil)
		switch _, latency := latencies[name]; {
		case !found:
			err = fmt.Errorf("it has no bound")
		case latency:
			var d time.Duration
			d, err = time.ParseDuration(bound)
			o.Bound = d.Seconds()
		case name == "errors":
			share, percent := strings.CutSuffix(bound, "%")
			if o.Bound, err = strconv.ParseFloat(share, 64); percent {
				o.Bound /= 100
			}
		case name == "rate":
			o.Bound, err = strconv.ParseFloat(bound, 64)
		default:
			names := slices.Sorted(maps.Keys(latencies))
			err = fmt.Errorf("there are errors, rate, %s", strings.Join(names, ", "))
		}
		if err == nil && !(o.Bound >= 0) {
			err = fmt.Errorf("a bound cannot be below 0")
		}
		if err != nil {
			return nil, fmt.Errorf("%.40q is no objective such as p99=80ms, errors=1%% or rate=3500: %w", part, err)
		}
		out = append(out, o)
	}
	return out, nil
}

// Check returns what the report has instead, as text, and whether that keeps the
// objective. A load without a single answer keeps none.
func (o Objective) Check(r Report) (measured string, kept bool) {
	none := r.Requests == 0
	switch o.Name {
	case "errors":
		return fmt.Sprintf("%.2f%%", 100*r.ErrorRatio), !none && r.ErrorRatio <= o.Bound
	case "rate":
		return fmt.Sprintf("%.0f/s", r.Rate), !none && r.Rate >= o.Bound
	}
	v := latencies[o.Name](r.Latency)
	return FormatSeconds(v), !none && v <= o.Bound
}

func (o Objective) String() string { return o.text }

// FormatSeconds writes a latency with three digits.
func FormatSeconds(s float64) string {
	switch {
	case s >= 1:
		return strconv.FormatFloat(s, 'f', 2, 64) + "s"
	case s >= 0.1:
		return strconv.FormatFloat(s*1e3, 'f', 0, 64) + "ms"
	case s >= 0.01:
		return strconv.FormatFloat(s*1e3, 'f', 1, 64) + "ms"
	case s >= 0.001:
		return strconv.FormatFloat(s*1e3, 'f', 2, 64) + "ms"
	}
	return strconv.FormatFloat(s*1e6, 'f', 0, 64) + "us"
}
