package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes/promises"
)

const (
	verdictPassed = "✓ passed"
	verdictMissed = "✗ MISSED"
)

// The chart of a row: a logarithmic scale on which the target stands at the same place
// in every row, three decades of better to its left and one of worse to its right.
const (
	scaleWidth   = 25
	scaleDecades = 4
	scaleTarget  = scaleWidth * 3 / scaleDecades
)

const scaleLegend = "● measured, ○ before, │ target; each step of 6 is ten times, better is left"

// scaleOf draws a row's figures on the scale.
func scaleOf(r promises.Row) string {
	cells := []rune(strings.Repeat("·", scaleWidth))
	cells[scaleTarget] = '│'
	put := func(value float64, mark rune) {
		worse := value / r.Target
		if r.Higher {
			worse = r.Target / value
		}
		at := scaleTarget + math.Log10(worse)*scaleWidth/scaleDecades
		if math.IsNaN(at) { // 0 of a target of 0
			at = 0
		}
		cells[int(math.Round(min(max(at, 0), scaleWidth-1)))] = mark
	}
	put(r.Before, '○')
	put(r.After, '●')
	return string(cells)
}

// figure writes a number with three digits and its unit.
func figure(v float64, unit string) string {
	digits := 0
	if v != 0 && math.Abs(v) < 100 {
		digits = min(max(2-int(math.Floor(math.Log10(math.Abs(v)))), 0), 6)
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + unit
}

func targetOf(r promises.Row) string {
	if r.Higher {
		return "≥ " + figure(r.Target, r.Unit)
	}
	return "≤ " + figure(r.Target, r.Unit)
}

func verdictOf(r promises.Row) string {
	if r.Passed {
		return verdictPassed
	}
	return verdictMissed
}

// since tells the change of a row since an older report.
func since(r promises.Row, old *promises.Report) string {
	if old == nil {
		return ""
	}
	c := r.Since(*old)
	switch {
	case !c.Known:
		return "new"
	case math.IsNaN(c.Ratio):
		return "was " + figure(c.Old, r.Unit)
	case c.Regression:
		return fmt.Sprintf("%+.0f%% ▼ REGRESSION", 100*(c.Ratio-1))
	}
	return fmt.Sprintf("%+.0f%%", 100*(c.Ratio-1))
}

func printBench(out io.Writer, r promises.Report, old *promises.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "bizra-top %s on %s%s, %.0fs%s\n%s\n\n", r.Version, r.Host, others(r), r.Took, quickly(r), r.Parts)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "promise\tbefore\ttarget\tmeasured\tverdict\t\t")
	if old != nil {
		fmt.Fprint(t, "since "+stamp(old.Began))
	}
	fmt.Fprintln(t)
	for _, row := range r.Rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Name, figure(row.Before, row.Unit), targetOf(row), figure(row.After, row.Unit), verdictOf(row), scaleOf(row), since(row, old))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%s\n\nHow:\n", scaleLegend)
	last := ""
	for _, row := range r.Rows {
		if row.How != last {
			fmt.Fprintf(&b, "%s: %s\n", row.Name, row.How)
		}
		last = row.How
	}
	fmt.Fprintf(&b, "\n%d of %d promises are kept.\n", len(r.Rows)-len(r.Missed()), len(r.Rows))
	_, err := io.WriteString(out, b.String())
	return err
}

// others says how much of the host was not there for what was measured.
func others(r promises.Report) string {
	if r.Others < 0 {
		return ""
	}
	return fmt.Sprintf(", of which other programs used %.0f%%", 100*r.Others)
}

func quickly(r promises.Report) string {
	if r.Quick {
		return ", quick: a look, not a proof"
	}
	return ""
}

func printBenchMarkdown(out io.Writer, r promises.Report, old *promises.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "bizra-top %s on %s%s, %.0f s%s. Ran on %s.\n\n", r.Version, r.Host, others(r), r.Took, quickly(r), printable.Clean(r.Parts, maxErrorLine))
	head, rule := "| promise | before | target | measured | verdict |", "|---|--:|--:|--:|---|"
	if old != nil {
		head, rule = head+" since "+stamp(old.Began)+" |", rule+"---|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, rule)
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |", row.Name, figure(row.Before, row.Unit), targetOf(row), figure(row.After, row.Unit), verdictOf(row))
		if old != nil {
			fmt.Fprintf(&b, " %s |", since(row, old))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(out, b.String())
	return err
}
