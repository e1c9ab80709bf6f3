package tui

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

// need is an answer without which a part of the screen stays empty. It is asked for
// again until it has come, and the screen says so meanwhile.
type need int

const (
	needPanels need = iota
	needHistory
	needSettings
	needActions
	needEvents
	needPast
	needPastHistory
	needEnd
)

// needNames are what is awaited, as the screen says it.
var needNames = [needEnd]string{
	needPanels: "the list of panels", needHistory: "the charts' past", needSettings: "the settings", needActions: "the actions",
	needEvents: "older events", needPast: "the node at that moment", needPastHistory: "the charts at that moment",
}

const (
	// saidAfter is how long an answer may take before the screen says that it waits.
	saidAfter = 1500 * time.Millisecond
	// What failed is asked for again after retryFirst, then twice as long each time, up
	// to retryLast.
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// awaited is how it stands with one need.
type awaited struct {
	asking  bool
	since   time.Time // when it was asked for the first time
	anew    bool      // it was wanted again while an answer was awaited
	problem string    // why the last try failed
	tries   int       // that have failed
	due     time.Time // when it is asked for again
}

// ask asks for what is needed. While an answer is awaited it is asked for again after
// that: the answer may be of before.
func (m *model) ask(n need) tea.Cmd {
	a := &m.awaited[n]
	if a.asking {
		a.anew = true
		return nil
	}
	if a.tries == 0 {
		a.since = m.now()
	}
	a.asking = true
	switch n {
	case needPanels:
		return m.askPanels()
	case needHistory:
		return m.askHistory()
	case needSettings:
		return m.askSettings()
	case needActions:
		return m.askActions()
	case needEvents:
		return m.askEvents()
	case needPast:
		return m.askPast()
	default:
		return m.askPastHistory()
	}
}

// answered notes that an answer has come, or why none has, and asks again where it was
// wanted anew.
func (m *model) answered(n need, problem string) tea.Cmd {
	a := &m.awaited[n]
	anew := a.anew
	if a.asking, a.anew = false, false; problem == "" {
		*a = awaited{}
	} else {
		a.problem = problem
		a.due = m.now().Add(min(retryFirst<<min(a.tries, 5), retryLast))
		a.tries++
	}
	if anew {
		return m.ask(n)
	}
	return nil
}

// forget ends a need: what it was for is not shown any more. An answer under way is
// still awaited, so that there is never more than one.
func (m *model) forget(n need) {
	a := &m.awaited[n]
	*a = awaited{asking: a.asking, since: m.now()}
}

// retry asks again for what has failed, once its time has come and the node answers.
func (m *model) retry() tea.Cmd {
	if m.lost != "" {
		return nil // what was missed is asked for when it is back
	}
	var cmds []tea.Cmd
	for n := range needEnd {
		if a := m.awaited[n]; a.problem != "" && !a.asking && !m.now().Before(a.due) {
			cmds = append(cmds, m.ask(n))
		}
	}
	if m.inPast() || m.paused { // else every look does
		cmds = append(cmds, m.refreshDrill())
		if len(m.own.failed) > 0 && !m.now().Before(m.own.due) {
			cmds = append(cmds, m.fetchOwn())
		}
	}
	return tea.Batch(cmds...)
}

// waits says how it stands with a need: "" when nothing is awaited, or not for long.
func (m *model) waits(n need) string {
	a := m.awaited[n]
	asked := m.now().Sub(a.since)
	switch {
	case a.problem != "" && a.asking:
		return fmt.Sprintf("%s: try %d is under way; before: %s", needNames[n], a.tries+1, a.problem)
	case a.problem != "":
		return fmt.Sprintf("%s: %s; asked again in %s, try %d", needNames[n], a.problem, coarse(max(a.due.Sub(m.now()), time.Second)), a.tries+1)
	case a.asking && asked >= saidAfter:
		return fmt.Sprintf("%s: asked for %s ago", needNames[n], coarse(asked))
	}
	return ""
}

// awaiting is the line about what is awaited, the failed before the slow; nil for
// nothing.
func (m *model) awaiting() line {
	if m.lost != "" {
		return nil // which the screen says already
	}
	for _, failed := range []bool{true, false} {
		for n := range needEnd {
			if text := m.waits(n); text != "" && (m.awaited[n].problem != "") == failed {
				if failed {
					return txt(inkWarn, "✗ "+text)
				}
				return txt(inkMuted, "… "+text)
			}
		}
	}
	return nil
}

// whyNoCharts says why charts are empty: what is awaited, or that there is no data.
func (m *model) whyNoCharts() line {
	n := needHistory
	if m.inPast() {
		n = needPastHistory
	}
	switch a := m.awaited[n]; {
	case a.problem != "":
		return txt(inkWarn, "  ✗ "+m.waits(n))
	case a.asking:
		return txt(inkMuted, "  … the node is asked for "+needNames[n])
	}
	return txt(inkMuted, "  no data yet")
}

// unsure tells whether a call that was to change something may have done so although it
// failed: the node may have got it, and only the answer is missing.
func unsure(err error) bool {
	var refusal *control.Problem
	switch {
	case err == nil, errors.As(err, &refusal), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return false
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, control.ErrNoAnswer)
}
