package tui

import (
	"cmp"
	"context"
	"strconv"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

// Fleet is a door to several nodes behind a Prometheus server, of which one at a time
// is looked at. Nothing can be changed through it, and no metric tells events, hosts
// or texts of errors: they are dashes.
type Fleet interface {
	Door
	// Source says which server it is, without credentials.
	Source() string
	// Nodes lists what Choose takes.
	Nodes(ctx context.Context) ([]string, error)
	// Choose looks at another node from the next call on.
	Choose(node string)
}

// errFleet is why nothing changes a node through a Prometheus server.
const errFleet = "a Prometheus only shows: change it on the node's host"

type (
	nodesMsg struct {
		names []string
		err   string
	}
	// ofNode is an answer that was asked of the node chosen then.
	ofNode struct {
		era int
		msg tea.Msg
	}
)

func (m *model) whyNoNodes() string {
	if m.fleet == nil {
		return "this is the one node; --prometheus shows several"
	}
	return ""
}

func (m *model) fetchNodes() tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		names, err := m.fleet.Nodes(ctx)
		names = owned(names, maxRows)
		return nodesMsg{names, cleanError(err)}
	})
}

// nodesFound opens the list of nodes, or takes the only one there is.
func (m *model) nodesFound(msg nodesMsg) tea.Cmd {
	switch {
	case msg.err != "" && m.unchosen:
		m.lost = msg.err
		return nil
	case msg.err != "":
		m.say(inkBad, msg.err)
		return nil
	case len(msg.names) == 0 && m.unchosen:
		m.lost = "the Prometheus at " + m.source() + " has scraped no node within the last hour"
		return nil
	case len(msg.names) == 1 && m.unchosen:
		return m.choose(msg.names[0])
	case m.overlay != nil:
		return nil // a dialog owns the keyboard
	}
	p := &palette{title: strconv.Itoa(len(msg.names)) + " nodes of " + m.source()}
	for i, name := range msg.names {
		info := ""
		if shown := printable.Clean(name, nameLength); shown == m.look.Node.Name {
			info, p.cursor = "shown now", i
		}
		p.items = append(p.items, paletteItem{title: printable.Clean(name, nameLength), info: info,
			run: func(m *model) tea.Cmd { return m.choose(name) }})
	}
	m.overlay, m.offered, m.lost = p, true, ""
	if m.unchosen {
		m.lost = "no node is chosen: press n"
	}
	return nil
}

// choose starts anew with another node.
func (m *model) choose(name string) tea.Cmd {
	m.fleet.Choose(name)
	m.era++ // what the node before still answers is dropped
	m.awaited, m.happened = [needEnd]awaited{}, happenings{}
	m.unchosen, m.inflight, m.lost = false, false, ""
	m.look, m.lookAt = control.Look{}, time.Time{}
	m.history, m.settings, m.past = newHistory(), nil, past{}
	return tea.Batch(m.lookNow(), m.fetchHistory(), m.fetchSettings())
}

func (m *model) source() string { return printable.Clean(m.fleet.Source(), textLength) }

// unmeasured is a text that a Prometheus cannot know as a dash.
func (m *model) unmeasured(text string) string {
	if m.fleet != nil || m.inPast() {
		return cmp.Or(text, noData)
	}
	return text
}
