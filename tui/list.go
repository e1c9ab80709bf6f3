package tui

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// rowKeys returns what the rows of a view's list are, in their order. The cursor
// holds on to a row by this, so it stays on it when rows move.
func (m *model) rowKeys(v viewID) []string {
	var out []string
	switch v {
	case viewOverview:
		for _, c := range m.circuits() {
			out = append(out, c.breaker.Name)
		}
	case viewBreakers:
		for _, b := range m.breakers() {
			out = append(out, b.Name)
		}
	case viewUpstreams:
		for _, u := range m.upstreams() {
			out = append(out, u.Name)
		}
	case viewAlerts:
		for _, a := range m.alerts() {
			out = append(out, alertKey(a))
		}
	case viewSettings, viewPool, viewCache:
		for _, s := range m.settingsOf(v) {
			out = append(out, s.Key)
		}
	case viewEvents:
		for _, e := range m.eventList() {
			out = append(out, e.Newest.Kind+" "+e.Newest.Subject)
		}
	case viewDrill:
		out = m.drillRows()
	}
	return out
}

// matches tells whether every word of the view's filter is in one of the texts.
func (m *model) matches(v viewID, texts ...string) bool {
	return hasWords(m.filter[v], strings.Join(texts, " "))
}

func hasWords(words, text string) bool {
	text = strings.ToLower(text)
	for w := range strings.FieldsSeq(strings.ToLower(words)) {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func (m *model) breakers() []control.Breaker {
	var out []control.Breaker
	for _, b := range m.look.Breakers {
		if m.matches(viewBreakers, b.Name, b.Class, b.State, b.Reason, b.LastError) {
			out = append(out, b)
		}
	}
	return out
}

func (m *model) upstreams() []control.Upstream {
	var out []control.Upstream
	for _, u := range m.look.Upstreams {
		if m.matches(viewUpstreams, u.Name, u.Host, u.State, u.LastError) {
			out = append(out, u)
		}
	}
	return out
}

func (m *model) alerts() []control.Alert {
	var out []control.Alert
	for _, a := range m.look.Alerts {
		if m.matches(viewAlerts, a.Name, a.Part, a.State, a.Severity, a.Summary) {
			out = append(out, a)
		}
	}
	return out
}

// leading are the settings that come first in the view of their part.
var leading = map[viewID]string{viewPool: "pool.limit", viewCache: "cache.l1.max_bytes"}

// settingsOf returns the tunables of a view: all, or those of its part.
func (m *model) settingsOf(v viewID) []control.Setting {
	part := map[viewID]string{viewPool: "pool", viewCache: "cache"}[v]
	var out []control.Setting
	for _, s := range m.settings {
		switch {
		case part != "" && s.Part != part:
		case part == "" && !m.matches(v, s.Key, s.Doc, s.Value, changedWord(s)):
		case s.Key == leading[v]:
			out = slices.Insert(out, 0, s)
		default:
			out = append(out, s)
		}
	}
	return out
}

// changedWord lets a filter find what differs from its default.
func changedWord(s control.Setting) string {
	if s.Value != s.Default && s.Value != noData {
		return "changed"
	}
	return ""
}

func alertKey(a control.Alert) string {
	var b strings.Builder
	b.WriteString(a.Name)
	for _, l := range labelList(a.Labels) {
		b.WriteByte(' ')
		b.WriteString(l)
	}
	return b.String()
}

// labelList returns labels as name=value, sorted.
func labelList(labels map[string]string) []string {
	out := make([]string, 0, len(labels))
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// reseat keeps every cursor on its row after the rows changed.
func (m *model) reseat() {
	for v := viewOverview; v < viewEnd; v++ {
		m.seat(v, m.rowKeys(v))
	}
}

func (m *model) seat(v viewID, keys []string) {
	if v == viewOverview && m.cursor[v] < 0 {
		return
	}
	// The newest event, and what fires, is where an untouched list looks.
	if v == viewEvents && m.cursor[v] == 0 || v == viewAlerts && !m.moved {
		m.cursor[v], m.cursorKey[v] = 0, ""
	}
	if i := slices.Index(keys, m.cursorKey[v]); i >= 0 {
		m.cursor[v] = i
		return
	}
	m.cursor[v] = max(0, min(m.cursor[v], len(keys)-1))
	m.cursorKey[v] = ""
	if len(keys) > 0 {
		m.cursorKey[v] = keys[m.cursor[v]]
	}
}

// selected returns the key of the selected row, or "".
func (m *model) selected(v viewID) string { return m.cursorKey[v] }

func (m *model) move(by int) tea.Cmd {
	if m.zoomed && !m.onList() {
		m.zoomFrom = max(0, m.zoomFrom+by) // drawing knows the last
		return nil
	}
	if m.view >= viewEnd {
		m.cursor[m.view] = max(0, m.cursor[m.view]+by) // the layout knows the last
		return nil
	}
	keys := m.rowKeys(m.view)
	if len(keys) == 0 {
		return nil
	}
	if m.view == viewAlerts {
		m.moved = true
	}
	at := max(0, min(m.cursor[m.view]+by, len(keys)-1))
	m.cursor[m.view], m.cursorKey[m.view] = at, keys[at]
	return nil
}

// typeFilter handles a key while the filter of the view is typed.
func (m *model) typeFilter(k tea.KeyPressMsg) {
	f := field{text: m.filter[m.view]}
	switch k.String() {
	case "enter", "down", "up", "tab":
		m.filtering = false
	case "esc":
		m.filtering = false
		f.text = ""
	default:
		f.press(k)
	}
	m.filter[m.view] = f.text
	m.reseat()
}

// paste puts pasted text where text is being typed, and nowhere else: a pasted
// line never presses keys.
func (m *model) paste(text string) {
	switch {
	case m.overlay != nil:
		if t, ok := m.overlay.(typer); ok {
			t.paste(text)
		}
	case m.filtering:
		m.filter[m.view] += text
		m.reseat()
	}
}

// field is a line of text being typed; the cursor is at its end.
type field struct{ text string }

// press handles a key and tells whether it was one for typing.
func (f *field) press(k tea.KeyPressMsg) bool {
	switch k.String() {
	case "backspace", "ctrl+h":
		if r := []rune(f.text); len(r) > 0 {
			f.text = string(r[:len(r)-1])
		}
	case "ctrl+u":
		f.text = ""
	case "ctrl+w":
		f.text = strings.TrimRight(f.text, " ")
		f.text = f.text[:strings.LastIndexByte(f.text, ' ')+1]
	default:
		if k.Text == "" || len(f.text) > textLength {
			return false
		}
		f.text += k.Text
	}
	return true
}
