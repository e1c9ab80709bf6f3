package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// The parts of a confirmation that tab goes through.
const (
	atCancel = iota
	atApply
	atReason
	atGuard
)

// confirm asks before the node is changed. Cancel has the focus. It stays until the
// node has answered, so that a key pressed twice does nothing else.
type confirm struct {
	id       int // 0: it is closed at once, whatever the node answers
	title    string
	old, new string
	unit     string
	risk     string
	doc      string
	facts    []string
	verb     string
	warnings []string
	problem  string // why the node refuses
	conflict bool   // because of what somebody else did meanwhile
	checking bool   // the node has not answered yet
	applying bool   // the node was asked to do it
	focus    int
	revision *uint64 // of the settings that the node checked it against

	word     string // to be typed, for what cannot be taken back
	typed    field
	explains bool // takes a reason
	reason   field
	trial    string   // how long it is on trial; empty is not at all
	guards   []string // alerts of which one may take it back; the first is none
	guarded  int

	check func(*model) tea.Cmd // asks the node what it would do
	apply func(*model) tea.Cmd
}

// open shows the confirmation and has the node check it.
func (m *model) open(c *confirm) tea.Cmd {
	m.asked++
	c.id = m.asked
	m.overlay = c
	if c.check == nil {
		return nil
	}
	c.checking = true
	return c.check(m)
}

// checked takes in what the node's dry run said.
func (c *confirm) checked(msg checkedMsg) {
	c.checking = false
	c.problem, c.warnings, c.revision = msg.err, msg.warnings, msg.revision
	// The node's word is the one that counts: it knows the value in force, and
	// writes the new one its own way.
	if msg.err == "" {
		c.old, c.new = inUnit(msg.old, c.unit), inUnit(msg.new, c.unit)
	}
}

// failed takes in why it was not done.
func (c *confirm) failed(msg doneMsg) {
	c.applying, c.focus = false, atCancel
	c.problem, c.conflict = msg.err, msg.conflict
	if msg.unsure {
		c.problem = "no answer, it may have been done: look before trying again: " + msg.err
	}
}

func inUnit(text, unit string) string {
	if text == "" || unit == "" {
		return text
	}
	return text + " " + unit
}

// guard returns the alert that takes the change back, or "".
func (c *confirm) guard() string {
	if c.guarded == 0 {
		return ""
	}
	return c.guards[c.guarded]
}

// turn moves the focus to the next part that there is.
func (c *confirm) turn(by int) {
	stops := []int{atCancel, atApply}
	if c.explains && !c.conflict {
		stops = append(stops, atReason)
	}
	if len(c.guards) > 1 && !c.conflict {
		stops = append(stops, atGuard)
	}
	for i, s := range stops {
		if s == c.focus {
			c.focus = stops[(i+by+len(stops))%len(stops)]
			return
		}
	}
	c.focus = atCancel
}

func (c *confirm) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	switch {
	case c.applying:
		if name == "esc" {
			m.overlay = nil
			m.say(inkWarn, "the node was asked already: look whether it did")
		}
	case name == "tab":
		c.turn(1)
	case name == "shift+tab":
		c.turn(-1)
	case c.focus == atReason:
		switch name {
		case "enter":
			c.focus = atApply
		case "esc":
			c.focus = atCancel
		default:
			c.reason.press(k)
		}
	case c.focus == atGuard && (name == "left" || name == "up" || name == "h" || name == "k"):
		c.guarded = (c.guarded + len(c.guards) - 1) % len(c.guards)
	case c.focus == atGuard && (name == "right" || name == "down" || name == "l" || name == "j"):
		c.guarded = (c.guarded + 1) % len(c.guards)
	case c.focus == atGuard && name == "enter":
		c.focus = atApply
	case name == "esc", name == "enter" && c.focus == atCancel:
		return c.cancel(m)
	case name == "enter":
		return c.do(m)
	case name == "left", name == "right":
		c.focus = 1 - min(c.focus, 1)
	case c.word != "":
		if c.typed.press(k) {
			c.focus = atCancel
			if c.typed.text == c.word {
				c.focus = atApply
			}
		}
	case name == "n", name == "q":
		return c.cancel(m)
	case name == "h", name == "l":
		c.focus = 1 - min(c.focus, 1)
	case name == "y" && !c.conflict, name == "r" && c.conflict:
		return c.do(m)
	}
	return nil
}

func (c *confirm) paste(text string) {
	switch {
	case c.applying:
	case c.focus == atReason:
		c.reason.text += text
	}
}

func (c *confirm) cancel(m *model) tea.Cmd {
	m.overlay = nil
	m.say(inkMuted, "cancelled: nothing was changed")
	return nil
}

// usable tells whether it can be applied: the node has said that it would, and the
// word is typed.
func (c *confirm) usable() bool {
	return !c.checking && !c.applying && c.problem == "" && c.typed.text == c.word
}

// do applies, or after a conflict looks again.
func (c *confirm) do(m *model) tea.Cmd {
	if c.conflict && c.check != nil {
		c.problem, c.conflict, c.checking, c.focus = "", false, true, atCancel
		return tea.Batch(c.check(m), m.lookNow(), m.fetchSettings())
	}
	if !c.usable() {
		return nil
	}
	if c.applying = c.id != 0; !c.applying {
		m.overlay = nil
	}
	return m.guard(c.apply)
}

func (c *confirm) box(_ *model, w, h int) (string, []line) {
	roomy := h >= 14
	var about, said []line
	about = append(about, wrap(inkText, c.doc, w, 4)...)
	if len(c.facts) > 0 {
		about = append(about, wrap(inkMuted, strings.Join(c.facts, " · "), w, 3)...)
	}
	if c.risk != "" {
		said = append(said, riskLine(c.risk))
	}
	for _, t := range c.warnings {
		said = append(said, wrap(inkWarn, "! "+t, w, 3)...)
	}
	switch {
	case c.problem != "":
		said = append(said, wrap(inkBad, "✗ "+c.problem, w, 4)...)
	case c.checking:
		said = append(said, txt(inkMuted, "… the node is checking"))
	case c.applying:
		said = append(said, txt(inkMuted, "… the node is asked"))
	}
	var lines []line
	if c.old != "" || c.new != "" {
		lines = append(lines, cat(txt(inkMuted, c.old), txt(inkMuted, "  →  "), txt(inkStrong, c.new)))
	}
	end := append(c.fields(w, roomy), c.buttons())
	if roomy {
		if len(lines) > 0 {
			lines = append(lines, nil)
		}
		lines = append(append(append([]line{nil}, lines...), about...), said...)
		end = append([]line{nil}, end...)
	} else {
		lines = append(append(lines, said...), about...)
	}
	// What is asked for and the buttons are never what is cut.
	return c.title, append(bounded(lines, max(h-len(end), 0)), bounded(end[max(len(end)-h, 0):], h)...)
}

// fields are what can be filled in. In a small dialog only what has the focus, or
// must be typed, is there.
func (c *confirm) fields(w int, roomy bool) []line {
	const label = 10
	if c.conflict {
		return nil
	}
	entry := func(name, typed, hint string, at bool) line {
		if room := max(w-label-3, 1); len([]rune(typed)) > room {
			typed = "…" + string([]rune(typed)[len([]rune(typed))-room+1:])
		}
		l := txt(inkMuted, pad(name, label))
		switch {
		case at:
			return cat(l, txt(inkStrong|chosen, " "+typed), txt(inkKey|chosen, "▏"))
		case typed == "":
			return cat(l, txt(inkKey, " tab"), txt(inkMuted, " "+hint))
		}
		return cat(l, txt(inkStrong, " "+typed))
	}
	var out []line
	if c.word != "" {
		ask := "type " + c.word
		l := cat(txt(inkWarn, ask+"  "), txt(inkStrong|chosen, " "+c.typed.text), txt(inkKey|chosen, "▏"))
		if c.typed.text == c.word {
			l = cat(l, txt(inkGood, "  ✓"))
		}
		out = append(out, l)
	}
	if c.explains && (roomy || c.focus == atReason) {
		out = append(out, entry("reason", c.reason.text, "to say why", c.focus == atReason))
	}
	if len(c.guards) > 1 && (roomy || c.focus == atGuard) {
		l := txt(inkMuted, pad("guard", label))
		if c.focus == atGuard {
			l = cat(l, txt(inkStrong|chosen, " "+c.guards[c.guarded]+" "), txt(inkKey, " ←→"))
		} else {
			l = cat(l, txt(inkText, " "+c.guards[c.guarded]))
		}
		out = append(out, cat(l, txt(inkMuted, "  the alert that takes it back")))
	}
	if c.trial != "" {
		out = append(out, cat(txt(inkMuted, pad("on trial", label)), txt(inkStrong, " "+c.trial), txt(inkMuted, ", then it goes back unless y keeps it")))
	}
	if roomy && len(out) > 0 {
		out = append(out, nil)
	}
	return out
}

func (c *confirm) buttons() line {
	verb, key := c.verb, "y"
	switch {
	case c.conflict:
		verb, key = "Look again", "r"
	case c.word != "":
		key = "enter"
	}
	return cat(button("Cancel", "esc", c.focus == atCancel, true), txt(inkText, "   "), button(verb, key, c.focus == atApply, c.usable() || c.conflict))
}
