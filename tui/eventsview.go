package tui

import (
	"fmt"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/control/events"
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
		{title: "at " + m.nodeNow().Local().Format("MST"), w: 8}, {title: "", w: 6, drop: 2}, {title: "times", w: 6, right: true, drop: 1}, {title: "rate", w: 6, right: true, drop: 5},
		{title: "kind", w: 8, drop: 4}, {title: "subject", w: 14, grow: 1}, {title: "what happened last", w: 24, grow: 4},
		{title: "who", w: 10, drop: 3},
	}
	var rows []row
	for _, r := range m.eventList() {
		e := r.Newest
		s := eventMark(e)
		body := inkText
		if s.calm {
			body = inkMuted
		}
		times, rate := line(nil), line(nil)
		if r.Count > 1 {
			times = txt(inkAccent, "×"+whole(r.Count))
		}
		if often := r.Rate(m.nodeNow()); often > 0 {
			rate = txt(inkText, perTime(often))
		}
		rows = append(rows, row{
			txt(inkMuted, m.eventTime(e.Time)), s.line(), times, rate, txt(inkMuted, e.Kind),
			txt(inkText, e.Subject), txt(body, e.Text), txt(inkMuted, e.Actor),
		})
	}
	if len(rows) == 0 && m.fleet != nil {
		return []line{m.listTitle("Events", viewEvents, 0, 0, w), txt(inkMuted, m.noEvents())}
	}
	out := []line{m.listTitle("Events", viewEvents, len(rows), len(events.Rows(m.eventsThen())), w)}
	from := wrap(inkMuted, m.sources(), w, 3)
	if h < 12 {
		from = bounded(from, 1)
	}
	out = append(out, from...)
	return append(out, table(cols, rows, m.cursor[viewEvents], w, h-len(out))...)
}

// eventTime is the time of day of an event, or its date where that is another.
func (m *model) eventTime(at time.Time) string {
	at, now := at.Local(), m.nodeNow().Local()
	if at.Year() != now.Year() {
		return at.Format("2006-01")
	}
	if at.YearDay() != now.YearDay() {
		return at.Format("Jan 02")
	}
	return at.Format("15:04:05")
}

// perTime says how often something happens, in the unit in which that is a number to
// remember.
func perTime(perSecond float64) string {
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}} {
		if n := perSecond * unit.seconds; n >= 0.95 {
			return strconv.FormatFloat(n, 'f', map[bool]int{true: 1, false: 0}[n < 9.95], 64) + "/" + unit.name
		}
	}
	return strconv.FormatFloat(perSecond*3600, 'f', 0, 64) + "/h"
}

// repeated says how often what a row is about happened, where that is more than once.
func repeated(r events.Row) string {
	if r.Count < 2 {
		return ""
	}
	return "×" + whole(r.Count) + " "
}

// maxMembers bounds the members of a row that are shown.
const maxMembers = 200

func (m *model) eventLines(r events.Row, w int) []line {
	e := r.Newest
	out := []line{cat(txt(inkMuted, pad("severity", 13)), eventMark(e).line())}
	out = append(out, fact("last", inkText, e.Time.Local().Format("2006-01-02 15:04:05 MST"), w)...)
	if r.Count > 1 {
		text := fmt.Sprint(r.Count) + " times"
		if !e.First.IsZero() {
			text += " since " + e.First.Local().Format("2006-01-02 15:04:05")
		}
		if often := r.Rate(m.nodeNow()); often > 0 {
			text += ", lately " + perTime(often)
		}
		out = append(out, fact("times", inkText, text, w)...)
	}
	out = append(out, fact("kind", inkText, e.Kind, w)...)
	out = append(out, fact("subject", inkText, e.Subject, w)...)
	out = append(out, fact("what", inkStrong, e.Text, w)...)
	out = append(out, fact("who", inkText, e.Actor, w)...)
	if e.Seq > 0 {
		out = append(out, fact("number", inkMuted, fmt.Sprint(e.Seq), w)...)
	}
	if len(r.Members) < 2 {
		return out
	}
	head := "the " + whole(len(r.Members)) + " that are known, the newest first"
	if len(r.Members) > maxMembers {
		head = "the newest " + whole(maxMembers) + " of " + whole(len(r.Members)) + " that are known"
	}
	out = append(out, nil, txt(inkMuted, head))
	for _, e := range bounded(r.Members, maxMembers) {
		out = append(out, cat(txt(inkMuted, e.Time.Local().Format("01-02 15:04:05 ")), txt(eventMark(e).ink, eventMark(e).glyph+" "), txt(inkText, e.Text), txt(inkMuted, prefixed("  by ", e.Actor))).fit(w))
	}
	return out
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
			r := list[i]
			return r.Newest.Subject, func(w int) []line {
				for _, now := range m.eventList() {
					if now.Newest.Key() == r.Newest.Key() {
						r = now
					}
				}
				return m.eventLines(r, w)
			}
		}
	}
	return "", nil
}
