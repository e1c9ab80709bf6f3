package tui

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/control/events"
)

// How far [ and ], and { and }, move in time.
const (
	shortJump = 10 * time.Second
	longJump  = 5 * time.Minute
)

// past is the moment that the screen shows, when it is not now.
type past struct {
	at       time.Time         // zero is live
	shown    time.Time         // the moment whose data is drawn; at, once the node has answered
	happened *control.Happened // until then; nil until the node has told
	// What was known when the present was left, for what no metric tells.
	look     control.Look
	settings []control.Setting
}

// pastMsg is the node as it was at a moment.
type pastMsg struct {
	at       time.Time
	look     control.Look
	settings []control.Setting
	err      string
}

// pastHistoryMsg is the history up to a moment.
type pastHistoryMsg struct {
	at      time.Time
	history map[string][]control.Series
	err     string
}

func (m *model) inPast() bool { return !m.past.at.IsZero() }

// errPast is why nothing can be changed in the past.
const errPast = "this is the past: L returns to now"

// jump moves the screen in time; forwards past now is live.
func (m *model) jump(by time.Duration) tea.Cmd {
	if by > 0 && !m.inPast() {
		m.say(inkMuted, "this is now: [ goes back")
		return nil
	}
	from := m.past.at
	if !m.inPast() {
		from = m.nodeNow()
	}
	return m.travel(from.Add(by))
}

// travel shows the node as it was at a moment.
func (m *model) travel(at time.Time) tea.Cmd {
	at = at.Truncate(time.Second)
	switch {
	case m.lookAt.IsZero():
		m.say(inkMuted, "no node has answered yet")
		return nil
	case !at.Before(m.liveNow()):
		return m.live()
	case !m.inPast():
		m.past = past{look: m.look, settings: m.settings}
		m.paused = false
	}
	m.past.at = at
	return m.fetchPast()
}

// live returns to now.
func (m *model) live() tea.Cmd {
	if !m.inPast() {
		return nil
	}
	m.look, m.settings, m.past = m.past.look, m.past.settings, past{}
	m.forget(needPast)
	m.forget(needPastHistory)
	m.history = newHistory()
	m.reseat()
	return tea.Batch(m.lookNow(), m.fetchHistory(), m.fetchSettings())
}

func (m *model) whyNoLive() string {
	if !m.inPast() {
		return "this is now"
	}
	return ""
}

// fetchPast asks for the moment that is wanted, unless an answer is awaited: that
// one asks again if the moment has moved on.
func (m *model) fetchPast() tea.Cmd {
	return m.ask(needPast)
}

func (m *model) askPast() tea.Cmd {
	at := m.past.at
	return m.call(2*callDeadline, func(ctx context.Context) tea.Msg {
		look, err := m.door.LookAt(ctx, at)
		if err != nil {
			return pastMsg{at: at, err: cleanError(err)}
		}
		settings, err := m.door.SettingsAt(ctx, at)
		return pastMsg{at, cleanLook(look), cleanSettings(settings), cleanError(err)}
	})
}

// arrived takes in the node as it was.
func (m *model) arrived(msg pastMsg) tea.Cmd {
	switch {
	case !m.inPast():
		return m.answered(needPast, "")
	case !msg.at.Equal(m.past.at):
		m.ask(needPast) // anew, with the moment that is wanted now
		return m.answered(needPast, "")
	case msg.err != "":
		return m.answered(needPast, msg.err)
	}
	m.past.shown = msg.at
	anew := m.answered(needPast, "")
	l, live := msg.look, m.past.look.Node
	if !measured(l) {
		l.Node = control.Node{} // not even where the ledger was
	}
	l.Node.Name, l.Node.Listen, l.Node.Mode = live.Name, live.Listen, cmp.Or(l.Node.Mode, live.Mode)
	l.Alerts = withRules(l.Alerts, m.past.look.Alerts)
	l.Time = msg.at
	// What is on trial is so now.
	l.Trials, l.Role, l.Unsaved = m.look.Trials, m.look.Role, m.look.Unsaved
	m.look = l
	m.settings = asOf(m.past.settings, msg.settings)
	m.reseat()
	return tea.Batch(anew, m.refreshDrill(), m.ask(needPastHistory), m.ask(needEvents))
}

// askPastHistory asks for the history up to the moment that is shown. It takes far
// longer than the look; what the screen has of it is right meanwhile, as points carry
// their time.
func (m *model) askPastHistory() tea.Cmd {
	at := m.past.at
	return m.call(2*callDeadline, func(ctx context.Context) tea.Msg {
		history, err := m.door.HistoryUntil(ctx, at, seedSpan, seedStep)
		return pastHistoryMsg{at, cleanHistory(history), cleanError(err)}
	})
}

// drawn takes in the history up to a moment.
func (m *model) drawn(msg pastHistoryMsg) tea.Cmd {
	switch {
	case !m.inPast():
		return m.answered(needPastHistory, "")
	case !msg.at.Equal(m.past.at):
		m.ask(needPastHistory)
		return m.answered(needPastHistory, "")
	case msg.err != "":
		return m.answered(needPastHistory, msg.err)
	}
	anew := m.answered(needPastHistory, "")
	m.history = newHistory()
	m.history.seed(msg.history)
	if m.past.shown.Equal(msg.at) {
		m.history.add(msg.at, m.look.Panels)
	}
	return tea.Batch(anew, m.fetchOwn())
}

// measured tells whether anything was measured at the moment of a look.
func measured(l control.Look) bool { return len(l.Breakers) > 0 || !l.Node.Started.IsZero() }

// withRules returns the alerts that were active, with what their rules say, and the
// rules that were not.
func withRules(active, rules []control.Alert) []control.Alert {
	out := slices.Clone(active)
	for i := range out {
		a := &out[i]
		a.Summary = cmp.Or(a.Summary, noData)
		if j := slices.IndexFunc(rules, func(r control.Alert) bool { return r.Name == a.Name }); j >= 0 {
			r := rules[j]
			a.WhatToDo, a.Expr, a.For, a.Thresholds = r.WhatToDo, r.Expr, r.For, r.Thresholds
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(out, func(a control.Alert) bool { return a.Name == r.Name }) {
			out = append(out, control.Alert{Name: r.Name, Part: r.Part, State: "inactive", Severity: r.Severity, Summary: noData,
				WhatToDo: r.WhatToDo, Expr: r.Expr, For: r.For, Thresholds: r.Thresholds})
		}
	}
	return out
}

// asOf returns settings with the values that they had, as far as they were measured.
func asOf(now, then []control.Setting) []control.Setting {
	values := make(map[string]control.Setting, len(then))
	for _, s := range then {
		values[s.Key] = s
	}
	out := slices.Clone(now)
	for i := range out {
		s := &out[i]
		v := values[s.Key]
		s.Value, s.Number, s.Source = cmp.Or(v.Value, noData), v.Number, noData
		s.Started = s.Value
	}
	return out
}

// liveNow is the time by the node's clock, whatever moment is shown.
func (m *model) liveNow() time.Time { return m.now().Add(m.ahead) }

// pastLabel says which moment is shown.
func (m *model) pastLabel() line {
	at := m.past.at.Local()
	text := at.Format("15:04:05")
	if now := m.liveNow().Local(); at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		text = at.Format("Jan 2 15:04:05")
	}
	text = " PAST " + text + " -" + coarse(m.liveNow().Sub(at)) + " "
	if m.awaited[needPast].asking || !m.past.shown.Equal(m.past.at) {
		text += "… "
	}
	return txt(inkAlarm, text)
}

func (m *model) whyNoEvent() string {
	if m.lastEvent() == nil {
		return "no event before this moment is known"
	}
	return ""
}

// lastEvent returns the event to jump to: the selected one of the events view, else
// the newest before this moment that is worth a look.
func (m *model) lastEvent() *control.Event {
	if list := m.eventList(); m.view == viewEvents {
		// Without a row that is selected, it is the newest.
		if i := max(m.cursor[viewEvents], 0); i < len(list) {
			return m.nextBack(list[i])
		}
		return nil
	}
	for _, e := range slices.Backward(m.eventsThen()) {
		e := &e
		worth := e.Severity == "warn" || e.Severity == "bad" || e.Kind == "change" || e.Kind == "action"
		if worth && (!m.inPast() || justAfter(*e).Before(m.past.at)) {
			return e
		}
	}
	return nil
}

// nextBack is the newest event of a row that samples show already, and in the past the one
// before that which is looked at: pressed again, the key goes on through the members.
func (m *model) nextBack(r events.Row) *control.Event {
	until := m.liveNow()
	if m.inPast() {
		until = m.past.at
	}
	for _, e := range r.Members { // the newest first
		if justAfter(e).Before(until) {
			return &e
		}
	}
	return &r.Newest
}

// justAfter is the first full second at which metrics surely show an event: the sample
// that does is taken up to a second later.
func justAfter(e control.Event) time.Time {
	return e.Time.Add(2 * time.Second).Truncate(time.Second)
}

func (m *model) jumpToEvent() tea.Cmd {
	e := m.lastEvent()
	m.say(inkMuted, e.Subject+": "+e.Text)
	return m.travel(justAfter(*e))
}

// timePrompt takes a moment to go to.
type timePrompt struct {
	field   field
	problem string
}

func (m *model) askTime() tea.Cmd {
	m.overlay = &timePrompt{}
	return nil
}

func (p *timePrompt) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		m.overlay = nil
	case "enter":
		at, ok := parseMoment(p.field.text, m.liveNow())
		if !ok {
			p.problem = "that is neither a time nor how long ago"
			return nil
		}
		m.overlay = nil
		return m.travel(at)
	default:
		p.problem = ""
		p.field.press(k)
	}
	return nil
}

func (p *timePrompt) paste(text string) { p.field.text += text }

func (p *timePrompt) box(m *model, w, h int) (string, []line) {
	entry := cat(txt(inkStrong|chosen, " "+p.field.text), txt(inkKey|chosen, "▏"))
	if at, ok := parseMoment(p.field.text, m.liveNow()); ok {
		entry = cat(entry, txt(inkMuted, "  "+at.Local().Format("2006-01-02 15:04:05")))
	}
	lines := []line{nil, entry, nil}
	if p.problem != "" {
		lines = append(lines, wrap(inkBad, "✗ "+p.problem, w, 2)...)
	}
	lines = append(lines, wrap(inkMuted, "14:03, 14:03:20, 2026-11-23 14:03, or how long ago: 90s, 20m, 3h, 2d", w, 2)...)
	return "Go to a time", append(bounded(append(lines, nil), max(h-1, 0)), txt(inkMuted, "enter goes there · esc back"))
}

// parseMoment reads a time of day, of the last day, a date with a time, or how long
// ago it was.
func parseMoment(text string, now time.Time) (time.Time, bool) {
	text = strings.TrimSpace(text)
	now = now.Local()
	ago := strings.TrimPrefix(text, "-")
	if days, ok := strings.CutSuffix(ago, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 10_000 {
			return now.AddDate(0, 0, -n), true
		}
	}
	if d, err := time.ParseDuration(ago); err == nil && d >= 0 {
		return now.Add(-d), true
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			at := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local)
			if at.After(now) {
				at = at.AddDate(0, 0, -1)
			}
			return at, true
		}
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, t.Before(now)
		}
	}
	return time.Time{}, false
}
