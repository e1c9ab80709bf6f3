package tui

import (
	"strings"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

// settingsPanels show all tunables, and the selected one at length.
func (m *model) settingsPanels(r rect) []panel {
	s, ok := m.setting(m.selected(viewSettings))
	if r.h < 16 || !ok {
		return []panel{m.settingsPanel(viewSettings, r)}
	}
	list, low := r.splitTop(r.h - 7)
	_, low = low.splitTop(1)
	return []panel{m.settingsPanel(viewSettings, list), {id: "setting", at: low, draw: func(w, _ int) []line {
		return append([]line{titled(s.Key, w)}, m.settingLines(s, w)...)
	}}}
}

func (m *model) settingsPanel(v viewID, at rect) panel {
	return panel{id: "settings", at: at, list: true, draw: func(w, h int) []line { return m.settingsTable(v, w, h) }}
}

// settingsTable lists the tunables of a view. One with a draft shows old → new.
func (m *model) settingsTable(v viewID, w, h int) []line {
	cols := []column{
		{title: "", w: 1}, {title: "setting", w: 32, grow: 2},
		{title: "value", w: 16, grow: 1}, {title: "from", w: 11, drop: 1}, {title: "default", w: 10, drop: 3},
		{title: "bounds", w: 18, drop: 5}, {title: "risk", w: 6, drop: 4},
		{title: "", w: 14, grow: 5, drop: 2},
	}
	var rows []row
	list := m.settingsOf(v)
	changed := 0
	for _, s := range list {
		dot, value := txt(inkMuted, ""), txt(inkText, withUnit(s, s.Value))
		if changedWord(s) != "" {
			changed++
			dot, value = txt(inkAccent, "*"), txt(inkStrong, withUnit(s, s.Value))
		}
		if d, ok := m.drafts[s.Key]; ok {
			dot, value = txt(inkWarn, "→"), cat(txt(inkMuted, s.Value+" → "), txt(inkWarn, d))
		}
		risk := inkMuted
		if s.Risk == "high" {
			risk = inkText
		}
		rows = append(rows, row{
			dot, keyLine(s.Key), value, sourceLine(s.Source), txt(inkMuted, s.Default), txt(inkMuted, bounds(s)),
			txt(risk, s.Risk), txt(inkMuted, s.Doc),
		})
	}
	title := m.listTitle("Settings", v, len(rows), len(m.settings), w)
	if v != viewSettings {
		title = titled("Settings of this part", w)
	} else if (changed > 0 || m.look.Unsaved > 0) && m.filter[v] == "" {
		right := cat(txt(inkAccent, "* "), txt(inkMuted, whole(changed)+" changed of "+whole(len(rows))))
		if n := m.look.Unsaved; n > 0 {
			right = cat(right, txt(inkWarn, "  "+whole(n)+" unsaved"), txt(inkMuted, ": a restart loses them, "), txt(inkKey, "w"), txt(inkMuted, " saves"))
		}
		title = titledRight("Settings", right, w)
	}
	return append([]line{title}, table(cols, rows, m.cursor[v], w, h-1)...)
}

// sourceLine says where a value comes from. One that was set while the node runs is
// the one that a restart may lose.
func sourceLine(source string) line {
	switch settings.Source(source) {
	case settings.SourceDefault:
		return txt(inkMuted, source)
	case settings.SourceLive:
		return txt(inkAccent, source)
	default:
		return txt(inkText, source)
	}
}

// keyLine writes a key with its part muted, so that the eye finds its name.
func keyLine(key string) line {
	if i := strings.IndexByte(key, '.'); i > 0 {
		return cat(txt(inkMuted, key[:i+1]), txt(inkText, key[i+1:]))
	}
	return txt(inkText, key)
}

func (m *model) settingLines(s control.Setting, w int) []line {
	out := wrap(inkText, s.Doc, w, 2)
	note := oneLine(" · ", "default "+withUnit(s, s.Default), "bounds "+bounds(s), "risk "+s.Risk, prefixed("from ", s.Source))
	if s.Started != s.Value {
		note += " · " + s.Started + " at start"
	}
	if s.Restart {
		note += " · read at start only"
	}
	out = append(out, wrap(inkMuted, note, w, 2)...)
	if d, ok := m.drafts[s.Key]; ok {
		out = append(out, cat(txt(inkWarn, s.Value+" → "+d), txt(inkMuted, "   not applied: enter asks, esc drops it")))
	}
	return out
}
