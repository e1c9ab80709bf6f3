package tui

import (
	"context"
	"math"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// compareEvery is how often a drill-down into an alert asks for its past again.
const compareEvery = 5 * time.Second

// unitShare is a ratio whose scale ends where its values do, and not at 100 %.
const unitShare control.Unit = "share"

// alertDrill shows an alert at length: what its rule compares, over time.
type alertDrill struct {
	alert   control.Alert
	key     string
	asked   time.Time // the moment that was asked for
	past    *history
	told    bool
	asking  bool
	problem string
	scroll  scroll
}

// comparedMsg is what an alert's rule compares.
type comparedMsg struct {
	key  string
	past *history
	err  string
}

// The series of a drill-down's history.
const (
	comparedValue     = "value"
	comparedThreshold = "threshold"
)

// drillAlert opens the drill-down of the selected alert.
func (m *model) drillAlert(a control.Alert) tea.Cmd {
	d := &alertDrill{alert: a, key: alertKey(a)}
	m.overlay = d
	return m.compare(d)
}

// compare asks for what the alert's rule compares, up to the moment that is shown.
func (m *model) compare(d *alertDrill) tea.Cmd {
	end := m.look.Time
	d.asked, d.asking = end, true
	a, key := d.alert, d.key
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		c, err := m.door.Comparison(ctx, a.Name, end, seedSpan, seedStep)
		if err != nil {
			return comparedMsg{key: key, err: cleanError(err)}
		}
		past := newHistory()
		past.seed(cleanHistory(map[string][]control.Series{
			comparedValue:     {{Points: worst(c.Values, a.Labels)}},
			comparedThreshold: {{Points: worst(c.Thresholds, nil)}},
		}))
		return comparedMsg{key: key, past: past}
	})
}

// worst is one series of several: that of the alert's labels where there is one, else
// the greatest value at each moment.
func worst(list []control.Series, of map[string]string) []control.Point {
	var all []control.Point
	for _, s := range list {
		if s.Label != "" && within(s.Label, of) {
			return s.Points
		}
		all = merged(all, s.Points)
	}
	return all
}

// within tells whether all of a series' labels are the alert's.
func within(label string, of map[string]string) bool {
	for pair := range strings.FieldsSeq(label) {
		if name, value, _ := strings.Cut(pair, "="); of[name] != value {
			return false
		}
	}
	return true
}

// merged returns the greater value at each moment of two series in the order of time.
func merged(a, b []control.Point) []control.Point {
	out := make([]control.Point, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].T < b[0].T:
			out, a = append(out, a[0]), a[1:]
		case a[0].T > b[0].T:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, control.Point{T: a[0].T, V: max(a[0].V, b[0].V)}), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// compared takes in what the rule compares.
func (m *model) compared(msg comparedMsg) {
	if d, ok := m.overlay.(*alertDrill); ok && d.key == msg.key {
		d.told, d.problem, d.asking = true, msg.err, false
		if msg.err == "" {
			d.past = msg.past
		}
	}
}

// refreshDrill asks again when what is shown has moved on.
func (m *model) refreshDrill() tea.Cmd {
	switch o := m.overlay.(type) {
	case *breakerDrill:
		return m.followBreaker(o)
	case *explanation:
		if o.problem != "" && !o.asking {
			return m.askExplanation(o)
		}
	}
	d, ok := m.overlay.(*alertDrill)
	if !ok || d.asking || d.problem == "" && m.look.Time.Sub(d.asked).Abs() < compareEvery {
		return nil
	}
	return m.compare(d)
}

func (d *alertDrill) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	if d.scroll.press(m, k) {
		return nil
	}
	switch k.String() {
	case "e", "a", "s":
		m.overlay = nil
		return m.press(k)
	case "[", "]", "{", "}", "L":
		return m.command(k)
	}
	return nil
}

// unitOf is the unit of what the alert compares: that of its threshold.
func (m *model) unitOf(a control.Alert) control.Unit {
	for _, key := range a.Thresholds {
		s, _ := m.setting(key)
		switch settings.Kind(s.Kind) {
		case settings.KindRatio:
			return unitShare
		case settings.KindDuration:
			return control.UnitSeconds
		case settings.KindBytes:
			return control.UnitBytes
		}
	}
	return control.UnitCount
}

func (d *alertDrill) box(m *model, w, h int) (string, []line) {
	for _, a := range m.look.Alerts {
		if alertKey(a) == d.key {
			d.alert = a // as it is now
		}
	}
	var drawn []line
	rows := min(14, h-8)
	switch {
	case d.problem != "":
		drawn = wrap(inkBad, "✗ "+d.problem, w, 3)
	case !d.told:
		drawn = []line{txt(inkMuted, "… the node is asked")}
	case rows >= 5:
		series := []plotted{{name: "threshold", panel: comparedThreshold, ink: inkBad}, {name: "value", panel: comparedValue, ink: inkChart1, heavy: true}}
		if !d.past.has(comparedThreshold) {
			series = series[1:]
		}
		drawn = chart(d.past, m.nodeNow(), plot{"What the rule compares", m.unitOf(d.alert), series}, m.happenings(), m.axisEnd(), txt(inkMuted, "  no data yet"), w, rows)
	}
	if len(drawn) > 0 {
		drawn = append(drawn, nil)
	}
	lines := m.alertLines(d.alert, w)
	room := max(1, h-3-len(drawn))
	out := append(append([]line{nil}, drawn...), d.scroll.window(lines, room)...)
	keys := "esc back · e edits the threshold · [ ] in time"
	if len(lines) > room {
		keys += " · ↑↓ scroll"
	}
	return alertKey(d.alert), append(bounded(append(out, nil), max(h-1, 0)), txt(inkMuted, keys))
}

// has tells whether a panel has any number.
func (h *history) has(panel string) bool {
	for k, r := range h.rings {
		for _, p := range r.points {
			if k.panel == panel && !math.IsNaN(float64(p.V)) {
				return true
			}
		}
	}
	return false
}
