package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// breakerDrill shows a breaker at length: its states over time, and why it moved.
type breakerDrill struct {
	name    string
	since   time.Time // of the state that was asked about
	list    []control.Transition
	told    bool
	problem string
	asking  bool // for the transitions
	scroll  scroll

	outcomes control.Outcomes // in the window
	untold   string           // why they are not known
	asked    bool             // they are awaited
	lacking  bool             // the node is of a version that does not tell
}

// transitionsMsg is what a breaker did lately, oldest first.
type transitionsMsg struct {
	name string
	list []control.Transition
	err  string
}

// drillBreaker opens the drill-down of a breaker.
func (m *model) drillBreaker(b control.Breaker) tea.Cmd {
	d := &breakerDrill{name: b.Name, since: b.Since, asking: true, asked: true}
	m.overlay = d
	return tea.Batch(m.fetchTransitions(d.name), m.fetchOutcomes(d.name))
}

func (m *model) fetchTransitions(name string) tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.Transitions(ctx, name)
		list = owned(list, maxRows)
		for i := range list {
			cleanAll(nameLength, &list[i].From, &list[i].To)
			cleanAll(textLength, &list[i].Reason)
		}
		return transitionsMsg{name, list, cleanError(err)}
	})
}

// followBreaker asks again for what is in the window, and for the transitions when the
// breaker has moved.
func (m *model) followBreaker(d *breakerDrill) tea.Cmd {
	b, ok := m.breaker(d.name)
	if !ok || m.inPast() {
		return nil
	}
	var cmds []tea.Cmd
	if !d.lacking && !d.asked {
		d.asked = true
		cmds = append(cmds, m.fetchOutcomes(d.name))
	}
	if (!b.Since.Equal(d.since) || d.problem != "") && !d.asking {
		d.since, d.asking = b.Since, true
		cmds = append(cmds, m.fetchTransitions(d.name))
	}
	return tea.Batch(cmds...)
}

func (m *model) breaker(name string) (control.Breaker, bool) {
	if i := slices.IndexFunc(m.look.Breakers, func(b control.Breaker) bool { return b.Name == name }); i >= 0 {
		return m.look.Breakers[i], true
	}
	return control.Breaker{}, false
}

func (d *breakerDrill) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	if d.scroll.press(m, k) {
		return nil
	}
	switch k.String() {
	case "e", "o", "c", "r", "m":
		m.overlay = nil
		return m.press(k)
	case "[", "]", "{", "}", "L":
		return m.command(k)
	}
	return nil
}

// levels draw a state as a height: the higher, the less goes through.
var levels = map[string]string{
	"closed": "▁", "half-open": "▄", "open": "▇", "forced-open": "▇", "forced-closed": "▂", "disabled": "▂", "metrics-only": "▂",
}

// states draws the states of a breaker in w columns up to now. Of several in a column
// the last one is seen.
func states(list []control.Transition, now time.Time, step time.Duration, w int) line {
	var out line
	at := ""
	if len(list) > 0 {
		at = list[0].From
	}
	i := 0
	for c := range w {
		for ; i < len(list) && columnOf(list[i].At, now, step, w) <= c && !list[i].At.After(now); i++ {
			at = list[i].To
		}
		glyph, drawn := levels[at], stateMark(at).ink
		if glyph == "" {
			glyph, drawn = " ", inkMuted
		}
		if n := len(out); n > 0 && out[n-1].ink == drawn {
			out[n-1].text += glyph
		} else {
			out = append(out, span{glyph, drawn})
		}
	}
	return out
}

func (d *breakerDrill) box(m *model, w, h int) (string, []line) {
	now := m.nodeNow()
	past := d.list
	if m.inPast() {
		past = past[:slices.IndexFunc(append(slices.Clone(past), control.Transition{At: now.Add(1)}), func(t control.Transition) bool { return t.At.After(now) })]
	}
	lines := []line{}
	if b, ok := m.breaker(d.name); ok {
		lines = append(lines, m.breakerLines(b, w)...)
	}
	lines = append(lines, nil, titled("Transitions", w))
	switch {
	case d.problem != "":
		lines = append(lines, wrap(inkMuted, noData+" "+d.problem, w, 2)...)
	case !d.told:
		lines = append(lines, txt(inkMuted, "… the node is asked"))
	case len(past) == 0:
		lines = append(lines, txt(inkMuted, "none since the start"))
	}
	for _, t := range slices.Backward(past) {
		lines = append(lines, cat(txt(inkMuted, clockSeconds(t.At, now)+" "), stateMark(t.To).line().fit(15), txt(inkMuted, " from "+pad(t.From, 13)+" "), txt(inkText, t.Reason)).fit(w))
	}
	var drawn []line
	if h >= 14 && len(past) > 0 {
		step := max(chartStep(w), time.Second)
		drawn = []line{titledRight("State", strip, w), states(past, now, step, w), timeAxis(0, w, step, m.axisEnd()), nil}
	}
	if h >= 18 || h >= 12 && len(drawn) == 0 {
		drawn = append(drawn, d.window(m, w)...)
	}
	room := max(1, h-3-len(drawn))
	out := append(append([]line{nil}, drawn...), d.scroll.window(lines, room)...)
	keys := "esc back · [ ] in time"
	if len(lines) > room {
		keys += " · ↑↓ scroll"
	}
	return d.name, append(bounded(append(out, nil), max(h-1, 0)), txt(inkMuted, keys))
}

// window draws what is in the breaker's window.
func (d *breakerDrill) window(m *model, w int) []line {
	switch {
	case m.inPast():
		return []line{titled("Outcomes in the window", w), txt(inkMuted, noData+" nobody keeps what was in the window then"), nil}
	case d.untold != "":
		return append(append([]line{titled("Outcomes in the window", w)}, wrap(inkMuted, noData+" "+d.untold, w, 2)...), nil)
	}
	return append(append([]line{titledRight("Outcomes in the window", outcomeLegend(), w)}, outcomeStrip(d.outcomes, w)...), nil)
}

// strip is the legend of the states.
var strip = cat(txt(inkGood, "▁"), txt(inkMuted, " closed  "), txt(inkWarn, "▄"), txt(inkMuted, " half-open  "), txt(inkBad, "▇"), txt(inkMuted, " open"))

// clockSeconds is clock with seconds.
func clockSeconds(at, now time.Time) string {
	text := clock(at, now)
	return strings.TrimSuffix(text, at.Local().Format("15:04")) + at.Local().Format("15:04:05")
}
