package tui

import (
	"fmt"

	"github.com/bizra/bizra-top/node/control"
)

// eventPanels list what happened, the newest first, and the selected event at length
// where there is room.
func (m *model) eventPanels(r rect) []panel {
	list := panel{id: "events", at: r, draw: m.eventTable, list: true}
	title, lines := m.details()
	if r.h < 20 || title == "" {
		return []panel{list}
	}
	var low rect
	list.at, low = r.splitTop(r.h - 9)
	_, low = low.splitTop(1)
	return []panel{list, {id: "event", at: low, draw: func(w, _ int) []line {
		return append([]line{titledRight(title, cat(txt(inkKey, "E"), txt(inkMuted, " shows the node at this moment")), w)}, lines(w)...)
	}}}
}

func (m *model) eventTable(w, h int) []line {
	cols := []column{
		{title: "time", w: 8}, {title: "", w: 6, drop: 2}, {title: "kind", w: 8, drop: 3},
		{title: "subject", w: 14, grow: 1}, {title: "what happened", w: 24, grow: 4},
		{title: "who", w: 10, drop: 1},
	}
	var rows []row
	for _, e := range m.eventList() {
		s := eventMark(e)
		body := inkText
		if s.calm {
			body = inkMuted
		}
		rows = append(rows, row{
			txt(inkMuted, e.Time.Local().Format("15:04:05")), s.line(), txt(inkMuted, e.Kind),
			txt(inkText, e.Subject), txt(body, e.Text), txt(inkMuted, e.Actor),
		})
	}
	if len(m.events) == 0 && m.fleet != nil {
		return []line{m.listTitle("Events", viewEvents, 0, 0, w), txt(inkMuted, m.noEvents())}
	}
	return append([]line{m.listTitle("Events", viewEvents, len(rows), len(m.events), w)},
		table(cols, rows, m.cursor[viewEvents], w, h-1)...)
}

func (m *model) eventLines(e control.Event, w int) []line {
	out := []line{cat(txt(inkMuted, pad("severity", 13)), eventMark(e).line())}
	out = append(out, fact("time", inkText, e.Time.Local().Format("2006-01-02 15:04:05 MST"), w)...)
	out = append(out, fact("kind", inkText, e.Kind, w)...)
	out = append(out, fact("subject", inkText, e.Subject, w)...)
	out = append(out, fact("what", inkStrong, e.Text, w)...)
	out = append(out, fact("who", inkText, e.Actor, w)...)
	return append(out, fact("number", inkMuted, fmt.Sprint(e.Seq), w)...)
}

// details returns the selected row of the view at length; its lines follow the
// data while they are shown.
func (m *model) details() (string, func(int) []line) {
	switch m.view {
	case viewUpstreams:
		if u, ok := m.selectedUpstream(); ok {
			return u.Name, func(w int) []line {
				if now, ok := m.selectedUpstream(); ok {
					u = now
				}
				return m.upstreamLines(u, w)
			}
		}
	case viewEvents:
		list := m.eventList()
		if i := m.cursor[viewEvents]; i >= 0 && i < len(list) {
			e := list[i]
			return e.Subject, func(w int) []line { return m.eventLines(e, w) }
		}
	}
	return "", nil
}
