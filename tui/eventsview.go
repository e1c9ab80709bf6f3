package tui

import (
	"fmt"

	"github.com/bizra/bizra-top/node/control"
)

// drawEvents lists what happened, the newest first.
func (m *model) drawEvents(f *frame, r rect) {
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
		f.put(r, []line{m.listTitle("Events", viewEvents, 0, 0, r.w), txt(inkMuted, m.noEvents())})
		return
	}
	f.put(r, append([]line{m.listTitle("Events", viewEvents, len(rows), len(m.events), r.w)},
		table(cols, rows, m.cursor[viewEvents], r.w, r.h-1)...))
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
	case viewBreakers:
		if b, ok := m.selectedBreaker(); ok {
			return b.Name, func(w int) []line {
				if now, ok := m.selectedBreaker(); ok {
					b = now
				}
				return m.breakerLines(b, w)
			}
		}
	case viewUpstreams:
		if u, ok := m.selectedUpstream(); ok {
			return u.Name, func(w int) []line {
				if now, ok := m.selectedUpstream(); ok {
					u = now
				}
				return m.upstreamLines(u, w)
			}
		}
	case viewAlerts:
		if a, ok := m.selectedAlert(); ok {
			return a.Name, func(w int) []line {
				if now, ok := m.selectedAlert(); ok {
					a = now
				}
				return m.alertLines(a, w)
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
