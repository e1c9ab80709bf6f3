package tui

import (
	"strings"

	"github.com/bizra/bizra-top/node/control"
)

// drawSettings shows all tunables, and the selected one at length.
func (m *model) drawSettings(f *frame, r rect) {
	list := r
	if r.h >= 16 {
		var low rect
		list, low = r.splitTop(r.h - 7)
		if s, ok := m.setting(m.selected(viewSettings)); ok {
			f.put(low, append([]line{nil, titled(s.Key, low.w)}, m.settingLines(s, low.w)...))
		}
	}
	f.put(list, m.settingsTable(viewSettings, list.w, list.h))
}

// settingsTable lists the tunables of a view. One with a draft shows old → new.
func (m *model) settingsTable(v viewID, w, h int) []line {
	cols := []column{
		{title: "", w: 1}, {title: "setting", w: 32, grow: 2},
		{title: "value", w: 16, grow: 1}, {title: "default", w: 10, drop: 2},
		{title: "bounds", w: 18, drop: 4}, {title: "risk", w: 6, drop: 3},
		{title: "", w: 20, grow: 5, drop: 1},
	}
	var rows []row
	list := m.settingsOf(v)
	changed := 0
	for _, s := range list {
		dot, value := txt(inkMuted, ""), txt(inkText, withUnit(s, s.Value))
		if s.Value != s.Default {
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
			dot, keyLine(s.Key), value, txt(inkMuted, s.Default), txt(inkMuted, bounds(s)),
			txt(risk, s.Risk), txt(inkMuted, s.Doc),
		})
	}
	title := m.listTitle("Settings", v, len(rows), len(m.settings), w)
	if v != viewSettings {
		title = titled("Settings of this part", w)
	} else if changed > 0 && m.filter[v] == "" {
		title = titledRight("Settings", cat(txt(inkAccent, "* "), txt(inkMuted, whole(changed)+" changed of "+whole(len(rows)))), w)
	}
	return append([]line{title}, table(cols, rows, m.cursor[v], w, h-1)...)
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
