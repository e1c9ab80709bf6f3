package tui

import (
	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// editor takes a new value for one setting.
type editor struct {
	setting control.Setting
	field   field
	fresh   bool // nothing typed yet: the first character replaces the value
}

func (e *editor) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		m.overlay = nil
	case "enter":
		if e.field.text == e.setting.Value && !e.setting.Secret {
			m.overlay = nil
			m.say(inkMuted, e.setting.Key+" is "+e.setting.Value+" already")
			return nil
		}
		if plausible(e.setting, e.field.text) == "" {
			return m.guard(func(m *model) tea.Cmd { return m.askChange(e.setting, e.field.text) })
		}
	case "left", "down":
		e.field.text, _ = stepped(e.setting, e.field.text, -1)
		e.fresh = true
	case "right", "up":
		e.field.text, _ = stepped(e.setting, e.field.text, 1)
		e.fresh = true
	case "tab":
	default:
		if e.fresh && k.Text != "" {
			e.field.text = ""
		}
		if e.field.press(k) {
			e.fresh = false
		}
	}
	return nil
}

func (e *editor) paste(text string) { e.field.text, e.fresh = text, false }

func (e *editor) box(_ *model, w, h int) (string, []line) {
	s := e.setting
	value := e.field.text
	if s.Secret {
		value = repeat("•", len([]rune(value)))
	}
	entry := cat(txt(inkMuted, s.Value+"  →  "), txt(inkStrong|chosen, " "+value), txt(inkKey|chosen, "▏"))
	if s.Unit != "" {
		entry = cat(entry, txt(inkMuted, " "+s.Unit))
	}
	lines := []line{nil, entry}
	if why := plausible(s, e.field.text); why != "" {
		lines = append(lines, wrap(inkBad, "✗ "+why, w, 2)...)
	} else {
		lines = append(lines, nil)
	}
	lines = append(lines, wrap(inkText, s.Doc, w, 3)...)
	lines = append(lines, wrap(inkMuted, "bounds "+bounds(s)+" · default "+withUnit(s, s.Default), w, 2)...)
	keys := txt(inkMuted, "type a value · ←→ step · enter goes on · esc back")
	return "Edit " + s.Key, append(bounded(append(lines, nil), max(h-1, 0)), keys)
}
