package tui

import (
	"strings"

	"github.com/bizra/bizra-top/node/control"
)

// alertPanels show every rule, and the selected one at length.
func (m *model) alertPanels(r rect) []panel {
	list := panel{id: "rules", at: r, draw: m.alertTable, list: true}
	a, ok := m.selectedAlert()
	if r.h < 16 || !ok {
		return []panel{list}
	}
	var low rect
	list.at, low = r.splitTop(max(min(len(m.look.Alerts)+3, r.h-12), 6))
	if list.at.h > 8 {
		list.at.h-- // air
	}
	return []panel{list, {id: "rule", at: low, plots: []plot{firingPlot}, draw: func(w, _ int) []line {
		return append([]line{titled(a.Name, w)}, m.alertLines(a, w)...)
	}}}
}

var firingPlot = plot{"Alerts that fire", control.UnitCount, []plotted{{name: "firing", panel: "alerts_firing", ink: inkBad, heavy: true}}}

func (m *model) alertTable(w, h int) []line {
	cols := []column{
		{title: "state", w: 10}, {title: "rule", w: 20, grow: 1},
		{title: "severity", w: 8, drop: 2}, {title: "part", w: 10, drop: 4},
		{title: "since", w: 5, right: true}, {title: "value", w: 8, right: true, drop: 3},
		{title: "summary", w: 20, grow: 3, drop: 1},
		{title: "expression", w: 40, grow: 3, drop: 5},
	}
	var rows []row
	for _, a := range m.alerts() {
		s := alertMark(a)
		body := inkText
		if s.calm {
			body = inkMuted
		}
		value := noData
		if a.Value != nil {
			value = count(float64(*a.Value))
		}
		when := noData
		if a.State != "inactive" {
			when = since(m.nodeNow(), a.Since)
		}
		rows = append(rows, row{
			s.line(), txt(body, alertKey(a)), txt(inkMuted, a.Severity), txt(inkMuted, a.Part),
			txt(inkMuted, when), txt(body, value), txt(body, a.Summary), txt(inkMuted, a.Expr),
		})
	}
	return append([]line{m.listTitle("Alert rules", viewAlerts, len(rows), len(m.look.Alerts), w)}, table(cols, rows, m.cursor[viewAlerts], w, h-1)...)
}

func (m *model) alertLines(a control.Alert, w int) []line {
	when := ""
	if a.State != "inactive" {
		when = "for " + since(m.nodeNow(), a.Since)
	}
	if handled(a) {
		when = a.State + " " + when
	}
	out := []line{cat(txt(inkMuted, pad("state", 13)), alertMark(a).line(), txt(inkMuted, " "+oneLine(" · ", when, a.Severity, a.Part)))}
	if k := a.Acknowledged; k != nil {
		out = append(out, fact("acknowledged", inkAccent, byWhom(k.Author, k.Comment)+", "+since(m.nodeNow(), k.Since)+" ago", w)...)
	}
	if s := a.Silenced; s != nil {
		out = append(out, fact("silenced", inkMuted, "until "+clock(s.Until, m.nodeNow())+" "+byWhom(s.Author, s.Comment), w)...)
	}
	out = append(out, fact("summary", inkText, a.Summary, w)...)
	out = append(out, fact("what to do", inkStrong, a.WhatToDo, w)...)
	for _, k := range a.Thresholds {
		value := "not in this node"
		if s, ok := m.setting(k); ok {
			value = withUnit(s, s.Value) + "  (default " + s.Default + ")"
		}
		out = append(out, fact("threshold", inkAccent, k+" = "+value, w)...)
	}
	out = append(out, fact("labels", inkMuted, strings.Join(labelList(a.Labels), "  "), w)...)
	out = append(out, fact("expression", inkMuted, a.Expr, w)...)
	if a.For != "" {
		out = append(out, fact("fires after", inkMuted, a.For, w)...)
	}
	return out
}
