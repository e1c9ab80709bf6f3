package tui

import (
	"math"

	"github.com/bizra/bizra-top/node/control"
)

// cachePanels show the tiers and classes, how full they are and what leaves them.
func (m *model) cachePanels(r rect) []panel {
	tiers := panel{id: "tiers", at: r, plots: nil, draw: m.tierTable}
	if r.h < 12 {
		return []panel{tiers}
	}
	head, rest := r.splitTop(6)
	beside := []panel{
		{id: "ratios", plots: []plot{m.cachePlots()[0], m.trustPlot()}, draw: m.cacheRatios},
		{id: "size", plots: m.cachePlots()[1:3], draw: m.cacheSize},
		{id: "l2", plots: m.cachePlots()[3:], draw: func(w, _ int) []line { return m.cacheL2(w) }}}
	switch {
	case r.w < 76:
		beside = beside[:1]
	case r.w < 150:
		beside = beside[:2]
	}
	if len(beside) == 2 && r.h < 20 {
		head, rest = r.splitTop(5)
	}
	var out []panel
	for i, at := range head.split(len(beside), 3) {
		beside[i].at = at
		out = append(out, beside[i])
	}
	n := min(len(m.look.Tiers)+3, rest.h*3/5)
	if rest.h < 14 {
		n = min(len(m.look.Tiers)+3, rest.h-4)
	}
	tiers.at, rest = rest.splitTop(n)
	tiers.at.h--
	out = append(out, tiers)
	hottest := panel{id: "hottest", draw: m.hotTable}
	if rest.h < 15 {
		if r.w >= 76 {
			rest, hottest.at = rest.splitLeft(r.w-max(36, r.w/2-10)-3, 3)
		}
		return append(out, m.settingsPanel(viewCache, rest), hottest)
	}
	over, rest := rest.splitTop(rest.h - min(len(m.settingsOf(viewCache))+2, rest.h/2))
	over.h--
	if r.w >= 110 {
		across := max(1, (r.w-hotWidth)/(chartWidth+3))
		over, hottest.at = over.splitLeft(min(across*(chartWidth+3)-3, r.w-hotWidth-3), 3)
		hottest.at.w = min(hottest.at.w, 72)
	}
	return append(append(out, m.charts(over, m.cachePlots()...)...), hottest, m.settingsPanel(viewCache, rest))
}

// cachePlots are hits, size, evictions, and how L2 is.
func (m *model) cachePlots() []plot {
	return []plot{
		{"Hit ratio", control.UnitRatio, []plotted{
			{name: "L2", panel: "cache_l2_hit_ratio", ink: inkChart2},
			{name: "L1", panel: "cache_l1_hit_ratio", ink: inkChart3, heavy: true},
		}},
		{"L1 size", control.UnitBytes, []plotted{{name: "L1", panel: "cache_l1_bytes", ink: inkChart1, heavy: true}}},
		{"Evictions by cause", control.UnitPerSecond, m.each("cache_evictions")},
		{"Hits by tier", control.UnitPerSecond, []plotted{
			{name: "L2", panel: "cache_hit_rate", label: "l2", ink: inkChart2},
			{name: "L1", panel: "cache_hit_rate", label: "l1", ink: inkChart1, heavy: true},
		}},
		{"L2 compression", control.UnitCount, []plotted{{name: "times smaller", panel: "cache_l2_compression", ink: inkChart2, heavy: true}}},
		{"Redis calls", control.UnitSeconds, []plotted{{name: "p99", panel: "cache_l2_p99", ink: inkChart2, heavy: true}}},
	}
}

// trustPlot is what the gateway's answers rest on.
func (m *model) trustPlot() plot {
	return plot{"What answers rest on", control.UnitRatio, m.each("answers_trust")}
}

func (m *model) cacheRatios(w, h int) []line {
	l1, l2 := m.value("cache_l1_hit_ratio", ""), m.value("cache_l2_hit_ratio", "")
	fill := m.value("cache_l1_fill", "")
	out := []line{titled("Hit ratio", w),
		labelled("L1", number(control.UnitRatio, l1), inkStrong, bar(w-19, l1, 0, inkChart3)),
		labelled("L2", m.l2Number(l2), inkStrong, bar(w-19, l2, 0, inkChart3)),
		labelled("L1 fill", number(control.UnitRatio, fill), inkText, bar(w-19, fill, 0, fillInk(fill))),
	}
	if h < 6 {
		return out // the last row is air
	}
	return append(out, m.answersRestOn(w))
}

// answersRestOn is the share of the gateway's answers that were proved, with those that a
// quorum and that one provider alone stands behind.
func (m *model) answersRestOn(w int) line {
	share := func(label string) string { return number(control.UnitRatio, m.value("answers_trust", label)) }
	others := cat(txt(inkMuted, "quorum "), txt(inkText, share("quorum")), txt(inkMuted, "  single "), txt(inkText, share("single")))
	if others.width() > w-19 {
		others = nil
	}
	return labelled("proved", share("proof"), inkText, others)
}

func (m *model) cacheSize(w, h int) []line {
	evictions := m.sum("cache_evictions")
	var causes line
	for _, v := range m.look.Panels["cache_evictions"] {
		// Those that do not happen would push out those that do.
		if n := m.value("cache_evictions", v.Label); !(n > 0) {
			continue
		}
		if part := cat(txt(inkMuted, v.Label+" "), txt(inkText, number(control.UnitPerSecond, m.value("cache_evictions", v.Label))+"  ")); causes.width()+part.width() <= w-19 {
			causes = cat(causes, part)
		}
	}
	out := []line{titled("Size and evictions", w),
		m.vital("L1 size", "cache_l1_bytes", control.UnitBytes, w, 0, inkChart1, inkStrong),
		labelled("evicted", number(control.UnitPerSecond, evictions), inkStrong, causes),
		m.vital("L2 p99", "cache_l2_p99", control.UnitSeconds, w, 0, inkChart2, inkStrong),
		labelled("L2 zstd", timesSmaller(m.value("cache_l2_compression", "")), inkText, m.trend("cache_l2_compression", "", w-19, 0, inkChart2)),
	}
	if h < 6 {
		out = out[:4] // the last row is air
	}
	return out
}

// timesSmaller formats a compression ratio.
func timesSmaller(v float64) string {
	if text := number(control.UnitCount, v); text != noData {
		return text + "×"
	}
	return noData
}

// cacheL2 says how Redis is.
func (m *model) cacheL2(w int) []line {
	state := txt(inkMuted, "off")
	for _, b := range m.look.Breakers {
		if b.Class == "redis" {
			state = cat(stateMark(b.State).line(), txt(inkMuted, "  "+number(control.UnitRatio, float64(b.FailureRatio))+" failed"))
		}
	}
	failed := m.sum("cache_l2_errors")
	return []line{titled("Redis and loads", w),
		cat(txt(inkMuted, pad("breaker", 9)), state),
		labelled("errors", number(control.UnitPerSecond, failed), nonzero(failed, inkWarn), note(w-19, "calls and corrupt values counted as misses", "counted as misses")),
		m.vital("shared", "cache_coalesced", control.UnitPerSecond, w, 0, inkChart1, inkText),
		labelled("stale", number(control.UnitPerSecond, m.value("cache_stale", "")), nonzero(m.value("cache_stale", ""), inkWarn), note(w-19, "immutable answers served past their time", "served past their time")),
	}
}

func (m *model) tierTable(w, h int) []line {
	cols := []column{
		{title: "tier", w: 4}, {title: "class", w: 12, grow: 1},
		{title: "hit ratio", w: 9, right: true}, {title: "", w: 10, grow: 1, drop: 5},
		{title: "hits", w: 7, right: true}, {title: "misses", w: 7, right: true, drop: 1},
		{title: "entries", w: 7, right: true, drop: 3}, {title: "bytes", w: 8, right: true, drop: 2},
		{title: "evicted", w: 7, right: true, drop: 4}, {title: "ttl", w: 6, right: true, drop: 6},
	}
	widths := columnWidths(cols, w)
	var rows []row
	for _, t := range m.look.Tiers {
		ratio := math.NaN()
		if all := t.Hits + t.Misses; all > 0 {
			ratio = float64(t.Hits) / float64(all)
		}
		only := func(v uint64) line {
			if t.Tier != "l1" && v == 0 {
				return txt(inkMuted, noData)
			}
			return txt(inkText, whole(v))
		}
		size := txt(inkMuted, noData)
		if t.Tier == "l1" || t.Bytes > 0 {
			size = txt(inkText, bytesOf(float64(t.Bytes)))
		}
		rows = append(rows, row{
			txt(inkText, t.Tier), txt(inkText, t.Class),
			txt(inkStrong, number(control.UnitRatio, ratio)), bar(widths[3], ratio, 0, inkChart3),
			txt(inkText, whole(t.Hits)), txt(inkMuted, whole(t.Misses)),
			only(t.Entries), size, only(t.Evictions), txt(inkMuted, t.TTL),
		})
	}
	return append([]line{titledRight("Tiers and classes", m.warming(), w)}, table(cols, rows, -1, w, h-1)...)
}

// warming says how far warming is while it runs, and what failed after it; else from
// when on the table counts.
func (m *model) warming() line {
	w := m.look.Warming
	switch {
	case w.Running:
		return cat(txt(inkAccent, "warming "), txt(inkStrong, whole(uint64(w.Done))+" of "+whole(uint64(w.Total))))
	case w.Failed > 0:
		return txt(inkWarn, whole(uint64(w.Failed))+" of "+whole(uint64(w.Total))+" not warmed, see the events")
	}
	return txt(inkMuted, "since the start")
}
