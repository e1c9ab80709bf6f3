package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/term"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes"
	"github.com/bizra/bizra-top/probes/remote"
)

// query is what the command asks for and how it answers.
type query struct {
	over, step time.Duration
	at         string
	json, csv  bool
	prometheus string
}

// Bounds of what is printed.
const (
	maxQueryWait  = 15 * time.Second
	maxQueryLabel = 200
	maxQuerySteps = 11000
)

func queryCommand(o *options) *cobra.Command {
	var q query
	cmd := &cobra.Command{
		Use:   "query EXPR",
		Short: "Evaluate PromQL over the history of the running node",
		Long: `query evaluates a PromQL expression over the samples that the running node keeps,
or those of a Prometheus server, and prints a table; with --range, on a terminal, a
chart. Metrics are named in GET /metrics.`,
		Example: `bizra-top query 'sum by (provider) (rate(bizra_upstream_requests_total[1m]))'
bizra-top query 'bizra_db_pool_in_use' --range 1h --step 10s
bizra-top query 'bizra_setting{key="pool.limit"}' --at -2h
bizra-top query 'bizra_upstream_up' --at 2026-01-31T03:00:00Z --json
bizra-top query 'up' --prometheus http://prometheus:9090`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			return completeMetrics(cmd.Context(), o, &q, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), maxQueryWait)
			defer cancel()
			err := q.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr(), o, args[0])
			return explain(args[0], err)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&q.over, "range", 0, "evaluate over this span of time, up to the moment of --at")
	f.DurationVar(&q.step, "step", 0, "with --range: time between two points (default a two hundredth of it, at least 1s)")
	f.StringVar(&q.at, "at", "", "moment in the past: a time, Unix seconds or a span such as -1h30m (default now)")
	f.StringVar(&q.at, "time", "", "the same as --at")
	f.BoolVar(&q.json, "json", false, "print JSON as the Prometheus HTTP API does")
	f.BoolVar(&q.csv, "csv", false, "print comma-separated values")
	f.StringVar(&q.prometheus, "prometheus", "", "ask the Prometheus server at this URL")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	cmd.MarkFlagsMutuallyExclusive("at", "time")
	return cmd
}

func (q *query) server(o *options) (*remote.Server, error) {
	if q.prometheus != "" {
		return remote.Dial(q.prometheus)
	}
	return remote.OverSocket(o.socketPath())
}

func (q *query) run(ctx context.Context, out, notes io.Writer, o *options, expr string) error {
	// Mistakes are told here, before anyone is asked; another server may know more of
	// PromQL than this binary.
	if q.prometheus == "" {
		ast, err := probes.ParseExpr(expr)
		if err == nil {
			err = probes.CheckSubqueries(expr, ast, q.over)
		}
		if err != nil {
			return err
		}
	}
	at, err := parseMoment(q.at, time.Now())
	if err != nil {
		return err
	}
	server, err := q.server(o)
	if err != nil {
		return err
	}
	defer server.Close()
	var value model.Value
	var warnings []string
	if q.over == 0 {
		if q.step != 0 {
			return errors.New("--step goes with --range")
		}
		value, warnings, err = server.Query(ctx, expr, at)
	} else {
		if q.step == 0 {
			q.step = max(q.over/200, time.Second).Round(time.Second)
		}
		if q.over < 0 || q.step < time.Millisecond || q.over/q.step > maxQuerySteps {
			return fmt.Errorf("--range and --step must make 1 to %d steps", maxQuerySteps)
		}
		if at.IsZero() {
			at = time.Now()
		}
		value, warnings, err = server.QueryRange(ctx, expr, at.Add(-q.over), at, q.step)
	}
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(notes, "warning:", printable.Clean(w, maxErrorLine))
	}
	return q.print(out, value)
}

// parseMoment reads a time, Unix seconds, or a span before now; "" is the zero time.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := model.ParseDuration(strings.TrimPrefix(text, "-")); err == nil && strings.HasPrefix(text, "-") {
		return now.Add(-time.Duration(d)), nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no moment such as 2026-01-31T03:00:00Z, 1769828400 or -1h30m", text)
}

// explain points at the place of a mistake in the expression.
func explain(expr string, err error) error {
	var list parser.ParseErrors
	var mistake *parser.ParseErr
	if errors.As(err, &list) && len(list) > 0 {
		mistake = &list[0]
	} else if !errors.As(err, &mistake) {
		return err
	}
	start := min(max(int(mistake.PositionRange.Start), 0), len(expr))
	return fmt.Errorf("column %d, at ▸: %w\n%s▸%s", 1+utf8.RuneCountInString(expr[:start]), mistake.Err, expr[:start], expr[start:])
}

func (q *query) print(out io.Writer, v model.Value) error {
	switch {
	case q.json:
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"resultType": v.Type().String(), "result": v})
	case q.csv:
		return printCSV(out, v)
	}
	if m, ok := v.(model.Matrix); ok && q.over > 0 && isTerminal(out) {
		return printChart(out, m, columns(out), rowsOf(out), os.Getenv("NO_COLOR") == "")
	}
	return printSeries(out, v)
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(f.Fd())
}

func rowsOf(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if _, h, err := term.GetSize(f.Fd()); err == nil && h > 0 {
			return h
		}
	}
	return 24
}

// point is one printed sample.
type point struct {
	metric model.Metric
	at     model.Time
	value  string
}

// points returns every sample of a value, in the order they are printed in.
func points(v model.Value) []point {
	var out []point
	switch v := v.(type) {
	case *model.Scalar:
		out = append(out, point{nil, v.Timestamp, v.Value.String()})
	case *model.String:
		out = append(out, point{nil, v.Timestamp, printable.Clean(v.Value, maxErrorLine)})
	case model.Vector:
		for _, s := range v {
			if s.Histogram != nil {
				out = append(out, point{s.Metric, s.Timestamp, histogramText(s.Histogram)})
				continue
			}
			out = append(out, point{s.Metric, s.Timestamp, numberText(float64(s.Value))})
		}
	case model.Matrix:
		for _, s := range v {
			for _, p := range s.Values {
				out = append(out, point{s.Metric, p.Timestamp, numberText(float64(p.Value))})
			}
			for _, p := range s.Histograms {
				out = append(out, point{s.Metric, p.Timestamp, histogramText(p.Histogram)})
			}
		}
	}
	return out
}

func histogramText(h *model.SampleHistogram) string {
	return fmt.Sprintf("histogram of %s with sum %s", numberText(float64(h.Count)), numberText(float64(h.Sum)))
}

// numberText writes a number in full, without an exponent where that can be read.
func numberText(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// labelNames returns the names of all labels, that of the metric first.
func labelNames(list []point) []string {
	seen := map[string]bool{}
	var out []string
	for _, p := range list {
		for name := range p.metric {
			if !seen[string(name)] {
				seen[string(name)] = true
				out = append(out, string(name))
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if (a == model.MetricNameLabel) != (b == model.MetricNameLabel) {
			if a == model.MetricNameLabel {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return out
}

// completeMetrics completes the names of metrics from the server that would be asked.
func completeMetrics(ctx context.Context, o *options, q *query, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || ctx == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	server, err := q.server(o)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer server.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	names, err := server.LabelValues(ctx, model.MetricNameLabel)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	// The name that is being typed may stand inside an expression.
	word := strings.LastIndexFunc(typed, func(r rune) bool {
		return r != '_' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) + 1
	var out []string
	for _, n := range names {
		if strings.HasPrefix(n, typed[word:]) {
			out = append(out, typed[:word]+n)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func printCSV(out io.Writer, v model.Value) error {
	list := points(v)
	names := labelNames(list)
	w := csv.NewWriter(out)
	if err := w.Write(append(append([]string{"time"}, names...), "value")); err != nil {
		return err
	}
	for _, p := range list {
		row := []string{p.at.Time().UTC().Format(time.RFC3339Nano)}
		for _, n := range names {
			row = append(row, string(p.metric[model.LabelName(n)]))
		}
		if err := w.Write(append(row, p.value)); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
