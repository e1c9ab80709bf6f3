package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/control/events"
)

// maxEvents bounds the events of one answer: what a node keeps, and as many from its
// audit trail and its history of alerts.
const maxEvents = 2 * events.Max

// happenings are what happened to the node, as far as it is known here.
type happenings struct {
	kept  events.Kept // what looks brought
	last  uint64      // the number of the newest of them
	since uint64      // which events the next look brings: those after it
	older control.Happened
}

// take keeps the events of a look that are new.
func (h *happenings) take(list []control.Event) {
	for _, e := range list {
		if e.Seq > h.last {
			h.kept.Add(e)
			h.last = e.Seq
		}
	}
}

// happenedMsg is what happened until a moment; that is zero for what is live.
type happenedMsg struct {
	at       time.Time
	happened control.Happened
	err      string
}

// fetchEvents asks for what happened before what looks bring.
func (m *model) fetchEvents() tea.Cmd { return m.ask(needEvents) }

func (m *model) askEvents() tea.Cmd {
	if m.fleet != nil { // a Prometheus keeps none
		m.awaited[needEvents] = awaited{}
		return nil
	}
	at, until := m.past.at, m.liveNow()
	if m.inPast() {
		until = at.Add(time.Second - time.Millisecond) // the whole second that is shown
	}
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		h, err := m.door.EventsUntil(ctx, until)
		if notOffered(err) {
			return neededMsg{needEvents, lackMsg{"older events"}}
		}
		_, err = understood(err)
		h.Events = cleanEvents(h.Events)
		h.Sources = owned(h.Sources, 10)
		for i := range h.Sources {
			cleanAll(nameLength, &h.Sources[i].Name, &h.Sources[i].What)
			cleanAll(textLength, &h.Sources[i].Problem)
		}
		return happenedMsg{at, h, cleanError(err)}
	})
}

// happenedArrived takes in what happened until a moment.
func (m *model) happenedArrived(msg happenedMsg) tea.Cmd {
	switch {
	case !msg.at.Equal(m.past.at):
		m.ask(needEvents)
		return m.answered(needEvents, "")
	case msg.err != "":
	case m.inPast():
		m.past.happened = &msg.happened
	default:
		m.happened.older = msg.happened
	}
	m.reseat()
	return m.answered(needEvents, msg.err)
}

// eventsThen returns the events until the moment that is shown, oldest first.
func (m *model) eventsThen() []control.Event {
	if m.past.happened != nil {
		return m.past.happened.Events
	}
	var out []control.Event
	for _, e := range m.happened.older.Events {
		if e.Seq == 0 { // from disk: the others came with looks
			out = append(out, e)
		}
	}
	out = append(out, m.happened.kept.Since(0)...)
	if !m.inPast() {
		return out
	}
	until := m.past.at.Add(time.Second)
	return slices.DeleteFunc(out, func(e control.Event) bool { return !e.Time.Before(until) })
}

// eventList returns the rows of the events view: what is of one kind and subject is one.
// A filter takes events, not rows, so that a row is counted as far as it passes.
func (m *model) eventList() []events.Row {
	list := m.eventsThen()
	if m.filter[viewEvents] == "" {
		return events.Rows(list)
	}
	var out []control.Event
	for _, e := range list {
		if m.matches(viewEvents, e.Kind, e.Severity, e.Subject, e.Text, e.Actor) {
			e.Count = 0
			out = append(out, e)
		}
	}
	return events.Rows(out)
}

// sources says where events are read and how far back each source goes.
func (m *model) sources() string {
	h := m.happened.older
	if m.past.happened != nil {
		h = *m.past.happened
	}
	if len(h.Sources) == 0 {
		if text := m.waits(needEvents); text != "" {
			return "from the looks of this screen; " + text
		}
		return "from the looks of this screen"
	}
	var parts []string
	for i, s := range h.Sources {
		same := func(o control.Source) bool {
			return o.Name == s.Name && o.Since.Equal(s.Since) && o.Problem == s.Problem
		}
		if i > 0 && same(h.Sources[i-1]) {
			continue // said with that one
		}
		text := s.Name
		if i+1 == len(h.Sources) || !same(h.Sources[i+1]) {
			text += " (" + s.What + ")"
		}
		switch {
		case s.Problem != "":
			text += " not read: " + s.Problem
		case s.Since.IsZero():
			text += " has nothing older"
		default:
			text += " since " + clock(s.Since, m.liveNow())
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " · ")
}
