package tui

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// breakerPanels show every breaker, and the selected one at length.
func (m *model) breakerPanels(r rect) []panel {
	list := panel{id: "breakers", at: r, draw: m.breakerTable, list: true}
	if r.h < 16 {
		return []panel{list}
	}
	var low rect
	list.at, low = r.splitTop(max(min(len(m.look.Breakers)+3, r.h-10), 6))
	b, ok := m.selectedBreaker()
	if !ok {
		return append([]panel{list}, m.charts(low, m.breakerPlots()...)...)
	}
	past := rect{}
	if low.h >= 19 {
		low, past = low.splitTop(9)
	}
	plots := append([]plot{{"Failure ratio of " + b.Name, control.UnitRatio, []plotted{
		{name: "failed", panel: "breaker_failure_ratio", label: b.Name, ink: inkChart2, heavy: true}}}}, m.breakerPlots()...)
	return append([]panel{list, {id: "breaker", at: low, plots: plots[:1], draw: func(w, _ int) []line {
		return append([]line{titled(b.Name, w)}, m.breakerLines(b, w)...)
	}}}, m.charts(past, plots...)...)
}

func (m *model) breakerPlots() []plot {
	return []plot{
		{"Failure ratios", control.UnitRatio, m.each("breaker_failure_ratio")},
		{"Calls turned away", control.UnitPerSecond, m.each("breaker_rejected")},
		{"Breakers that refuse calls", control.UnitCount, []plotted{{name: "open", panel: "breakers_open", ink: inkBad, heavy: true}}},
	}
}

func (m *model) selectedBreaker() (control.Breaker, bool) {
	for _, b := range m.look.Breakers {
		if b.Name == m.selected(viewBreakers) {
			return b, true
		}
	}
	return control.Breaker{}, false
}

func (m *model) breakerTable(w, h int) []line {
	cols := []column{
		{title: "breaker", w: 16, grow: 1}, {title: "state", w: 15},
		{title: "for", w: 4, right: true, drop: 1},
		{title: "failed", w: 6, right: true}, {title: "│ opens", w: 10, grow: 2, drop: 6},
		{title: "opens at", w: 8, right: true, drop: 5},
		{title: "slow", w: 6, right: true, drop: 7},
		{title: "calls", w: 6, right: true, drop: 4},
		{title: "opened", w: 6, right: true, drop: 3},
		{title: "reason", w: 14, grow: 2, drop: 2},
	}
	widths := columnWidths(cols, w)
	var rows []row
	now := m.nodeNow()
	for _, b := range m.breakers() {
		ratio, limit := float64(b.FailureRatio), float64(b.Threshold)
		fi := failureInk(ratio, limit)
		s := stateMark(b.State)
		why := inkMuted
		if !s.calm {
			why = inkText
		}
		reason := m.unmeasured(b.Reason)
		if next := b.NextProbe; !s.calm && next.After(now) {
			reason = "probe in " + coarse(next.Sub(now)+time.Second) + "; " + reason
		}
		rows = append(rows, row{
			txt(inkText, b.Name), s.line(), txt(inkMuted, since(now, b.Since)),
			txt(fi, number(control.UnitRatio, ratio)), bar(widths[4], ratio, limit, fi),
			txt(inkMuted, number(control.UnitRatio, limit)),
			txt(nonzero(float64(b.SlowRatio), inkText), number(control.UnitRatio, float64(b.SlowRatio))),
			txt(inkText, whole(b.Calls)), txt(nonzero(float64(b.Opened), inkText), whole(b.Opened)),
			txt(why, reason),
		})
	}
	return append([]line{m.listTitle("Breakers", viewBreakers, len(rows), len(m.look.Breakers), w)}, table(cols, rows, m.cursor[viewBreakers], w, h-1)...)
}

// listTitle says how many rows there are, and what they are filtered by.
func (m *model) listTitle(title string, v viewID, n, all, w int) line {
	right := txt(inkMuted, strconv.Itoa(n))
	if f := m.filter[v]; f != "" {
		right = cat(txt(inkWarn, "filter "+f), txt(inkMuted, fmt.Sprintf("  %d of %d", n, all)))
	}
	return titledRight(title, right, w)
}

// fact is a row of a detail: a name and a text that may take several lines.
func fact(name string, i ink, text string, w int) []line {
	if text == "" {
		return nil
	}
	const label = 13
	var out []line
	for n, l := range wrap(i, text, w-label, 6) {
		head := name
		if n > 0 {
			head = ""
		}
		out = append(out, cat(txt(inkMuted, pad(head, label)), l))
	}
	return out
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return whole(n) + " times"
}

func (m *model) breakerLines(b control.Breaker, w int) []line {
	now := m.nodeNow()
	out := []line{cat(txt(inkMuted, pad("state", 13)), stateMark(b.State).line(), txt(inkMuted, " for "+since(now, b.Since)+", opened "+times(b.Opened)))}
	out = append(out, fact("reason", inkText, m.unmeasured(b.Reason), w)...)
	out = append(out, fact("failed", inkText, fmt.Sprintf("%s of %s calls in the window, %s; opens at %s", whole(b.Failures), whole(b.Calls),
		number(control.UnitRatio, float64(b.FailureRatio)), number(control.UnitRatio, float64(b.Threshold))), w)...)
	if !math.IsNaN(float64(b.SlowRatio)) {
		out = append(out, fact("slow", inkText, whole(b.Slow)+" calls, "+number(control.UnitRatio, float64(b.SlowRatio)), w)...)
	}
	if b.NextProbe.After(now) {
		out = append(out, fact("next probe", inkText, "in "+coarse(b.NextProbe.Sub(now)+time.Second), w)...)
	}
	if v := m.value("breaker_rejected", b.Name); v > 0 {
		out = append(out, fact("rejected", inkWarn, number(control.UnitPerSecond, v), w)...)
	}
	bad := inkText
	if !stateMark(b.State).calm {
		bad = inkBad
	}
	return append(out, fact("last error", bad, m.unmeasured(b.LastError), w)...)
}
