package tui

import (
	"cmp"
	"math"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// panel is one part of a view. It can have the focus, and be zoomed over the whole
// body.
type panel struct {
	id    string // the same at every size of the terminal
	at    rect
	draw  func(w, h int) []line // its title first
	plots []plot                // what it shows zoomed; without any, the same with more room
	chart bool                  // it is a chart already where it is
	list  bool                  // the table whose rows the arrows select
}

// plot is one chart: lines that share a scale.
type plot struct {
	title  string
	unit   control.Unit
	series []plotted
}

// charted is a panel that is one chart, here and zoomed.
func (m *model) charted(id string, at rect, p plot) panel {
	return panel{id: id, at: at, chart: true, plots: []plot{p}, draw: func(w, h int) []line { return m.chart(p, w, h) }}
}

// stacked puts panels of a fixed height under each other, as many as there is room
// for, with gap rows between them.
func stacked(r rect, gap int, heights []int, panels ...panel) []panel {
	var out []panel
	for i, p := range panels {
		if r.w <= 0 || r.h <= 0 {
			break
		}
		p.at, r = r.splitTop(heights[i])
		_, r = r.splitTop(gap)
		out = append(out, p)
	}
	return out
}

// split divides r into n columns of one width with a gap between them.
func (r rect) split(n, gap int) []rect {
	var out []rect
	for i := n; i > 0; i-- {
		var one rect
		one, r = r.splitLeft((r.w-(i-1)*gap)/i, gap)
		out = append(out, one)
	}
	return out
}

// The least width of a chart of which several stand side by side, and the least height
// of one that has others under it.
const (
	chartWidth  = 72
	chartHeight = 10
)

// charts fills r with as many of the plots as can be read there, the first ones.
func (m *model) charts(r rect, plots ...plot) []panel {
	if r.h < 5 || r.w < 24 || len(plots) == 0 {
		return nil
	}
	across := max(1, min(len(plots), r.w/chartWidth))
	down := max(1, min((len(plots)+across-1)/across, r.h/chartHeight))
	var out []panel
	for i, at := range r.grid(len(plots), across, down) {
		out = append(out, m.charted(plots[i].title, at, plots[i]))
	}
	return out
}

// grid divides r into n cells at most, across and down, row by row, with air between
// them. The last row shares its width out among those it has.
func (r rect) grid(n, across, down int) []rect {
	var out []rect
	for i := 0; i < down && i*across < n; i++ {
		var row rect
		row, r = r.splitTop(r.h / (down - i))
		if i < down-1 {
			row.h--
		}
		out = append(out, row.split(min(across, n-i*across), 3)...)
	}
	return out
}

// lineInks are the inks of lines that only their labels tell apart.
var lineInks = []ink{inkChart1, inkChart2, inkChart3, inkChart4}

// each are the series of a panel: those with the highest peaks, in the order of their
// labels.
func (m *model) each(panel string) []plotted {
	list := slices.Clone(m.values(panel))
	if len(list) > len(lineInks) {
		slices.SortStableFunc(list, func(a, b control.Value) int {
			return cmp.Compare(m.history.peak(panel, b.Label), m.history.peak(panel, a.Label))
		})
		list = list[:len(lineInks)]
		slices.SortFunc(list, func(a, b control.Value) int { return strings.Compare(a.Label, b.Label) })
	}
	var out []plotted
	for i, v := range list {
		out = append(out, plotted{name: v.Label, panel: panel, label: v.Label, ink: lineInks[i], heavy: i == 0})
	}
	return out
}

// seen are the panels that have room, in the order of tab.
func seen(panels []panel) []panel {
	return slices.DeleteFunc(panels, func(p panel) bool { return p.at.w <= 0 || p.at.h <= 0 })
}

// viewPanels returns the panels of the view in a body.
func (m *model) viewPanels(r rect) []panel {
	if m.view >= viewEnd {
		return seen(m.ownPanels(r))
	}
	return seen(map[viewID]func(*model, rect) []panel{
		viewOverview: (*model).overviewPanels, viewPool: (*model).poolPanels, viewCache: (*model).cachePanels,
		viewBreakers: (*model).breakerPanels, viewUpstreams: (*model).upstreamPanels, viewAlerts: (*model).alertPanels,
		viewSettings: (*model).settingsPanels, viewEvents: (*model).eventPanels,
		viewDrill: (*model).drillPanels,
	}[m.view](m, r))
}

// body is where the view is drawn.
func (m *model) body() rect {
	return layoutScreen(m.w, m.h, len(m.loudAlerts()), len(m.look.Trials)).body
}

// drawView draws the panels of the view, or the one that is zoomed.
func (m *model) drawView(f *frame, r rect) {
	panels := m.viewPanels(r)
	at := m.focused(panels)
	if m.zoomed && at >= 0 {
		f.put(r, m.zoom(panels[at], r.w, r.h))
		return
	}
	for i, p := range panels {
		if i == at {
			f.put(p.at, focusedLines(p, p.at.w, p.at.h))
			continue
		}
		f.put(p.at, p.draw(p.at.w, p.at.h))
	}
}

// focusMark stands before the title of the panel that has the focus.
const focusMark = "▸ "

// focusedLines draws a panel with the mark of the focus before its title.
func focusedLines(p panel, w, h int) []line {
	lines := p.draw(w, h)
	if head := p.draw(w-width(focusMark), h); len(head) > 0 && len(lines) > 0 {
		lines[0] = cat(txt(inkKey, focusMark), head[0])
	}
	return lines
}

// focused returns which panel has the focus, or -1.
func (m *model) focused(panels []panel) int {
	return slices.IndexFunc(panels, func(p panel) bool { return m.focus[m.view] != "" && p.id == m.focus[m.view] })
}

// onList tells whether the keys of the table apply: it has the focus, or nothing has.
func (m *model) onList() bool {
	panels := m.viewPanels(m.body())
	at := m.focused(panels)
	return at < 0 || panels[at].list
}

// nextPanel moves the focus by some panels, around the view.
func (m *model) nextPanel(by int) tea.Cmd {
	panels := m.viewPanels(m.body())
	if len(panels) == 0 {
		return nil
	}
	at := m.focused(panels)
	if at < 0 && by < 0 {
		at = 0
	}
	m.focus[m.view] = panels[(at+by+len(panels))%len(panels)].id
	m.zoomFrom = 0
	return nil
}

// toggleZoom shows the focused panel over the whole body, and back. Without a focus
// it takes the first chart.
func (m *model) toggleZoom() tea.Cmd {
	if m.zoomed {
		m.zoomed = false
		return nil
	}
	panels := m.viewPanels(m.body())
	if len(panels) == 0 {
		return nil
	}
	if m.focused(panels) < 0 {
		at := slices.IndexFunc(panels, func(p panel) bool { return p.chart })
		if at < 0 {
			at = max(slices.IndexFunc(panels, func(p panel) bool { return len(p.plots) > 0 }), 0)
		}
		m.focus[m.view] = panels[at].id
	}
	m.zoomed, m.zoomFrom = true, 0
	return nil
}

// enterPanel drills down where the table has the focus, else zooms.
func (m *model) enterPanel() tea.Cmd {
	if m.onList() {
		return m.enter()
	}
	return m.toggleZoom()
}

// leastPlot is the least height of a zoomed chart with its numbers that has others
// under it.
const leastPlot = 14

// zoom draws a panel over the whole body: its charts with their numbers.
func (m *model) zoom(p panel, w, h int) []line {
	if len(p.plots) == 0 {
		return focusedLines(p, w, h)
	}
	n := max(1, min(len(p.plots), h/leastPlot))
	m.zoomFrom = max(0, min(m.zoomFrom, len(p.plots)-n))
	var out []line
	for i, one := range p.plots[m.zoomFrom : m.zoomFrom+n] {
		room := (h - len(out)) / (n - i)
		if i < n-1 {
			room-- // air
		}
		more := ""
		if i == n-1 && n < len(p.plots) {
			more = "↑↓ " + whole(len(p.plots)-n) + " more"
		}
		out = append(out, m.measuredChart(one, i == 0, more, w, room)...)
		if i < n-1 {
			out = append(out, nil)
		}
	}
	return out
}

// measuredChart is a chart in h rows with a row of numbers for each of its series.
func (m *model) measuredChart(p plot, focus bool, more string, w, h int) []line {
	numbers := len(p.series)
	if most := max(1, h/3); numbers > most {
		numbers = most
	}
	if h < 6 {
		numbers = 0
	}
	mark := ""
	if focus {
		mark = focusMark
	}
	p.title = mark + p.title
	room := h - numbers
	if more != "" {
		room--
	}
	out := bounded(m.chart(p, w, room), room)
	for len(out) < room {
		out = append(out, nil)
	}
	for _, s := range p.series[:numbers] {
		out = append(out, m.numbers(s, p.unit, w))
	}
	if more != "" {
		out = append(out, txt(inkMuted, more).right(w))
	}
	return out
}

// numbers are the least, mean, greatest and last value of a series in the columns that
// its chart shows.
func (m *model) numbers(s plotted, unit control.Unit, w int) line {
	n := w - gutter - 1
	if n < 10 {
		return nil
	}
	low, top, sum, count, last := math.Inf(1), math.Inf(-1), 0.0, 0, math.NaN()
	for _, v := range m.history.columns(s.panel, s.label, m.nodeNow(), chartStep(n), n) {
		if math.IsNaN(v) {
			continue
		}
		low, top, sum, count, last = min(low, v), max(top, v), sum+v, count+1, v
	}
	name := min(20, max(8, w/5))
	l := cat(txt(s.ink, s.stroke()+" "), txt(inkText, s.name).fit(name))
	for _, part := range []struct {
		word string
		v    float64
	}{{"mean", sum / float64(count)}, {"max", top}, {"min", low}, {"last", last}} {
		if more := cat(l, txt(inkMuted, " "+lead(part.word, 4)+" "), txt(inkStrong, lead(number(unit, part.v), 8))); more.width() <= w {
			l = more
		}
	}
	return l
}
