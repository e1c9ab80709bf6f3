package tui

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/probes"
)

// versions is what a node of another version does not have, or says in a form that
// this screen does not know.
type versions struct {
	screen  string   // of this program; empty is not known
	lacking []string // what the node does not tell, in the order in which it was missed
	partly  string   // why its last look was understood in part; empty when it was whole
}

// lackMsg is something that the node does not know of.
type lackMsg struct{ what string }

// notOffered tells whether a node does not know what was asked for.
func notOffered(err error) bool { return errors.Is(err, control.ErrNotOffered) }

// understood takes the error of an answer that was understood in part apart: what of
// it came is worth showing.
func understood(err error) (partly string, failed error) {
	if errors.Is(err, control.ErrOtherVersion) {
		return cleanError(err), nil
	}
	return "", err
}

// lack says once that the node does not tell something.
func (m *model) lack(what string) {
	if slices.Contains(m.versions.lacking, what) {
		return
	}
	m.versions.lacking = append(m.versions.lacking, what)
	m.say(inkWarn, "this node"+prefixed(" ", m.look.Node.Version)+" does not tell: "+strings.Join(m.versions.lacking, ", "))
}

// understoodPartly says once that answers have a form that is not known here.
func (m *model) understoodPartly(why string) {
	if why != "" && m.versions.partly == "" {
		m.say(inkWarn, "this node says some things in a form that this screen does not know: : versions tells more")
	}
	m.versions.partly = why
}

// otherVersion tells whether the node is of another version than the screen.
func (m *model) otherVersion() bool {
	node := m.look.Node.Version
	return m.versions.screen != "" && node != "" && node != m.versions.screen
}

// versionNote names both versions where they differ and there is room, in at most w
// columns.
func (m *model) versionNote(w int) line {
	if !m.otherVersion() {
		return nil
	}
	short := func(v string) string { return txt(inkText, v).fit(min(width(v), 12)).String() }
	for _, text := range []string{
		"node " + m.look.Node.Version + " ≠ screen " + m.versions.screen,
		"node " + short(m.look.Node.Version) + " ≠ screen " + short(m.versions.screen),
		short(m.look.Node.Version) + " ≠ " + short(m.versions.screen),
		"≠ version",
	} {
		if width(text) <= w {
			return txt(inkWarn, text)
		}
	}
	return nil
}

// panelsArrived takes in the catalogue, and says what of this screen's it does not have.
func (m *model) panelsArrived(panels map[string]control.Panel) {
	m.panels = panels
	var missing []string
	for _, p := range probes.Panels() {
		if _, ok := panels[p.ID]; !ok {
			missing = append(missing, p.ID)
		}
	}
	switch n := len(missing); {
	case n > 3:
		m.lack(whole(n) + " panels, such as " + missing[0])
	case n > 0:
		m.lack("the panels " + strings.Join(missing, " and "))
	}
}

// openVersions shows what is known of both versions.
func (m *model) openVersions() tea.Cmd {
	m.overlay = &detail{title: "Versions", lines: func(w int) []line {
		lines := []line{
			cat(txt(inkMuted, pad("screen", 10)), txt(inkText, cmp.Or(m.versions.screen, "unknown"))),
			cat(txt(inkMuted, pad("node", 10)), txt(inkText, cmp.Or(m.look.Node.Version, "unknown"))), nil}
		for _, what := range m.versions.lacking {
			lines = append(lines, wrap(inkWarn, "! the node does not tell: "+what, w, 4)...)
		}
		if m.versions.partly != "" {
			lines = append(lines, wrap(inkWarn, "! understood in part: "+m.versions.partly, w, 6)...)
		}
		var more []string
		known := map[string]bool{}
		for _, p := range probes.Panels() {
			known[p.ID] = true
		}
		for id := range m.panels {
			if !known[id] {
				more = append(more, id)
			}
		}
		if len(more) > 0 {
			slices.Sort(more)
			lines = append(lines, wrap(inkMuted, "not shown here, since this screen does not know them: the panels "+strings.Join(more, ", "), w, 8)...)
		}
		if len(lines) == 3 {
			lines = append(lines, txt(inkMuted, "all that this screen asks for is there"))
		}
		return lines
	}}
	return nil
}
