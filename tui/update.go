package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

// Update handles one message. It never blocks.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.unchanged = false
	switch msg := msg.(type) {
	case ofNode:
		if msg.era == m.era {
			return m.Update(msg.msg)
		}
	case nodesMsg:
		return m, m.nodesFound(msg)
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.canvas.resize(m.w, m.h)
	case tea.ModeReportMsg:
		m.canvas.answered(msg.Mode, msg.Value)
	case tea.ColorProfileMsg:
		m.canvas.colours(msg.Profile)
		if name := msg.String(); !m.mono && (name == "Ascii" || name == "NoTTY") {
			m.mono = true
			m.useTheme(m.palettes.name)
		}
	case tea.BackgroundColorMsg:
		m.background(msg.IsDark())
	case ownMsg:
		return m, m.ownArrived(msg)
	case filesMsg:
		return m, m.takeFiles(msg)
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case tea.PasteMsg:
		m.paste(printable.Clean(msg.Content, nameLength*2))
	case tea.ResumeMsg:
		return m, m.lookNow()
	case tea.BlurMsg:
		m.unseen = true
	case tea.FocusMsg:
		if m.unseen {
			m.unseen = false
			m.generation++
			return m, m.ticked(tickMsg{m.generation})
		}
	case saidMsg:
		m.say(inkBad, msg.text)
	case tickMsg:
		return m, m.ticked(msg)
	case firstMsg:
		m.expecting = false
	case lookMsg:
		return m, m.looked(msg)
	case panelsMsg:
		if msg.err == "" {
			m.panelsArrived(msg.panels)
		}
		return m, m.answered(needPanels, msg.err)
	case historyMsg:
		if msg.err == "" && !m.inPast() {
			m.history.seed(msg.past)
		}
		return m, m.answered(needHistory, msg.err)
	case neededMsg:
		cmd := m.answered(msg.need, "")
		_, more := m.Update(msg.msg)
		return m, tea.Batch(cmd, more)
	case happenedMsg:
		return m, m.happenedArrived(msg)
	case pastMsg:
		return m, m.arrived(msg)
	case pastHistoryMsg:
		return m, m.drawn(msg)
	case settingsMsg:
		if msg.err == "" && m.inPast() {
			m.past.settings = msg.list
		} else if msg.err == "" {
			m.settings = msg.list
			m.reseat()
		}
		return m, m.answered(needSettings, msg.err)
	case actionsMsg:
		if msg.err == "" {
			m.actions = msg.list
		}
		return m, m.answered(needActions, msg.err)
	case checkedMsg:
		if c, ok := m.overlay.(*confirm); ok && c.id == msg.id {
			c.checked(msg)
		}
	case doneMsg:
		return m, m.done(msg)
	case savedMsg:
		m.saved(msg)
	case overridesMsg:
		return m, m.overridden(msg)
	case comparedMsg:
		m.compared(msg)
	case transitionsMsg:
		if d, ok := m.overlay.(*breakerDrill); ok && d.name == msg.name {
			d.list, d.problem, d.told, d.asking = msg.list, msg.err, true, false
		}
	case outcomesMsg:
		if d, ok := m.overlay.(*breakerDrill); ok && d.name == msg.name {
			d.outcomes, d.untold, d.lacking, d.asked = msg.outcomes, msg.err, msg.lacking, false
		}
		if msg.lacking {
			m.lack("what is in a breaker's window")
		}
	case lackMsg:
		m.lack(msg.what)
	case drillMsg:
		return m, m.tookDrill(msg)
	case hotMsg:
		m.tookHot(msg)
	case explainedMsg:
		if e, ok := m.overlay.(*explanation); ok && e.key == msg.key {
			e.layers, e.problem, e.told, e.asking = msg.layers, msg.err, true, false
		}
	}
	return m, nil
}

func (m *model) ticked(msg tickMsg) tea.Cmd {
	if msg.generation != m.generation {
		return nil
	}
	m.watchLink()
	if !m.statusTill.IsZero() && m.now().After(m.statusTill) {
		m.status, m.statusTill = nil, time.Time{}
	}
	switch {
	case m.unchosen && m.offered, (m.paused || m.inPast()) && len(m.look.Trials) == 0:
		return tea.Batch(m.tick(), m.retry())
	case m.unchosen:
		return tea.Batch(m.tick(), m.fetchNodes())
	}
	m.unchanged = !m.inflight && m.lost == ""
	return tea.Batch(m.tick(), m.lookNow(), m.retry())
}

// looked takes in one look.
func (m *model) looked(msg lookMsg) tea.Cmd {
	m.inflight, m.expecting = false, false
	if msg.err != "" {
		m.lost = msg.err
		return nil
	}
	if m.ahead = msg.look.Time.Sub(msg.at); msg.look.Time.IsZero() {
		m.ahead, msg.look.Time = 0, msg.at // a form of time that is not known here
	}
	m.understoodPartly(msg.partly)
	if m.paused || m.inPast() {
		// Frozen is what is measured: a countdown that stands still would lie.
		m.lost = ""
		m.past.look.Trials = msg.look.Trials
		m.look.Trials, m.look.Undoable, m.look.Redoable = msg.look.Trials, msg.look.Undoable, msg.look.Redoable
		m.sighted(msg.at)
		return nil
	}
	var cmds []tea.Cmd
	back := m.lost != "" || m.lookAt.IsZero()
	restarted := !m.lookAt.IsZero() && !msg.look.Node.Started.Equal(m.look.Node.Started)
	gap := !m.lookAt.IsZero() && msg.at.Sub(m.lookAt) > 30*time.Second
	if restarted {
		cmds = append(cmds, m.fetchPanels())
	}
	if !m.lookAt.IsZero() && (back || restarted || gap) {
		m.history = newHistory()
		cmds = append(cmds, m.fetchHistory(), m.fetchActions())
	}
	if back || restarted {
		cmds = append(cmds, m.fetchEvents())
	}
	if back || restarted || msg.look.Revision != m.revision {
		m.revision = msg.look.Revision
		cmds = append(cmds, m.fetchSettings())
	}
	if m.lookAt.IsZero() || m.targetsMoved(msg) {
		cmds = append(cmds, m.fetchActions())
	}
	m.lost = ""
	if !m.lookAt.IsZero() && !restarted {
		m.attend(m.look, msg.look)
	}
	if restarted {
		m.hot, m.practice.lacking, m.versions.lacking = hot{}, false, nil // it may be of another version
		m.mine = map[uint64]bool{}                                        // another process counts its changes anew
	}
	m.look, m.lookAt = msg.look, msg.at
	m.sighted(msg.at)
	m.history.add(msg.look.Time, msg.look.Panels)
	if restarted {
		// Another process: its events count from one again, and this look was
		// asked for those after an event of the one before.
		m.happened = happenings{}
		cmds = append(cmds, m.lookNow())
	} else {
		m.takeEvents(msg.look)
	}
	m.reseat()
	return tea.Batch(append(cmds, m.refreshDrill(), m.fetchOwn(), m.fetchHot(), m.fetchDrill())...)
}

// takeEvents appends a look's events to those that are kept.
func (m *model) takeEvents(l control.Look) {
	m.happened.take(l.Events)
	m.happened.since = l.LastEvent
}

// targetsMoved tells whether what actions can be done to has changed.
func (m *model) targetsMoved(msg lookMsg) bool {
	return len(msg.look.Breakers) != len(m.look.Breakers) || len(msg.look.Upstreams) != len(m.look.Upstreams)
}

// done shows how a change ended and looks at once, so that its effect is on the
// screen with the next frame. The confirmation that asked is closed, or says why it
// was not done.
func (m *model) done(msg doneMsg) tea.Cmd {
	c, asked := m.overlay.(*confirm)
	asked = asked && msg.id != 0 && c.id == msg.id
	switch {
	case msg.err != "" && asked:
		c.failed(msg)
	case msg.unsure:
		m.say(inkBad, "no answer, it may have been done: "+msg.err)
	case msg.err != "":
		m.say(inkBad, "not done: "+msg.err)
	case msg.trial != 0:
		m.mine[msg.trial] = true
		m.say(inkGood, msg.text+": it goes back unless y keeps it")
	default:
		m.say(inkGood, msg.text)
	}
	if asked && msg.err == "" {
		m.overlay, m.closed = nil, m.now()
	}
	return tea.Batch(m.lookNow(), m.fetchSettings())
}

// pause freezes and resumes the whole screen.
func (m *model) pause() tea.Cmd {
	if m.inPast() {
		return m.live()
	}
	m.paused = !m.paused
	if m.paused {
		m.pausedAt = m.now()
		return nil
	}
	m.history = newHistory()
	return tea.Batch(m.lookNow(), m.fetchHistory())
}

// rates are the refresh intervals that + and - go through.
var rates = []time.Duration{
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// setRate moves the refresh interval one step.
func (m *model) setRate(faster bool) tea.Cmd {
	next := m.refresh
	if faster {
		for _, r := range rates {
			if r < m.refresh {
				next = r
			}
		}
	} else {
		for i := len(rates) - 1; i >= 0; i-- {
			if rates[i] > m.refresh {
				next = rates[i]
			}
		}
	}
	m.refresh = next
	m.generation++
	m.say(inkMuted, "a look every "+next.String())
	return m.tick()
}
