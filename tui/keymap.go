package tui

import (
	"slices"
	"syscall"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/probes/panelfile"
)

// command is one thing a key does. The list of them makes the dispatch, the
// footer, the help and the palette.
type command struct {
	group  string
	bind   key.Binding
	views  []viewID             // where it works; empty is everywhere
	footer bool                 // shown in the footer
	fleet  bool                 // shown in the footer of a fleet's screen
	locks  bool                 // changes the node, so it needs an unlocked screen
	why    func(*model) string  // why it cannot be used now; "" when it can
	run    func(*model) tea.Cmd // nil for what Update handles itself
}

func bind(desc, shown string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(shown, desc))
}

func (c command) in(v viewID) bool { return len(c.views) == 0 || slices.Contains(c.views, v) }

// unavailable says why the command cannot be used, or "".
func (c command) unavailable(m *model) string {
	if !c.in(m.view) {
		return "in " + viewNames[c.views[0]]
	}
	if c.locks {
		if why := m.whyReadOnly(); why != "" {
			return why
		}
	}
	if c.why != nil {
		return c.why(m)
	}
	return ""
}

// note says what the help shows behind a command.
func (c command) note(m *model) string {
	if why := c.unavailable(m); why != "" {
		return why
	}
	if c.locks && !m.isUnlocked() {
		return "locked: press ctrl+u to unlock"
	}
	return ""
}

var (
	lists    = every()
	filtered = []viewID{viewSettings, viewEvents, viewAlerts, viewUpstreams, viewBreakers}
	editing  = []viewID{viewSettings, viewPool, viewCache, viewBreakers, viewAlerts}
	stepping = []viewID{viewSettings, viewPool, viewCache}
)

// every lists all views that there can be.
func every() []viewID {
	var out []viewID
	for v := viewOverview; v < viewLimit; v++ {
		out = append(out, v)
	}
	return out
}

// keymap returns every command, in the order of the help. own are the operator's views.
func keymap(own []panelfile.View) []command {
	var all []command
	for v := viewOverview; v < viewEnd; v++ {
		all = append(all, command{group: "Views", bind: bind(viewNames[v], keyOf(v), keyOf(v)), run: func(m *model) tea.Cmd { return m.show(v) }})
	}
	for i, view := range own {
		v := viewEnd + viewID(i)
		b := key.NewBinding(key.WithHelp("", view.Name)) // by the palette, or with > and <
		if k := keyOf(v); k != "" {
			b = bind(view.Name, k, k)
		}
		all = append(all, command{group: "Views", bind: b, run: func(m *model) tea.Cmd { return m.show(v) }})
	}
	return append(all,
		command{group: "Views", bind: bind("next view", ">", ">"), run: func(m *model) tea.Cmd { return m.turn(1) }},
		command{group: "Views", bind: bind("view before", "<", "<"), run: func(m *model) tea.Cmd { return m.turn(-1) }},

		command{group: "Move", bind: bind("panel", "tab", "tab"), footer: true, run: func(m *model) tea.Cmd { return m.nextPanel(1) }},
		command{group: "Move", bind: bind("panel before", "shift+tab", "shift+tab"), run: func(m *model) tea.Cmd { return m.nextPanel(-1) }},
		command{group: "Move", bind: bind("zoom the panel", "z", "z"), run: (*model).toggleZoom},
		command{group: "Move", bind: bind("down", "↓ j", "down", "j"), views: lists, run: func(m *model) tea.Cmd { return m.move(1) }},
		command{group: "Move", bind: bind("up", "↑ k", "up", "k"), views: lists, run: func(m *model) tea.Cmd { return m.move(-1) }},
		command{group: "Move", bind: bind("page down", "pgdn", "pgdown", "ctrl+d", "ctrl+f"), views: lists, run: func(m *model) tea.Cmd { return m.move(10) }},
		command{group: "Move", bind: bind("page up", "pgup", "pgup", "ctrl+b"), views: lists, run: func(m *model) tea.Cmd { return m.move(-10) }},
		command{group: "Move", bind: bind("first", "g", "g", "home"), views: lists, run: func(m *model) tea.Cmd { return m.move(-maxSettings) }},
		command{group: "Move", bind: bind("last", "G", "G", "end"), views: lists, run: func(m *model) tea.Cmd { return m.move(maxSettings) }},
		command{group: "Move", bind: bind("filter", "/", "/"), views: filtered, footer: true, run: func(m *model) tea.Cmd { m.filtering = true; return nil }},
		command{group: "Move", bind: bind("details", "enter", "enter"), views: lists, footer: true, run: (*model).enterPanel},
		command{group: "Move", bind: bind("back", "esc", "esc"), run: (*model).back},

		command{group: "Change", bind: bind("edit", "e", "e"), views: editing, footer: true, locks: true, why: (*model).whyNoEdit, run: (*model).edit},
		command{group: "Change", bind: bind("a step less", "← h", "left", "h"), views: stepping, locks: true, why: (*model).whyNoEdit, run: func(m *model) tea.Cmd { return m.step(-1) }},
		command{group: "Change", bind: bind("a step more", "→ l", "right", "l"), views: stepping, locks: true, why: (*model).whyNoEdit, run: func(m *model) tea.Cmd { return m.step(1) }},
		command{group: "Drill", bind: bind("less", "← h", "left", "h"), views: []viewID{viewDrill}, why: (*model).whyNoDrill, run: func(m *model) tea.Cmd { return m.stepDrill(-1) }},
		command{group: "Drill", bind: bind("more", "→ l", "right", "l"), views: []viewID{viewDrill}, why: (*model).whyNoDrill, run: func(m *model) tea.Cmd { return m.stepDrill(1) }},
		command{group: "Drill", bind: bind("start, stop the load", "s", "s"), views: []viewID{viewDrill}, footer: true, locks: true, why: (*model).whyNoDrill, run: (*model).toggleLoad},
		command{group: "Drill", bind: bind("lift all faults", "x", "x"), views: []viewID{viewDrill}, footer: true, locks: true, why: (*model).whyNoLift, run: (*model).liftAll},
		actionKey("force open", "o", viewBreakers, "breaker.force_open"),
		actionKey("force close", "c", viewBreakers, "breaker.force_close"),
		actionKey("reset", "r", viewBreakers, "breaker.reset"),
		actionKey("metrics only", "m", viewBreakers, "breaker.metrics_only"),
		actionKey("drain", "d", viewUpstreams, "upstream.drain"),
		actionKey("restore", "r", viewUpstreams, "upstream.restore"),
		actionKey("flush L1", "f", viewCache, "cache.flush_l1"),
		actionKey("flush L2", "F", viewCache, "cache.flush_l2"),
		actionKey("reset pool", "r", viewPool, "pool.reset"),
		command{group: "Change", bind: bind("ack", "a", "a"), views: []viewID{viewAlerts}, footer: true, locks: true, why: (*model).whyNoAcknowledge, run: (*model).acknowledge},
		command{group: "Change", bind: bind("silence", "s", "s"), views: []viewID{viewAlerts}, footer: true, locks: true, why: (*model).whyNoSilence, run: (*model).silence},
		command{group: "Change", bind: bind("keep what is on trial", "y", "y"), locks: true, why: (*model).whyNoTrial, run: (*model).keepTrial},
		command{group: "Change", bind: bind("revert, else undo", "u", "u"), locks: true, why: (*model).whyNoUndo, run: (*model).askUndo},
		command{group: "Change", bind: bind("redo", "U", "U", "ctrl+r"), locks: true, why: (*model).whyNoRedo, run: (*model).askRedo},
		command{group: "Change", bind: bind("save what is kept", "w", "w"), locks: true, why: (*model).whyNoSave, run: (*model).askSave},
		command{group: "Change", bind: bind("unlock, lock", "ctrl+u", "ctrl+u"), why: (*model).whyReadOnly, run: (*model).toggleLock},

		command{group: "Screen", bind: bind("commands", ":", ":"), footer: true, run: (*model).openPalette},
		command{group: "Screen", bind: bind("help", "?", "?"), footer: true, run: (*model).openHelp},
		command{group: "Screen", bind: bind("another node", "n", "n"), fleet: true, why: (*model).whyNoNodes, run: (*model).fetchNodes},
		command{group: "Time", bind: bind("10 s back", "[", "["), run: func(m *model) tea.Cmd { return m.jump(-shortJump) }},
		command{group: "Time", bind: bind("10 s forth", "]", "]"), run: func(m *model) tea.Cmd { return m.jump(shortJump) }},
		command{group: "Time", bind: bind("5 min back", "{", "{"), run: func(m *model) tea.Cmd { return m.jump(-longJump) }},
		command{group: "Time", bind: bind("5 min forth", "}", "}"), run: func(m *model) tea.Cmd { return m.jump(longJump) }},
		command{group: "Time", bind: bind("go to a time", "T", "T"), run: (*model).askTime},
		command{group: "Time", bind: bind("go to the last event", "E", "E"), why: (*model).whyNoEvent, run: (*model).jumpToEvent},
		command{group: "Time", bind: bind("return to now", "L", "L"), why: (*model).whyNoLive, run: (*model).live},

		command{group: "Screen", bind: bind("freeze, go on", "p", "p"), run: (*model).pause},
		command{group: "Screen", bind: bind("faster", "+", "+", "="), run: func(m *model) tea.Cmd { return m.setRate(true) }},
		command{group: "Screen", bind: bind("slower", "-", "-"), run: func(m *model) tea.Cmd { return m.setRate(false) }},
		command{group: "Screen", bind: bind("next theme", "t", "t"), run: (*model).nextTheme},
		command{group: "Screen", bind: bind("save the screen", "S", "S"), run: (*model).save},
		command{group: "Screen", bind: key.NewBinding(key.WithHelp("", "versions of node and screen")), run: (*model).openVersions},
		command{group: "Screen", bind: bind("repaint everything", "ctrl+l", "ctrl+l"), run: (*model).repaint},
		command{group: "Screen", bind: bind("suspend", "ctrl+z", "ctrl+z"), run: (*model).suspend},
		command{group: "Screen", bind: bind("quit", "q", "q"), footer: true, run: (*model).quit},
		command{group: "Screen", bind: bind("quit at once", "ctrl+c ctrl+c", "ctrl+c"), run: (*model).quit},
	)
}

// actionKey is the key of a node's action on what is selected in a view.
func actionKey(desc, k string, v viewID, id string) command {
	return command{
		group: "Change", bind: bind(desc, k, k), views: []viewID{v}, footer: true, locks: true,
		why: func(m *model) string { return m.whyNoAction(id, m.selected(v)) },
		run: func(m *model) tea.Cmd { return m.askAction(id, m.target(id, v)) },
	}
}

// press hands a key to who owns the keyboard: a dialog, the filter, or the keys
// of the view.
func (m *model) press(k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "ctrl+c":
		if _, asking := m.overlay.(*quitPrompt); asking || !m.owner {
			return m.leave()
		}
		return m.quit()
	case "ctrl+z":
		return m.suspend()
	case "ctrl+l":
		return m.repaint()
	}
	if m.overlay != nil {
		return m.overlay.press(m, k)
	}
	if m.filtering {
		m.typeFilter(k)
		return nil
	}
	return m.command(k)
}

// command does what a key means in the view.
func (m *model) command(k tea.KeyPressMsg) tea.Cmd {
	for _, c := range m.keys {
		if !c.in(m.view) || !key.Matches(k, c.bind) {
			continue
		}
		if why := c.unavailable(m); why != "" {
			m.say(inkWarn, c.bind.Help().Desc+": "+why)
			return nil
		}
		if c.locks {
			return m.guard(c.run)
		}
		return c.run(m)
	}
	return nil
}

func (m *model) show(v viewID) tea.Cmd {
	m.view, m.zoomed = v, false
	return tea.Batch(m.fetchOwn(), m.fetchHot(), m.fetchDrill())
}

func (m *model) turn(by int) tea.Cmd {
	n := int(m.lastView() - viewOverview)
	return m.show(viewID((int(m.view-viewOverview)+by+n)%n) + viewOverview)
}

// back undoes the last narrowing: the zoom, a draft, a filter, the focus, then the
// view. It never quits.
func (m *model) back() tea.Cmd {
	switch key := m.cursorKey[m.view]; {
	case m.zoomed:
		m.zoomed = false
	case m.drafts[key] != "":
		delete(m.drafts, key)
	case m.filter[m.view] != "":
		m.filter[m.view] = ""
		m.reseat()
	case m.focus[m.view] != "":
		m.focus[m.view] = ""
	case m.inPast():
		return m.live()
	case m.view == viewOverview:
		m.cursor[viewOverview], m.cursorKey[viewOverview] = -1, ""
	default:
		m.view = viewOverview
	}
	return nil
}

// suspend gives the terminal back to the shell until the program goes on.
func (m *model) suspend() tea.Cmd {
	return func() tea.Msg {
		// To the whole group, as the driver sends it: a program in front, such as sudo,
		// stops too. What this program does then is what it does when others send it.
		if err := syscall.Kill(0, syscall.SIGTSTP); err != nil {
			return saidMsg{"not suspended: " + err.Error()}
		}
		return nil
	}
}

// repaint draws everything anew, over what other programs have written to the terminal.
func (m *model) repaint() tea.Cmd {
	m.canvas.anew()
	return nil
}

// saidMsg is a line for the operator.
type saidMsg struct{ text string }

func (m *model) quit() tea.Cmd {
	if m.owner {
		m.overlay = &quitPrompt{}
		return nil
	}
	return m.leave()
}

func (m *model) leave() tea.Cmd {
	m.quitting = true
	return tea.Quit
}
