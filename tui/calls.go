package tui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// Deadlines of the calls to the node. A look that takes longer than its deadline
// is a lost connection as far as the screen is concerned.
const (
	lookDeadline = 3 * time.Second
	callDeadline = 5 * time.Second
)

type (
	tickMsg struct{ generation int }
	lookMsg struct {
		look   control.Look
		at     time.Time // when it arrived
		partly string    // why it was understood in part
		err    string
	}
	panelsMsg struct {
		panels map[string]control.Panel
		err    string
	}
	historyMsg struct {
		past map[string][]control.Series
		err  string
	}
	settingsMsg struct {
		list []control.Setting
		err  string
	}
	actionsMsg struct {
		list []control.Action
		err  string
	}
	// neededMsg is the answer to a need that the node does not know of.
	neededMsg struct {
		need need
		msg  tea.Msg
	}
	// checkedMsg answers the dry run of the confirmation with that id.
	checkedMsg struct {
		id       int
		old, new string
		warnings []string
		revision *uint64 // of the settings it was checked against; nil for actions
		err      string
	}
	// doneMsg tells how a change, an action or an undo ended.
	doneMsg struct {
		id       int // of the confirmation that asked, 0 for none
		text     string
		err      string
		unsure   bool   // it may have been done all the same
		conflict bool   // somebody else was there before
		trial    uint64 // the change that is on trial now, 0 for none
	}
)

// tick comes with the refresh, and every second while something is on trial.
func (m *model) tick() tea.Cmd {
	generation := m.generation
	return tea.Tick(m.every(), func(time.Time) tea.Msg { return tickMsg{generation} })
}

// call makes a command of a call with a deadline.
func (m *model) call(deadline time.Duration, do func(context.Context) tea.Msg) tea.Cmd {
	parent, fleet, era := m.ctx, m.fleet != nil, m.era
	crashes := m.crashes
	return func() tea.Msg {
		if crashes != nil {
			defer crashes.caught()
		}
		ctx, cancel := context.WithTimeout(parent, deadline)
		defer cancel()
		msg := do(ctx)
		if fleet && msg != nil {
			return ofNode{era, msg}
		}
		return msg
	}
}

// lookNow asks for a look unless one is under way.
func (m *model) lookNow() tea.Cmd {
	if m.inflight {
		return nil
	}
	m.inflight = true
	since, now := m.happened.since, m.now
	return m.call(lookDeadline, func(ctx context.Context) tea.Msg {
		l, err := m.door.Look(ctx, since)
		partly, err := understood(err)
		return lookMsg{cleanLook(l), now(), partly, cleanError(err)}
	})
}

func (m *model) fetchPanels() tea.Cmd   { return m.ask(needPanels) }
func (m *model) fetchHistory() tea.Cmd  { return m.ask(needHistory) }
func (m *model) fetchSettings() tea.Cmd { return m.ask(needSettings) }
func (m *model) fetchActions() tea.Cmd  { return m.ask(needActions) }

func (m *model) askPanels() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.Panels(ctx)
		if notOffered(err) {
			return neededMsg{needPanels, lackMsg{"its panels"}}
		}
		_, err = understood(err)
		return panelsMsg{cleanPanels(list), cleanError(err)}
	})
}

func (m *model) askHistory() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		past, err := m.door.History(ctx, seedSpan, seedStep)
		if notOffered(err) {
			return neededMsg{needHistory, lackMsg{"its recent past"}}
		}
		_, err = understood(err)
		return historyMsg{cleanHistory(past), cleanError(err)}
	})
}

func (m *model) askSettings() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.Settings(ctx)
		_, err = understood(err)
		return settingsMsg{cleanSettings(list), cleanError(err)}
	})
}

func (m *model) askActions() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.Actions(ctx)
		if notOffered(err) {
			return neededMsg{needActions, lackMsg{"its actions"}}
		}
		_, err = understood(err)
		return actionsMsg{cleanActions(list), cleanError(err)}
	})
}

// propose has the node check a change; the answer is for the confirmation with that
// id.
func (m *model) propose(id int, change control.Change) tea.Cmd {
	r := control.ChangeRequest{Changes: []control.Change{change}, DryRun: true}
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := m.door.Change(ctx, r)
		res.Warnings = owned(res.Warnings, 5)
		for i := range res.Warnings {
			cleanAll(textLength, &res.Warnings[i])
		}
		old, new := "", ""
		if list := cleanChanges(res.Changes); len(list) > 0 {
			old, new = list[0].Old, list[0].New
		}
		return checkedMsg{id, old, new, res.Warnings, &res.Revision, cleanError(err)}
	})
}

// changed asks the node for a change, and tells how it ended. id is that of the
// confirmation that asks, 0 for none.
func (m *model) changed(id int, past string, ask func(context.Context) (control.ChangeResult, error)) tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := ask(ctx)
		msg := doneMsg{id: id, text: past + ": " + summary(cleanChanges(res.Changes)), err: cleanError(err), unsure: unsure(err)}
		if res.Trial != nil {
			msg.trial = res.Trial.ID
		}
		var p *control.Problem
		msg.conflict = errors.As(err, &p) && p.Status == http.StatusConflict
		return msg
	})
}

// checkAct has the node say what an action would do.
func (m *model) checkAct(id int, r control.ActionRequest) tea.Cmd {
	r.DryRun = true
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := m.door.Act(ctx, r)
		cleanAll(textLength, &res.Old, &res.New)
		return checkedMsg{id: id, old: res.Old, new: res.New, err: cleanError(err)}
	})
}

func (m *model) act(id int, r control.ActionRequest) tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := m.door.Act(ctx, r)
		cleanAll(textLength, &res.Old, &res.New)
		return doneMsg{id: id, text: "done: " + cmp.Or(r.Target, r.ID) + ": " + res.Old + " → " + res.New, err: cleanError(err), unsure: unsure(err)}
	})
}
