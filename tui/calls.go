package tui

import (
	"cmp"
	"context"
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
		look control.Look
		at   time.Time // when it arrived
		err  string
	}
	panelsMsg   struct{ panels map[string]control.Panel }
	historyMsg  struct{ past map[string][]control.Series }
	settingsMsg struct {
		list []control.Setting
		err  string
	}
	actionsMsg struct{ list []control.Action }
	// checkedMsg answers the dry run of the confirmation with that id.
	checkedMsg struct {
		id       int
		old, new string
		warnings []string
		err      string
	}
	// doneMsg tells how a change, an action or an undo ended.
	doneMsg struct {
		text string
		err  string
	}
)

func (m *model) tick() tea.Cmd {
	generation := m.generation
	return tea.Tick(m.refresh, func(time.Time) tea.Msg { return tickMsg{generation} })
}

// call makes a command of a call with a deadline.
func (m *model) call(deadline time.Duration, do func(context.Context) tea.Msg) tea.Cmd {
	parent, fleet, era := m.ctx, m.fleet != nil, m.era
	return func() tea.Msg {
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
	since, now := m.sinceEvent, m.now
	return m.call(lookDeadline, func(ctx context.Context) tea.Msg {
		l, err := m.door.Look(ctx, since)
		return lookMsg{cleanLook(l), now(), cleanError(err)}
	})
}

func (m *model) fetchPanels() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.Panels(ctx)
		if err != nil {
			return nil
		}
		return panelsMsg{cleanPanels(list)}
	})
}

func (m *model) fetchHistory() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		past, err := m.door.History(ctx, seedSpan, seedStep)
		if err != nil {
			return nil
		}
		return historyMsg{cleanHistory(past)}
	})
}

func (m *model) fetchSettings() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.Settings(ctx)
		return settingsMsg{cleanSettings(list), cleanError(err)}
	})
}

func (m *model) fetchActions() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		list, err := m.door.Actions(ctx)
		if err != nil {
			return nil
		}
		return actionsMsg{cleanActions(list)}
	})
}

// change sets one tunable, or only checks it when dry is not zero: the id of
// the confirmation that asks.
func (m *model) change(key, value string, dry int) tea.Cmd {
	r := control.ChangeRequest{Changes: []control.Change{{Key: key, Value: value}}, DryRun: dry != 0}
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := m.door.Change(ctx, r)
		old, new := firstChange(res)
		if dry != 0 {
			res.Warnings = owned(res.Warnings, 5)
			for i := range res.Warnings {
				cleanAll(textLength, &res.Warnings[i])
			}
			return checkedMsg{dry, old, new, res.Warnings, cleanError(err)}
		}
		return doneMsg{key + ": " + old + " → " + new, cleanError(err)}
	})
}

func firstChange(res control.ChangeResult) (old, new string) {
	if len(res.Changes) > 0 {
		old, new = res.Changes[0].Old, res.Changes[0].New
		cleanAll(textLength, &old, &new)
	}
	return old, new
}

func (m *model) act(id, target string, dry int) tea.Cmd {
	r := control.ActionRequest{ID: id, Target: target, DryRun: dry != 0}
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := m.door.Act(ctx, r)
		cleanAll(textLength, &res.Old, &res.New)
		if dry != 0 {
			return checkedMsg{dry, res.Old, res.New, nil, cleanError(err)}
		}
		return doneMsg{cmp.Or(target, id) + ": " + res.Old + " → " + res.New, cleanError(err)}
	})
}

func (m *model) undo() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		res, err := m.door.Undo(ctx)
		old, new := firstChange(res)
		key := ""
		if len(res.Changes) > 0 {
			key = res.Changes[0].Key
			cleanAll(textLength, &key)
		}
		return doneMsg{"undone: " + key + " " + old + " → " + new, cleanError(err)}
	})
}
