package tui

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/guptarohit/asciigraph"
)

// plotted is one line of a chart.
type plotted struct {
	name         string
	panel, label string
	ink          ink
	heavy        bool
}

// stroke is how the line looks in a legend.
func (p plotted) stroke() string {
	if p.heavy {
		return "━━"
	}
	return "──"
}

// heavy strokes tell the second line from the first without colours.
var heavyStrokes = asciigraph.CharSet{
	Horizontal: "━", VerticalLine: "┃", ArcDownRight: "┏", ArcDownLeft: "┓",
	ArcUpRight: "┗", ArcUpLeft: "┛", EndCap: "╸", StartCap: "╺",
}

// graphInk is the first of the 256 colours that stand for our inks in
// asciigraph's output; they are taken out again before anything is shown.
const graphInk = 100

// chartStep returns the wall time of one column so that n of them show at least
// eight minutes.
func chartStep(n int) time.Duration {
	for _, s := range []time.Duration{1, 2, 3, 5, 10, 15, 20, 30, 60} {
		if s*time.Second*time.Duration(n) >= 8*time.Minute {
			return s * time.Second
		}
	}
	return time.Minute
}

// happened is a mark on the time axis: a setting changed, or an alert began to fire.
type happened struct {
	at    time.Time
	alert bool
	ink   ink
}

func (p happened) glyph() string {
	if p.alert {
		return "▲"
	}
	return "◆"
}

// happenings are the marks of the events until the moment that is shown.
func (m *model) happenings() []happened {
	var out []happened
	for _, e := range m.eventsThen() {
		verb, _, _ := strings.Cut(e.Text, ":")
		switch {
		case e.Kind == "change" && changeMarks[verb].glyph != "" && changeMarks[verb].glyph != "✓":
			out = append(out, happened{e.Time, false, inkAccent})
		case e.Kind == "alert" && verb == "firing":
			i := eventMark(e).ink
			out = append(out, happened{e.Time, true, i})
		}
	}
	return out
}

// chart draws the past of some panels up to the moment that is shown.
func (m *model) chart(p plot, w, h int) []line {
	return chart(m.history, m.nodeNow(), p, m.happenings(), m.axisEnd(), m.whyNoCharts(), w, h)
}

// axisEnd names the end of a time axis: now, or the moment that is shown.
func (m *model) axisEnd() string {
	if m.inPast() {
		return m.past.at.Local().Format("15:04:05")
	}
	return "now"
}

// gutter is the columns of a chart's labels and its axis.
const gutter = 10

// chart draws series over time in w columns and h rows: a title row with the
// legend, the plot, and a time axis with marks of what happened; empty is what is said
// where there is nothing to plot.
func chart(h *history, now time.Time, p plot, marks []happened, end string, empty line, w, height int) []line {
	head := titled(p.title, w)
	var legend, names line // with numbers, and without where that is too wide
	n := w - gutter - 1
	plotRows := height - 2
	rule := height >= 8 // an axis of its own carries the marks
	if rule {
		plotRows--
	}
	if n < 10 || plotRows < 2 {
		return []line{head}
	}
	step := chartStep(n)
	var data [][]float64
	var options []asciigraph.Option
	var colors []asciigraph.AnsiColor
	var strokes []asciigraph.CharSet
	top := 0.0
	for _, s := range p.series {
		values := h.columns(s.panel, s.label, now, step, n)
		live := math.NaN()
		for _, v := range values {
			if v > top {
				top = v
			}
			if !math.IsNaN(v) {
				live = v
			}
		}
		set := asciigraph.DefaultCharSet
		if s.heavy {
			set = heavyStrokes
		}
		name := cat(txt(s.ink, s.stroke()+" "), txt(inkMuted, s.name))
		legend = cat(legend, name, txt(inkStrong, " "+lead(number(p.unit, live), 8)), txt(inkText, "  "))
		names = cat(names, name, txt(inkText, "  "))
		if math.IsNaN(live) {
			continue // nothing to plot; asciigraph needs a number
		}
		data = append(data, values)
		colors = append(colors, asciigraph.AnsiColor(graphInk+s.ink))
		strokes = append(strokes, set)
	}
	if width(p.title)+1+legend.width() > w {
		legend = names
	}
	if len(legend) > 0 {
		legend = legend[:len(legend)-1]
	}
	for _, mark := range []happened{{alert: true, ink: inkBad}, {ink: inkAccent}} {
		word := map[bool]string{true: "alert fired", false: "change"}[mark.alert]
		key := cat(txt(mark.ink, mark.glyph()), txt(inkMuted, " "+word+"  "))
		seen := slices.ContainsFunc(marks, func(m happened) bool { return m.alert == mark.alert && columnOf(m.at, now, step, n) >= 0 })
		if seen && width(p.title)+2+key.width()+legend.width() < w {
			legend = cat(key, legend)
		}
	}
	head = titledRight(p.title, legend, w)
	if len(data) == 0 {
		return []line{head, nil, empty.fit(w)}
	}
	top = niceTop(p.unit, top)
	plotRows, every := ticks(plotRows)
	options = append(options,
		asciigraph.Height(plotRows-1), asciigraph.LowerBound(0), asciigraph.UpperBound(top),
		asciigraph.SeriesColors(colors...), asciigraph.SeriesChars(strokes...),
		asciigraph.AxisColor(graphInk+asciigraph.AnsiColor(inkBorder)), asciigraph.LabelColor(graphInk+asciigraph.AnsiColor(inkMuted)),
		asciigraph.YAxisValueFormatter(func(v float64) string {
			row := int(math.Round((top - v) / top * float64(plotRows-1)))
			label := ""
			if row%every == 0 {
				label = number(p.unit, math.Max(v, 0))
			}
			return lead(label, gutter-2)
		}))
	out := []line{head}
	for text := range strings.SplitSeq(asciigraph.PlotMany(data, options...), "\n") {
		out = append(out, inked(text))
	}
	axis := timeAxis(gutter, n, step, end)
	if rule {
		base := txt(inkBorder, spaces(gutter)+"└"+repeat("─", n-1))
		return append(out, marked(base, marks, now, n, step), axis)
	}
	return append(out, marked(axis, marks, now, n, step))
}

// ticks returns how many of the rows a plot takes, and how many lie between its
// labels, so that the labels divide the scale evenly.
func ticks(rows int) (plot, every int) {
	for plot = rows; plot > max(2, rows-2); plot-- {
		for _, parts := range []int{4, 5, 3, 2} {
			if every := (plot - 1) / parts; every >= 2 && (plot-1)%parts == 0 {
				return plot, every
			}
		}
	}
	return rows, rows - 1
}

// inked turns asciigraph's colours back into inks.
func inked(text string) line {
	var out line
	i := inkText
	for text != "" {
		esc := strings.IndexByte(text, '\x1b')
		if esc < 0 {
			return append(out, span{text, i})
		}
		if esc > 0 {
			out = append(out, span{text[:esc], i})
		}
		end := strings.IndexByte(text[esc:], 'm')
		if end < 0 {
			return out
		}
		code := text[esc+1 : esc+end]
		text = text[esc+end+1:]
		i = inkText
		if c, err := strconv.Atoi(code[strings.LastIndexByte(code, ';')+1:]); err == nil && c >= graphInk && c < graphInk+int(inkCount) {
			i = ink(c - graphInk)
		}
	}
	return out
}

// niceTop rounds the top of a scale up so that it changes seldom and reads well.
func niceTop(unit control.Unit, top float64) float64 {
	if unit == control.UnitRatio {
		return 1
	}
	if top <= 0 {
		if unit == control.UnitSeconds {
			return 0.001
		}
		return 1
	}
	base := 10.0
	if unit == control.UnitBytes {
		base = 1024
	}
	size := math.Pow(base, math.Floor(math.Log(top)/math.Log(base)+1e-9))
	steps := []float64{1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10, 16, 32, 64, 128, 256, 512, 1024}
	for _, m := range steps {
		if size*m >= top {
			return size * m
		}
	}
	return top
}

func timeAxis(gutter, n int, step time.Duration, end string) line {
	span := step * time.Duration(n)
	left, mid, right := "-"+age(span), "-"+age(span/2), end
	gap := n - width(left) - width(mid) - width(right)
	if gap < 4 {
		return txt(inkMuted, spaces(gutter)+left+spaces(n-width(left)-width(right))+right)
	}
	return txt(inkMuted, spaces(gutter)+left+spaces(gap/2)+mid+spaces(gap-gap/2)+right)
}

// columnOf returns the column of a moment in a chart of n columns up to now, or -1.
func columnOf(at, now time.Time, step time.Duration, n int) int {
	ms := step.Milliseconds()
	if c := n - 1 - int(now.UnixMilli()/ms-at.UnixMilli()/ms); c >= 0 && c < n {
		return c
	}
	return -1
}

// marked puts marks over a time axis of n columns behind a gutter. Of several in one
// column the last one is seen. Where the axis has its text a mark moves aside, to the
// nearest column without any.
func marked(axis line, marks []happened, now time.Time, n int, step time.Duration) line {
	free := []rune(axis.cut(gutter, gutter+n).String())
	for _, p := range marks {
		c := columnOf(p.at, now, step, n)
		for by := 0; c >= 0 && by < n; by++ {
			at := -1
			if c-by >= 0 && strings.ContainsRune(" ─└", free[c-by]) {
				at = c - by
			} else if c+by < len(free) && strings.ContainsRune(" ─└", free[c+by]) {
				at = c + by
			}
			if at >= 0 {
				axis = cat(axis.cut(0, gutter+at), txt(p.ink, p.glyph()), axis.cut(gutter+at+1, gutter+n))
				break
			}
		}
	}
	return axis
}

// titled is the head of a panel: its title and a rule to the right edge.
func titled(title string, w int) line { return titledRight(title, nil, w) }

// titledRight is titled with something at the right end of the rule.
func titledRight(title string, right line, w int) line {
	left := txt(inkTitle, title+" ")
	if len(right) > 0 {
		right = cat(txt(inkText, " "), right)
	}
	rule := w - left.width() - right.width()
	if rule < 1 {
		return left.fit(w)
	}
	return cat(left, txt(inkBorder, repeat("─", rule)), right)
}

// pad fills s with spaces to n columns, on the right.
func pad(s string, n int) string { return s + spaces(n-width(s)) }

// lead fills s with spaces to n columns, on the left.
func lead(s string, n int) string { return spaces(n-width(s)) + s }
