package tui

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/control/events"
)

// sparkStep is the wall time of one column of a sparkline.
const sparkStep = 2 * time.Second

func (m *model) overviewPanels(r rect) []panel {
	p := layoutOverview(r, len(m.circuits()))
	if p.small {
		return []panel{{id: "essentials", at: p.vitals, draw: m.essentials, list: true, plots: m.trafficPlots()}}
	}
	var out []panel
	if p.sparks.h > 0 {
		out = append(out, panel{id: "pool", at: p.vitals, plots: append(m.poolPlots(), m.cachePlots()...), draw: func(w, _ int) []line { return m.vitalsWide(w) }})
	} else {
		gap := 1
		if p.vitals.h < 14 {
			gap = 0
		}
		out = stacked(p.vitals, gap, []int{5, 3, 4},
			panel{id: "traffic", plots: m.trafficPlots(), draw: func(w, _ int) []line { return m.trafficVitals(w) }},
			panel{id: "pool", plots: m.poolPlots(), draw: func(w, _ int) []line { return m.poolVitals(w) }},
			panel{id: "cache", plots: m.cachePlots(), draw: func(w, _ int) []line { return m.cacheVitals(w) }})
	}
	out = append(out, panel{id: "circuits", at: p.circuits, draw: m.circuitTable, list: true})
	out = append(out, stacked(p.detail, 1, []int{4, 7, 5}, m.particulars()...)...)
	out = append(out,
		panel{id: "traffic", at: p.sparks, plots: m.trafficPlots(), draw: func(w, _ int) []line { return m.sparkRow(w) }},
		panel{id: "events", at: p.events, draw: m.lastEvents})
	return append(out, m.charts(p.charts, slices.Concat([]plot{latencyPlot, hitsPlot}, m.verdictPlots(), m.cachePlots()[:1], m.providerPlots(), m.processPlots())...)...)
}

// The plots of traffic.
var (
	latencyPlot = plot{"Latency", control.UnitSeconds, []plotted{
		{name: "p50", panel: "latency_p50", ink: inkChart1},
		{name: "p99", panel: "latency_p99", ink: inkChart2, heavy: true},
	}}
	hitsPlot = plot{"Requests and cache hits", control.UnitPerSecond, []plotted{
		{name: "L1 hits", panel: "cache_hit_rate", label: "l1", ink: inkChart3},
		{name: "requests", panel: "request_rate", ink: inkChart1, heavy: true},
	}}
	errorsPlot = plot{"Errors", unitShare, []plotted{{name: "5xx", panel: "error_ratio", ink: inkBad, heavy: true}}}
)

func (m *model) trafficPlots() []plot { return []plot{hitsPlot, latencyPlot, errorsPlot} }

func (m *model) verdictPlots() []plot {
	return []plot{{"Verdicts", control.UnitPerSecond, m.each("verdict_rate")},
		{"Validation", control.UnitSeconds, []plotted{{name: "p99", panel: "validation_p99", ink: inkChart2, heavy: true}}}}
}

func (m *model) processPlots() []plot {
	return []plot{{"CPU", unitShare, []plotted{{name: "of one core", panel: "cpu", ink: inkChart1, heavy: true}}},
		{"Memory", control.UnitBytes, []plotted{{name: "RSS", panel: "memory", ink: inkChart4, heavy: true}}},
		{"Goroutines and requests in flight", control.UnitCount, []plotted{
			{name: "goroutines", panel: "goroutines", ink: inkChart4}, {name: "in flight", panel: "in_flight", ink: inkChart1, heavy: true}}}}
}

// labelled is a row of the vitals: a name, a number, and a drawing of w columns.
func labelled(name, number string, i ink, drawing line) line {
	return cat(txt(inkMuted, pad(name, 9)), txt(i, lead(number, 8)), txt(inkText, "  "), drawing)
}

// trend draws the recent past of a panel in w columns.
func (m *model) trend(panel, label string, w int, top float64, i ink) line {
	return txt(i, spark(m.history.columns(panel, label, m.nodeNow(), sparkStep, w), top))
}

// vital is a row with a panel's number and its trend.
func (m *model) vital(name, panel string, unit control.Unit, w int, top float64, drawn, written ink) line {
	u := m.unit(panel, unit)
	return labelled(name, number(u, m.value(panel, "")), written, m.trend(panel, "", w-19, top, drawn))
}

func (m *model) errorInk() ink { return errorInk(m.value("error_ratio", "")) }

func errorInk(v float64) ink {
	switch {
	case v >= 0.05:
		return inkBad
	case v >= 0.005:
		return inkWarn
	default:
		return inkMuted
	}
}

func (m *model) trafficVitals(w int) []line {
	return []line{titled("Traffic", w),
		m.vital("requests", "request_rate", control.UnitPerSecond, w, 0, inkChart1, inkStrong),
		m.vital("errors", "error_ratio", control.UnitRatio, w, 0.05, inkBad, m.errorInk()),
		m.vital("p50", "latency_p50", control.UnitSeconds, w, 0, inkChart1, inkStrong),
		m.vital("p99", "latency_p99", control.UnitSeconds, w, 0, inkChart2, inkStrong),
	}
}

func (m *model) poolVitals(w int) []line {
	p, sat := m.look.Pool, m.saturation()
	return []line{titledRight("Pool", m.poolBackend(), w),
		labelled("in use", strconv.Itoa(p.InUse)+" of "+strconv.Itoa(p.Limit), inkStrong, bar(w-19, sat, 0, ratioInk(sat))),
		labelled("waiting", strconv.Itoa(p.Waiting), nonzero(float64(p.Waiting), inkWarn), m.trend("pool_waiting", "", w-19, 0, inkWarn)),
	}
}

func (m *model) cacheVitals(w int) []line {
	l1, l2 := m.value("cache_l1_hit_ratio", ""), m.value("cache_l2_hit_ratio", "")
	fill := m.value("cache_l1_fill", "")
	return []line{titled("Cache", w),
		labelled("L1 hits", number(control.UnitRatio, l1), inkStrong, bar(w-19, l1, 0, inkChart3)),
		labelled("L2 hits", m.l2Number(l2), inkStrong, bar(w-19, l2, 0, inkChart3)),
		labelled("L1 size", number(control.UnitBytes, m.value("cache_l1_bytes", "")), inkText, bar(w-19, fill, 0, fillInk(fill))),
	}
}

func (m *model) l2Number(v float64) string {
	if m.look.Node.L2 == "off" {
		return "off"
	}
	return number(control.UnitRatio, v)
}

// fillInk colours how full a cache is: a full one works as it should.
func fillInk(v float64) ink {
	if v > 1 {
		return inkWarn
	}
	return inkChart1
}

func (m *model) saturation() float64 {
	if m.look.Pool.Limit <= 0 {
		return math.NaN()
	}
	return float64(m.look.Pool.InUse) / float64(m.look.Pool.Limit)
}

func (m *model) poolBackend() line {
	p := m.look.Pool
	if p.Backend == "" {
		return nil
	}
	if !p.Reachable {
		return txt(inkBad, "✗ "+p.Backend+" unreachable")
	}
	return txt(inkMuted, p.Backend)
}

// vitalsWide is the head of the 80 column overview: traffic, pool and cache in
// two columns.
func (m *model) vitalsWide(w int) []line {
	half := (w - 2) / 2
	p := m.look.Pool
	sat := m.saturation()
	l1, l2 := m.value("cache_l1_hit_ratio", ""), m.value("cache_l2_hit_ratio", "")
	two := func(a, b line) line { return cat(a.fit(half), txt(inkText, "  "), b.fit(w-half-2)) }
	waiting := txt(nonzero(float64(p.Waiting), inkWarn), strconv.Itoa(p.Waiting)+" waiting")
	return []line{
		two(labelled("pool", strconv.Itoa(p.InUse)+"/"+strconv.Itoa(p.Limit), inkStrong, cat(bar(half-31, sat, 0, ratioInk(sat)), txt(inkText, " "), waiting.right(11))),
			labelled("L1 hits", number(control.UnitRatio, l1), inkStrong, bar(w-half-21, l1, 0, inkChart3))),
		two(labelled("ledger", p.Backend, inkMuted, m.outboxNote()),
			labelled("L2 hits", m.l2Number(l2), inkStrong, bar(w-half-21, l2, 0, inkChart3))),
	}
}

func (m *model) outboxNote() line {
	p := m.look.Pool
	switch {
	case !p.Reachable:
		return txt(inkBad, "✗ unreachable")
	case p.Outbox > 0:
		return txt(inkWarn, whole(p.Outbox)+" in the outbox")
	default:
		return txt(inkMuted, "reachable")
	}
}

// sparkRow is the row of sparklines of the 80 column overview: names, numbers
// and drawings of four panels side by side.
func (m *model) sparkRow(w int) []line {
	each := (w - 6) / 4
	out := make([]line, 3)
	for i, s := range []struct {
		name, panel string
		unit        control.Unit
		top         float64
		draw, num   ink
	}{
		{"requests", "request_rate", control.UnitPerSecond, 0, inkChart1, inkStrong},
		{"errors", "error_ratio", control.UnitRatio, 0.05, inkBad, m.errorInk()},
		{"p50", "latency_p50", control.UnitSeconds, 0, inkChart1, inkStrong},
		{"p99", "latency_p99", control.UnitSeconds, 0, inkChart2, inkStrong},
	} {
		gap := line{}
		if i > 0 {
			gap = txt(inkText, "  ")
		}
		num := number(m.unit(s.panel, s.unit), m.value(s.panel, ""))
		out[0] = cat(out[0], gap, titled("", each).fit(each))
		out[1] = cat(out[1], gap, ends(txt(inkMuted, s.name), txt(s.num, num), each))
		out[2] = cat(out[2], gap, m.trend(s.panel, "", each, s.top, s.draw).fit(each))
		out[0] = nil
	}
	out[0] = titled("Traffic", w)
	return out
}

// circuitTable joins providers and breakers.
func (m *model) circuitTable(w, h int) []line {
	if h <= 0 {
		return nil
	}
	cols := []column{
		{title: "provider", w: 12, grow: 1},
		{title: "breaker", w: 15},
		{title: "failed", w: 6, right: true},
		{title: "│ opens", w: 12, grow: 1, drop: 3},
		{title: "calls", w: 7, right: true, drop: 2},
		{title: "p50", w: 7, right: true, drop: 4},
		{title: "p99", w: 7, right: true},
		{title: "head", w: 9, right: true, drop: 5},
		{title: "lag", w: 4, right: true, drop: 1},
	}
	widths := columnWidths(cols, w)
	var rows []row
	for _, c := range m.circuits() {
		ratio, limit := float64(c.breaker.FailureRatio), float64(c.breaker.Threshold)
		fi := failureInk(ratio, limit)
		r := row{
			txt(inkText, c.name()), stateMark(c.state()).line(),
			txt(fi, number(control.UnitRatio, ratio)), bar(widths[3], ratio, limit, fi),
		}
		if u := c.upstream; u != nil {
			lag := nonzero(float64(u.Lag), inkText)
			if u.Lag > 3 {
				lag = inkWarn
			}
			r = append(r,
				txt(inkText, number(control.UnitPerSecond, m.value("upstream_rate", u.Name))),
				txt(inkText, number(control.UnitSeconds, float64(u.P50))),
				txt(inkText, number(control.UnitSeconds, m.value("upstream_p99", u.Name))),
				txt(inkMuted, strconv.FormatUint(u.Head, 10)),
				txt(lag, whole(u.Lag)))
		} else {
			r = append(r, txt(inkMuted, noData), txt(inkMuted, noData), txt(inkMuted, noData), txt(inkMuted, noData), txt(inkMuted, noData))
		}
		rows = append(rows, r)
	}
	return append([]line{titled("Providers and breakers", w)}, table(cols, rows, m.cursor[viewOverview], w, h-1)...)
}

// lastEvents shows the newest events, the newest first.
func (m *model) lastEvents(w, h int) []line {
	if h <= 0 {
		return nil
	}
	out := []line{titled("Events", w)}
	rows := events.Rows(m.eventsThen())
	for _, r := range bounded(rows, max(h-1, 0)) {
		out = append(out, m.eventLine(r, w))
	}
	if len(rows) == 0 {
		out = append(out, txt(inkMuted, m.noEvents()))
	}
	return out
}

// noEvents says why there are none.
func (m *model) noEvents() string {
	if m.fleet != nil {
		return noData + "  a Prometheus keeps none"
	}
	if text := m.waits(needEvents); text != "" {
		return noData + "  " + text
	}
	if m.inPast() {
		return noData + "  none is known of before this moment"
	}
	return "none yet"
}

func (m *model) eventLine(r events.Row, w int) line {
	e := r.Newest
	s := eventMark(e)
	body := inkText
	if s.calm {
		body = inkMuted
	}
	return cat(txt(inkMuted, e.Time.Local().Format("15:04:05")+" "), txt(s.ink, s.glyph+" "),
		txt(inkText, e.Subject+" "), txt(inkAccent, repeated(r)), txt(body, e.Text)).fit(w)
}

// particulars are the panels of the detail column of large terminals: providers in 4
// rows, validation in 7, the process in 5.
func (m *model) particulars() []panel {
	fixed := func(id, title string, plots []plot, rows func(w int) []line) panel {
		return panel{id: id, plots: plots, draw: func(w, _ int) []line { return append([]line{titled(title, w)}, rows(w)...) }}
	}
	return []panel{
		fixed("providers", "Providers at work", m.providerPlots(), func(w int) []line {
			return []line{
				m.vital("retries", "upstream_retries", control.UnitPerSecond, w, 0, inkChart2, inkText),
				m.vital("hedges", "upstream_hedges", control.UnitPerSecond, w, 0, inkChart1, inkText),
				labelled("lies", number(control.UnitCount, m.sum("lies")), nonzero(m.sum("lies"), inkBad), txt(inkMuted, "answers proved false")),
			}
		}),
		fixed("validation", "Validation", m.verdictPlots(), func(w int) []line {
			var out []line
			for _, v := range m.each("verdict_rate") {
				out = append(out, labelled(v.name, number(control.UnitPerSecond, m.value("verdict_rate", v.label)), inkText, m.trend("verdict_rate", v.label, w-19, 0, inkChart3)))
			}
			return append(out,
				m.vital("p99", "validation_p99", control.UnitSeconds, w, 0, inkChart2, inkText),
				m.vital("ledger", "ledger_rate", control.UnitPerSecond, w, 0, inkChart1, inkText))
		}),
		fixed("process", "Process", m.processPlots(), func(w int) []line {
			return []line{
				m.vital("CPU", "cpu", control.UnitRatio, w, 0, inkChart1, inkText),
				m.vital("RSS", "memory", control.UnitBytes, w, 0, inkChart4, inkText),
				m.vital("routines", "goroutines", control.UnitCount, w, 0, inkChart4, inkText),
				m.vital("in flight", "in_flight", control.UnitCount, w, 0, inkChart1, inkText),
			}
		}),
	}
}

// sum adds the series of a panel.
func (m *model) sum(panel string) float64 {
	total, seen := 0.0, false
	for _, v := range m.look.Panels[panel] {
		if v.Value != nil && !math.IsNaN(float64(*v.Value)) {
			total, seen = total+float64(*v.Value), true
		}
	}
	if !seen {
		return math.NaN()
	}
	return total
}

// essentials is the overview of a tiny terminal: words and numbers, what is
// wrong first.
func (m *model) essentials(w, h int) []line {
	p := m.look.Pool
	n := func(panel string, u control.Unit) string { return number(m.unit(panel, u), m.value(panel, "")) }
	out := []line{
		cat(txt(inkMuted, "req "), txt(inkStrong, pad(n("request_rate", control.UnitPerSecond), 9)),
			txt(inkMuted, "err "), txt(m.errorInk(), pad(n("error_ratio", control.UnitRatio), 6)),
			m.trend("request_rate", "", max(0, min(30, w-25)), 0, inkChart1)),
		cat(txt(inkMuted, "p50 "), txt(inkStrong, pad(n("latency_p50", control.UnitSeconds), 9)),
			txt(inkMuted, "p99 "), txt(inkStrong, pad(n("latency_p99", control.UnitSeconds), 8)),
			m.trend("latency_p99", "", max(0, min(30, w-27)), 0, inkChart2)),
		cat(txt(inkMuted, "pool "), txt(inkStrong, pad(fmt.Sprintf("%d/%d", p.InUse, p.Limit), 8)),
			txt(nonzero(float64(p.Waiting), inkWarn), strconv.Itoa(p.Waiting)+" waiting")),
		cat(txt(inkMuted, "L1 "), txt(inkStrong, pad(n("cache_l1_hit_ratio", control.UnitRatio), 10)),
			txt(inkMuted, "L2 "), txt(inkStrong, m.l2Number(m.value("cache_l2_hit_ratio", "")))),
	}
	var bad, good []line
	for _, c := range m.circuits() {
		s := stateMark(c.state())
		l := cat(s.line().fit(15), txt(inkText, " "+c.name()), txt(inkMuted, " "+number(control.UnitRatio, float64(c.breaker.FailureRatio))))
		if s.calm {
			good = append(good, l)
		} else {
			bad = append(bad, l)
		}
	}
	return bounded(append(append(out, bad...), good...), h)
}
