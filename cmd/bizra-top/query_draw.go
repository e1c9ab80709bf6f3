package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/guptarohit/asciigraph"
	"github.com/prometheus/common/model"

	"github.com/bizra/bizra-top/node/printable"
)

// printSeries prints a column for each label, and the value to the right.
func printSeries(out io.Writer, v model.Value) error {
	list := points(v)
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no series")
		return err
	}
	_, over := v.(model.Matrix)
	names := labelNames(list)
	var rows [][]string
	var head []string
	if over {
		head = append(head, "time")
	}
	for _, n := range names {
		head = append(head, strings.ReplaceAll(printable.Clean(n, maxQueryLabel), model.MetricNameLabel, "metric"))
	}
	rows = append(rows, append(head, "value"))
	for _, p := range list {
		var row []string
		if over {
			row = append(row, stamp(p.at.Time()))
		}
		for _, n := range names {
			row = append(row, printable.Clean(string(p.metric[model.LabelName(n)]), maxQueryLabel))
		}
		rows = append(rows, append(row, p.value))
	}
	width := 0
	for _, r := range rows {
		width = max(width, len([]rune(r[len(r)-1])))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		last := len(r) - 1
		r[last] = strings.Repeat(" ", width-len([]rune(r[last]))) + r[last]
		if _, err := fmt.Fprintln(w, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// Bounds of a chart.
const (
	maxLines  = 6 // series in one chart; more cannot be told apart
	scaleRoom = 14
)

// chartColours tell lines apart; each has its place in the legend.
var chartColours = []asciigraph.AnsiColor{asciigraph.Green, asciigraph.Yellow, asciigraph.Blue, asciigraph.Red, asciigraph.Magenta, asciigraph.Cyan}

// printChart draws the series of a matrix over time with a scale, a time axis and a
// legend.
func printChart(out io.Writer, m model.Matrix, width, height int, colours bool) error {
	from, to := model.Time(math.MaxInt64), model.Time(math.MinInt64)
	for _, s := range m {
		for _, p := range s.Values {
			from, to = min(from, p.Timestamp), max(to, p.Timestamp)
		}
	}
	if from > to {
		_, err := fmt.Fprintln(out, "no series")
		return err
	}
	plotted := max(width-scaleRoom, 10)
	shown := m[:min(len(m), maxLines)]
	rows := min(max(height-len(shown)-5, 4), 20)
	// Without colours lines in one chart look alike: each gets its own.
	charts := []model.Matrix{shown}
	if !colours {
		charts = nil
		for i := range shown {
			charts = append(charts, shown[i:i+1])
		}
		rows = max(rows/max(len(shown), 1), 4)
	}
	for _, series := range charts {
		if err := plot(out, series, from, to, plotted, rows, width, colours); err != nil {
			return err
		}
	}
	if more := len(m) - maxLines; more > 0 {
		_, err := fmt.Fprintf(out, "and %d series more: sum them, or see all with --csv\n", more)
		return err
	}
	return nil
}

// plot draws one chart of some series.
func plot(out io.Writer, m model.Matrix, from, to model.Time, plotted, rows, width int, colours bool) error {
	var lines [][]float64
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range m {
		line := columnsOf(s, from, to, plotted)
		for _, v := range line {
			if !math.IsNaN(v) {
				low, high = min(low, v), max(high, v)
			}
		}
		lines = append(lines, line)
	}
	if low > high {
		_, err := fmt.Fprintln(out, "no numbers: every point is NaN or infinite")
		return err
	}
	options := []asciigraph.Option{asciigraph.Height(rows), asciigraph.Precision(precision(low, high))}
	if colours {
		options = append(options, asciigraph.SeriesColors(chartColours[:len(lines)]...))
	}
	if low == high {
		// A flat line has no span of its own.
		options = append(options, asciigraph.LowerBound(min(low, 0)), asciigraph.UpperBound(max(high, 1)))
	}
	text := asciigraph.PlotMany(lines, options...)
	if _, err := fmt.Fprintf(out, "%s\n%s\n", text, timeAxis(text, from.Time(), to.Time(), plotted)); err != nil {
		return err
	}
	for i, s := range m {
		mark := "── "
		if colours {
			mark = chartColours[i].String() + mark + asciigraph.Default.String()
		}
		if _, err := fmt.Fprintf(out, "%s%s\n", mark, printable.Clean(s.Metric.String(), max(width-4, 10))); err != nil {
			return err
		}
	}
	return nil
}

// columnsOf returns the series in n columns of equal time, the greatest value in
// each; a column without a point is a gap.
func columnsOf(s *model.SampleStream, from, to model.Time, n int) []float64 {
	points := make([]float64, n)
	for i := range points {
		points[i] = math.NaN()
	}
	span := max(float64(to-from), 1)
	last := -1
	for _, p := range s.Values {
		v := float64(p.Value)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			last = -1
			continue
		}
		i := int(math.Round(float64(p.Timestamp-from) / span * float64(n-1)))
		// Fewer points than columns: what is between two points holds the first.
		for j := last + 1; last >= 0 && j < i; j++ {
			points[j] = points[last]
		}
		if math.IsNaN(points[i]) || v > points[i] {
			points[i] = v
		}
		last = i
	}
	return points
}

// precision is how many digits after the point tell the rows of the scale apart.
func precision(low, high float64) uint {
	span := max(high-low, math.Abs(high)/100)
	if span <= 0 {
		return 0
	}
	return uint(min(max(2-math.Floor(math.Log10(span)), 0), 9))
}

// timeAxis writes the ends and the middle of the time below the plot.
func timeAxis(plot string, from, to time.Time, width int) string {
	first, _, _ := strings.Cut(plot, "\n")
	indent := 0
	for i, r := range []rune(printable.Clean(first, 1000)) {
		if r == '┤' || r == '┼' {
			indent = i + 1
			break
		}
	}
	layout := "15:04:05"
	if to.Sub(from) > 20*time.Hour {
		layout = "01-02 15:04"
	}
	begin, middle, end := from.Local().Format(layout), from.Add(to.Sub(from)/2).Local().Format(layout), to.Local().Format(layout)
	axis := []rune(strings.Repeat(" ", indent) + begin)
	put := func(at int, text string) {
		if at > len(axis) {
			axis = append(axis, []rune(strings.Repeat(" ", at-len(axis))+text)...)
		}
	}
	put(indent+(width-len(middle))/2, middle)
	put(indent+width-len(end), end)
	return string(axis)
}
