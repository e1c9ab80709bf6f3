package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/guptarohit/asciigraph"

	"github.com/bizra/bizra-top/probes/load"
)

// loadChartRows is the height of each chart of a load's progress.
const loadChartRows = 4

// progressLine is how a load goes, in one line.
func progressLine(r load.Report, length time.Duration) string {
	last := r.Timeline[len(r.Timeline)-1]
	phase := fmt.Sprintf("%3.0f of %.0fs", min(last.At, length.Seconds()), length.Seconds())
	if last.At < 0 {
		phase = "warming up"
	}
	return fmt.Sprintf("%s  due %.0f  answered %d  errors %d  in flight %d  p50 %s  p99 %s  max %s", phase, last.Due, last.Answered, last.Errors,
		last.InFlight, load.FormatSeconds(last.P50), load.FormatSeconds(last.P99), load.FormatSeconds(last.Max))
}

// draw puts the progress where the last one stands.
func (p *progress) draw(r load.Report) {
	width := columns(p.out)
	lines := []string{progressLine(r, p.length)}
	if chart := loadChart(r, width); chart != "" {
		lines = append(lines, strings.Split(chart, "\n")...)
	}
	var b strings.Builder
	b.WriteString(p.home())
	for _, line := range lines {
		b.WriteString(ansi.Truncate(line, max(width-1, 1), "…") + ansi.EraseLineRight + "\n")
	}
	p.rows = len(lines)
	fmt.Fprint(p.out, b.String())
}

// home returns what takes the cursor to the first line that was drawn and erases
// from there on.
func (p *progress) home() string {
	if p.rows == 0 {
		return ""
	}
	return ansi.CursorUp(p.rows) + "\r" + ansi.EraseScreenBelow
}

// clear takes the progress off the screen.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, p.home())
		p.rows = 0
	}
}

// loadChart draws what was answered and its p99 over the newest seconds, or nothing
// before there are two.
func loadChart(r load.Report, width int) string {
	plotted := max(width-scaleRoom, 10)
	rows := r.Timeline[max(0, len(r.Timeline)-plotted):]
	if len(rows) < 2 {
		return ""
	}
	answered, p99 := make([]float64, len(rows)), make([]float64, len(rows))
	for i, s := range rows {
		answered[i], p99[i] = float64(s.Answered), s.P99*1e3
	}
	chart := func(values []float64, caption string) string {
		high := 0.0
		for _, v := range values {
			high = max(high, v)
		}
		return asciigraph.Plot(values, asciigraph.Height(loadChartRows), asciigraph.LowerBound(0), asciigraph.UpperBound(max(high, 1)),
			asciigraph.Precision(precision(0, max(high, 1))), asciigraph.Caption(caption))
	}
	return chart(answered, "answered a second") + "\n" + chart(p99, "p99, ms")
}

// printLoad prints the report of a load.
func printLoad(out io.Writer, r load.Report, objectives []load.Objective) error {
	var b strings.Builder
	ended := ""
	if r.Interrupted {
		ended = fmt.Sprintf(", interrupted with %d under way", r.Cut)
	}
	fmt.Fprintf(&b, "%s, %s at %g/s, %s, skew %g: %.1fs%s\n\n", r.Target, r.Pattern, r.Peak, r.Mix, r.Skew, r.Took, ended)
	if chart := loadChart(r, columns(out)); chart != "" {
		fmt.Fprintf(&b, "%s\n\n", chart)
	}
	fmt.Fprintf(&b, "%d requests, %.1f/s answered well, %d errors (%.2f%%)\n\n", r.Requests, r.Rate, r.Errors, 100*r.ErrorRatio)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "kind\trequests\terrors\tmean\tp50\tp90\tp95\tp99\tp99.9\tmax\t")
	row := func(k load.KindReport) {
		fmt.Fprintf(t, "%s\t%d\t%d\t", k.Kind, k.Requests, k.Errors)
		for _, v := range []float64{k.Latency.Mean, k.Latency.P50, k.Latency.P90, k.Latency.P95, k.Latency.P99, k.Latency.P999, k.Latency.Max} {
			fmt.Fprintf(t, "%s\t", load.FormatSeconds(v))
		}
		fmt.Fprintln(t)
	}
	for _, k := range r.Kinds {
		row(k)
	}
	row(load.KindReport{Kind: "all", Requests: r.Requests, Errors: r.Errors, Latency: r.Latency})
	if err := t.Flush(); err != nil {
		return err
	}
	for i, f := range r.Failures {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d of %s: %s\n", f.Count, f.Kind, f.Reason)
	}
	if n := r.Refused.Count; n > 0 {
		fmt.Fprintf(&b, "\n%d were refused (HTTP 429, 503), half of them within %s of being sent, p99 %s\n", n,
			load.FormatSeconds(r.Refused.Latency.P50), load.FormatSeconds(r.Refused.Latency.P99))
	}
	late(&b, r)
	for i, o := range objectives {
		if i == 0 {
			b.WriteByte('\n')
		}
		measured, kept := o.Check(r)
		verdict := "✓ kept  "
		if !kept {
			verdict = "✗ missed"
		}
		fmt.Fprintf(&b, "%s  %-12s measured %s\n", verdict, o, measured)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// late says what began late, and what would help.
func late(b *strings.Builder, r load.Report) {
	if r.ConcurrencyFull > 0 {
		fmt.Fprintf(b, "\n%d began late: all %d of --concurrency were under way. Their wait counts as latency.\n", r.ConcurrencyFull, r.Concurrency)
	}
	if r.GeneratorLate > 0 {
		fmt.Fprintf(b, "\n%d began late because this program was not scheduled in time: the host is busy. Their wait counts as latency.\n", r.GeneratorLate)
	}
}
