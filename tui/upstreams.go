package tui

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bizra/bizra-top/node/control"
)

// upstreamPanels show every provider, the selected one at length, and what they do
// together.
func (m *model) upstreamPanels(r rect) []panel {
	list := panel{id: "providers", at: r, draw: m.upstreamTable, list: true}
	if r.h < 16 {
		return []panel{list}
	}
	var low rect
	list.at, low = r.splitTop(max(min(len(m.look.Upstreams)+3, r.h-10), 6))
	work := panel{id: "work", plots: m.providerPlots(), draw: m.providersAtWork}
	u, ok := m.selectedUpstream()
	if !ok {
		work.at, low = low.splitTop(min(11, low.h))
		return append([]panel{list, work}, m.charts(low, m.providerPlots()...)...)
	}
	past := rect{}
	if low.h >= 19 {
		low, past = low.splitTop(11)
		low.h--
	}
	plots := append([]plot{{"Latency of " + u.Name, control.UnitSeconds, []plotted{
		{name: "p50", panel: "upstream_p50", label: u.Name, ink: inkChart1},
		{name: "p99", panel: "upstream_p99", label: u.Name, ink: inkChart2, heavy: true},
	}}}, m.providerPlots()...)
	one := panel{id: "provider", at: low, plots: plots[:1], draw: func(w, _ int) []line {
		return append([]line{titled(u.Name, w)}, m.upstreamLines(u, w)...)
	}}
	if low.w >= 100 {
		halves := low.split(2, 3)
		one.at, work.at = halves[0], halves[1]
	}
	return append([]panel{list, one, work}, m.charts(past, plots...)...)
}

// providerPlots are what the providers do together.
func (m *model) providerPlots() []plot {
	return []plot{
		{"Calls by provider", control.UnitPerSecond, m.each("upstream_rate")},
		{"Failures by kind", control.UnitPerSecond, m.each("upstream_failures")},
		{"Retries and hedges", control.UnitPerSecond, []plotted{
			{name: "hedges won", panel: "upstream_hedge_wins", ink: inkChart3},
			{name: "hedges", panel: "upstream_hedges", ink: inkChart1},
			{name: "retries", panel: "upstream_retries", ink: inkChart2, heavy: true},
		}},
		{"Latency p99", control.UnitSeconds, m.each("upstream_p99")},
		{"Blocks behind", control.UnitBlocks, m.each("upstream_lag")},
	}
}

// providersAtWork says what fails and what it costs.
func (m *model) providersAtWork(w, h int) []line {
	lies := m.sum("lies")
	out := []line{titled("All providers", w),
		m.vital("retries", "upstream_retries", control.UnitPerSecond, w, 0, inkChart2, inkText),
		m.vital("hedges", "upstream_hedges", control.UnitPerSecond, w, 0, inkChart1, inkText),
		m.vital("won", "upstream_hedge_wins", control.UnitPerSecond, w, 0, inkChart3, inkText),
		labelled("lies", number(control.UnitCount, lies), nonzero(lies, inkBad), note(w-19, "answers proved false since the start", "proved false")),
	}
	kinds := m.look.Panels["upstream_failures"]
	if len(kinds) == 0 {
		return append(out, labelled("failures", noData, inkMuted, note(w-19, "by kind")))
	}
	for _, v := range bounded(kinds, max(h-len(out), 0)) {
		n := m.value("upstream_failures", v.Label)
		out = append(out, cat(txt(inkMuted, pad(v.Label, 11)), txt(nonzero(n, inkWarn), lead(number(control.UnitPerSecond, n), 6)), txt(inkText, "  "),
			m.trend("upstream_failures", v.Label, w-19, 0, inkBad)))
	}
	return out
}

func (m *model) selectedUpstream() (control.Upstream, bool) {
	for _, u := range m.look.Upstreams {
		if u.Name == m.selected(viewUpstreams) {
			return u, true
		}
	}
	return control.Upstream{}, false
}

func (m *model) upstreamTable(w, h int) []line {
	cols := []column{
		{title: "#", w: 2, right: true, drop: 7}, {title: "provider", w: 10, grow: 1}, {title: "state", w: 15},
		{title: "calls", w: 8, right: true, drop: 1}, {title: "recent", w: 12, grow: 1, drop: 8},
		{title: "failed", w: 6, right: true},
		{title: "p50", w: 7, right: true, drop: 6}, {title: "p95", w: 7, right: true, drop: 9}, {title: "p99", w: 7, right: true, drop: 2},
		{title: "head", w: 9, right: true, drop: 5}, {title: "lag", w: 4, right: true, drop: 3},
		{title: "flying", w: 6, right: true, drop: 10}, {title: "lies", w: 4, right: true, drop: 4},
		{title: "failures", w: 8, right: true, drop: 11},
		{title: "host", w: 16, grow: 2, drop: 12},
	}
	widths := columnWidths(cols, w)
	var rows []row
	for _, u := range m.upstreams() {
		failed := m.value("upstream_failure_ratio", u.Name)
		lag := nonzero(float64(u.Lag), inkText)
		if u.Lag > 3 {
			lag = inkWarn
		}
		rows = append(rows, row{
			txt(inkMuted, place(u.Preference)), txt(inkText, u.Name), stateMark(u.State).line(),
			txt(inkStrong, number(control.UnitPerSecond, m.value("upstream_rate", u.Name))),
			m.trend("upstream_rate", u.Name, widths[4], 0, inkChart1),
			txt(failureInk(failed, 0.5), number(control.UnitRatio, failed)),
			txt(inkText, number(control.UnitSeconds, float64(u.P50))),
			txt(inkText, number(control.UnitSeconds, float64(u.P95))),
			txt(inkStrong, number(control.UnitSeconds, float64(u.P99))),
			txt(inkMuted, strconv.FormatUint(u.Head, 10)), txt(lag, whole(u.Lag)),
			txt(inkText, whole(u.InFlight)), txt(nonzero(float64(u.Lies), inkBad), whole(u.Lies)),
			txt(inkMuted, whole(u.Failures)), txt(inkMuted, m.unmeasured(u.Host)),
		})
	}
	title := m.listTitle("Providers", viewUpstreams, len(rows), len(m.look.Upstreams), w)
	if h := m.trustedHead(); m.filter[viewUpstreams] == "" && h.width()+len("Providers ")+8 <= w {
		title = titledRight("Providers", cat(h, txt(inkMuted, "  "+strconv.Itoa(len(rows)))), w)
	}
	return append([]line{title}, table(cols, rows, m.cursor[viewUpstreams], w, h-1)...)
}

// trustedHead says how new the chain is taken to be, and on whose word; nothing where the
// node does not tell.
func (m *model) trustedHead() line {
	h := m.look.Node.Head
	number := txt(inkStrong, strconv.FormatUint(h.Number, 10))
	switch {
	case h.Trust == "":
		return nil
	case h.Trust == control.TrustNone && h.Number == 0:
		return txt(inkBad, "✗ no head yet")
	case h.Trust == control.TrustNone:
		return cat(txt(inkMuted, "head "), number, txt(inkBad, " ✗ no quorum behind it"))
	case h.Trust == control.TrustSingle:
		return cat(txt(inkMuted, "head "), number, txt(inkWarn, " ! one provider's word"))
	case h.Trust == control.TrustQuorum:
		return cat(txt(inkMuted, "head "), number, txt(inkMuted, fmt.Sprintf(" by a quorum of %d of %d", h.Votes, h.Voters)))
	}
	return cat(txt(inkMuted, "head "), number, txt(inkWarn, " ? "+h.Trust))
}

func (m *model) upstreamLines(u control.Upstream, w int) []line {
	health := txt(inkGood, "● healthy")
	if !u.Healthy {
		health = txt(inkBad, "✗ not healthy")
	}
	out := []line{cat(txt(inkMuted, pad("health", 13)), health, txt(inkMuted, "  breaker "), stateMark(u.State).line())}
	out = append(out, fact("host", inkText, m.unmeasured(u.Host), w)...)
	out = append(out, fact("asked", inkText, fmt.Sprintf("in place %s, %s in flight, %s calls, %s failed", place(u.Preference), whole(u.InFlight), whole(u.Calls), whole(u.Failures)), w)...)
	out = append(out, fact("latency", inkText, fmt.Sprintf("p50 %s  p95 %s  p99 %s", number(control.UnitSeconds, float64(u.P50)),
		number(control.UnitSeconds, float64(u.P95)), number(control.UnitSeconds, float64(u.P99))), w)...)
	out = append(out, fact("head", inkText, fmt.Sprintf("%d, %s behind the trusted one", u.Head, blocks(u.Lag)), w)...)
	out = append(out, fact("abilities", inkText, strings.Join(u.Lacks, ", "), w)...)
	if u.Lies > 0 {
		out = append(out, fact("lies", inkBad, whole(u.Lies)+" answers proved false", w)...)
	}
	bad := inkMuted
	if !u.Healthy {
		bad = inkBad
	}
	return append(out, fact("last error", bad, m.unmeasured(u.LastError), w)...)
}

// place is the order in which providers are asked; 0 is not known.
func place(n int) string {
	if n == 0 {
		return noData
	}
	return strconv.Itoa(n)
}

func blocks(n uint64) string {
	if n == 1 {
		return "1 block"
	}
	return whole(n) + " blocks"
}
