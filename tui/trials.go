package tui

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
)

const (
	// shortTrial is how long a change is on trial on a node that does not say.
	shortTrial = "2m"
	// unread is how long a trial must have been in sight, and a dialog gone, before y
	// keeps: a key pressed twice does not.
	unread = time.Second
)

// trialLength returns how long the node has the screen's changes on trial.
func (m *model) trialLength() string {
	s, _ := m.setting(control.RevertAfter)
	return cmp.Or(s.Value, shortTrial)
}

// trials returns what is on trial, what goes back first before the others.
func (m *model) trials() []control.Trial {
	return slices.SortedStableFunc(slices.Values(m.look.Trials), func(a, b control.Trial) int { return a.Deadline.Compare(b.Deadline) })
}

// left returns how long a change is on trial still. The node's timer does not stop
// when the screen is frozen, or when no answer comes.
func (m *model) left(t control.Trial) time.Duration {
	return t.Deadline.Sub(m.liveNow())
}

// sighted notes which changes on trial are in sight.
func (m *model) sighted(at time.Time) {
	seen := make(map[uint64]time.Time, len(m.look.Trials))
	for _, t := range m.look.Trials {
		if first, ok := m.firstSeen[t.ID]; ok {
			seen[t.ID] = first
		} else {
			seen[t.ID] = at
		}
	}
	m.firstSeen = seen
}

// keysBeside is the width below which the keys of a trial do not fit beside it.
const keysBeside = 60

// countdown formats what is left as 1:47.
func countdown(d time.Duration) string {
	s := int(math.Ceil(max(d, 0).Seconds()))
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func summary(changes []control.Changed) string {
	if len(changes) == 0 {
		return "a change"
	}
	c := changes[0]
	text := c.Key + " " + c.Old + " → " + c.New
	if more := len(changes) - 1; more > 0 {
		text += ", " + strconv.Itoa(more) + " more"
	}
	return text
}

// whose says who has put a change on trial, if that was not this screen.
func (m *model) whose(t control.Trial) string {
	if m.mine[t.ID] {
		return ""
	}
	return "by " + t.By
}

// trialLines says in h lines what is on trial and goes back by itself, and how to
// keep it.
func (m *model) trialLines(w, h int) []line {
	list := m.trials()
	var out []line
	for i, t := range bounded(list, h) {
		l := m.trialLine(t, w)
		if more := len(list) - h; i == h-1 && more > 0 {
			note := txt(inkWarn, " +"+strconv.Itoa(more))
			l = cat(l.fit(w-note.width()), note)
		}
		out = append(out, l)
	}
	return out
}

func (m *model) trialLine(t control.Trial, w int) line {
	left := m.left(t)
	say, keys := "goes back in "+countdown(left), ""
	switch {
	case m.lost != "" && left <= 0:
		say, keys = "has gone back by itself", "unless it was kept"
	case m.lost != "":
		say, keys = "goes back by itself in "+countdown(left), "the node's own timer"
	case left <= 0:
		say = "goes back now"
	case m.inPast():
		keys = "L returns to now"
	case m.whyReadOnly() != "":
	default:
		keys = "y keep   u revert now"
	}
	if w < keysBeside {
		keys = "" // they are in the footer
	}
	l := cat(txt(inkAlarm, " "+say+" "), txt(inkStrong, " "+summary(t.Changes)))
	who := prefixed("  ", m.whose(t))
	if t.Guard != "" {
		who += "  guard " + t.Guard
	}
	right := cat(txt(inkText, "  "), keyed(keys, m.lost == ""))
	room := w - right.width()
	if l.width()+width(who) <= room {
		l = cat(l, txt(inkWarn, who))
	}
	return cat(l.fit(room), right)
}

// keyed writes "y keep   u revert": keys are single letters.
func keyed(text string, keys bool) line {
	var out line
	for word := range strings.SplitAfterSeq(text, " ") {
		i := inkMuted
		if keys && len(strings.TrimSpace(word)) == 1 {
			i = inkKey
		}
		out = append(out, span{word, i})
	}
	return out
}

func (m *model) whyNoTrial() string {
	if len(m.look.Trials) == 0 {
		return "nothing is on trial"
	}
	return ""
}

// keepTrial keeps what is on trial, or asks which.
func (m *model) keepTrial() tea.Cmd {
	return m.pickTrial("Which change is kept?", (*model).keep)
}

// pickTrial does something to the change on trial, or asks to which of several.
func (m *model) pickTrial(title string, do func(*model, control.Trial) tea.Cmd) tea.Cmd {
	list := m.trials()
	switch len(list) {
	case 0:
		m.say(inkMuted, "nothing is on trial any more")
		return nil
	case 1:
		return do(m, list[0])
	}
	p := &palette{title: title}
	for _, t := range list {
		p.items = append(p.items, paletteItem{title: summary(t.Changes), info: oneLine(" ", "until "+t.Deadline.Local().Format("15:04:05"), m.whose(t)),
			run: func(m *model) tea.Cmd { return do(m, t) }})
	}
	m.overlay = p
	return nil
}

// keep ends a trial. What somebody else tries is asked about.
func (m *model) keep(t control.Trial) tea.Cmd {
	seen, ok := m.firstSeen[t.ID]
	switch now := m.now(); {
	case !ok || now.Sub(seen) < unread:
		m.say(inkMuted, "it has just begun: see what it does, then press y")
		return nil
	case now.Sub(m.closed) < unread:
		return nil // that y was for the dialog
	}
	return m.settle(t, "Keep", "kept", func(ctx context.Context, id string) (control.ChangeResult, error) { return m.door.Keep(ctx, id) })
}

// revert takes back what is on trial. What somebody else tries is asked about.
func (m *model) revert(t control.Trial) tea.Cmd {
	return m.settle(t, "Revert", "reverted", func(ctx context.Context, id string) (control.ChangeResult, error) { return m.door.Revert(ctx, id) })
}

func (m *model) settle(t control.Trial, verb, past string, ask func(context.Context, string) (control.ChangeResult, error)) tea.Cmd {
	for _, c := range t.Changes {
		if why := m.mayNot(c.Risk); why != "" {
			m.say(inkWarn, c.Key+": "+why)
			return nil
		}
	}
	do := func(m *model, id int) tea.Cmd {
		return m.changed(id, past, func(ctx context.Context) (control.ChangeResult, error) { return ask(ctx, strconv.FormatUint(t.ID, 10)) })
	}
	if m.mine[t.ID] {
		return do(m, 0)
	}
	c := &confirm{title: verb + " what is on trial", verb: verb, doc: summary(t.Changes),
		facts: append(slices.DeleteFunc([]string{"by " + t.By, prefixed("guard ", t.Guard), t.Reason}, func(s string) bool { return s == "" }),
			"else it goes back at "+t.Deadline.Local().Format("15:04:05"))}
	c.apply = func(m *model) tea.Cmd { return do(m, c.id) }
	return m.open(c)
}

func (m *model) whyNoUndo() string {
	if m.look.Undoable == "" && len(m.look.Trials) == 0 {
		return "nothing to undo"
	}
	return ""
}

// askUndo reverts what is on trial, or asks to take back the last change that was
// kept.
func (m *model) askUndo() tea.Cmd {
	if len(m.look.Trials) > 0 {
		return m.pickTrial("Which change goes back?", (*model).revert)
	}
	c := &confirm{title: "Undo the last change", verb: "Undo", doc: m.look.Undoable}
	c.apply = func(m *model) tea.Cmd { return m.changed(c.id, "undone", m.door.Undo) }
	return m.open(c)
}

func (m *model) whyNoRedo() string {
	if m.look.Redoable == "" {
		return "nothing was taken back that could be done again"
	}
	return ""
}

func (m *model) askRedo() tea.Cmd {
	c := &confirm{title: "Redo what was taken back", verb: "Redo", doc: m.look.Redoable, facts: []string{"it is kept at once"}}
	c.apply = func(m *model) tea.Cmd { return m.changed(c.id, "redone", m.door.Redo) }
	return m.open(c)
}
