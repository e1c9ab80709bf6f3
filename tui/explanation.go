package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/settings"
)

// explanation shows a setting and what each source says of it.
type explanation struct {
	key     string
	told    bool // the node has answered
	layers  []settings.Layer
	problem string
	asking  bool
}

// explainedMsg is what each source says of a setting, weakest first.
type explainedMsg struct {
	key    string
	layers []settings.Layer
	err    string
}

// explain shows where a setting's value comes from.
func (m *model) explain(key string) tea.Cmd {
	if m.inPast() {
		m.say(inkMuted, "no metric tells where a value came from: L returns to now")
		return nil
	}
	e := &explanation{key: key}
	m.overlay = e
	return m.askExplanation(e)
}

func (m *model) askExplanation(e *explanation) tea.Cmd {
	e.asking = true
	key := e.key
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		layers, err := m.door.Explain(ctx, key)
		layers = owned(layers, maxRows)
		for i := range layers {
			cleanAll(textLength, &layers[i].Text)
			cleanAll(nameLength, (*string)(&layers[i].Source))
		}
		return explainedMsg{key, layers, cleanError(err)}
	})
}

func (e *explanation) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc", "enter", "q":
		m.overlay = nil
	case "e":
		m.overlay = nil
		return m.press(k)
	}
	return nil
}

func (e *explanation) box(m *model, w, h int) (string, []line) {
	s, _ := m.setting(e.key)
	lines := []line{nil}
	switch {
	case e.problem != "":
		lines = append(lines, wrap(inkMuted, e.problem, w, 2)...)
	case !e.told:
		lines = append(lines, txt(inkMuted, "… the node is asked"))
	}
	// The strongest first: it is the one in force.
	for i := len(e.layers) - 1; i >= 0; i-- {
		l, at, value := e.layers[i], txt(inkMuted, "  "), inkMuted
		if l.Wins {
			at, value = txt(inkAccent, "▸ "), inkStrong
		}
		lines = append(lines, cat(at, txt(inkText, pad(string(l.Source), 12)), txt(value, withUnit(s, l.Text))))
	}
	lines = append(lines, nil)
	lines = append(lines, m.settingLines(s, w)...)
	return e.key, append(bounded(append(lines, nil), max(h-1, 0)), txt(inkMuted, "e edits · esc back · the strongest source is first"))
}
