package tui

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/control"
	"github.com/charmbracelet/x/ansi"
)

// spans are how long a silence made from the screen may last.
var spans = []string{"15m", "1h", "4h", "1d"}

// The parts of the dialog that tab goes through.
const (
	onCancel = iota
	onComment
	onApply
	focusEnd
)

// handling asks how to silence or acknowledge an alert. Cancel has the focus.
type handling struct {
	title, verb string
	what        string
	doc         string
	spans       bool // it lasts for a while
	span        int
	comment     field
	focus       int
	apply       func(m *model, span, comment string) tea.Cmd
}

func (h *handling) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	switch {
	case name == "tab":
		h.focus = (h.focus + 1) % focusEnd
	case name == "shift+tab":
		h.focus = (h.focus + focusEnd - 1) % focusEnd
	case h.spans && (name == "left" || name == "right"):
		by := map[string]int{"left": -1, "right": 1}[name]
		h.span = max(0, min(h.span+by, len(spans)-1))
	case h.focus == onComment:
		switch name {
		case "enter":
			h.focus = onApply
		case "esc":
			h.focus = onCancel
		default:
			h.comment.press(k)
		}
	case name == "esc", name == "n", name == "q", name == "enter" && h.focus == onCancel:
		m.overlay = nil
		m.say(inkMuted, "cancelled: nothing was changed")
	case name == "y", name == "enter":
		m.overlay = nil
		return m.guard(func(m *model) tea.Cmd { return h.apply(m, spans[h.span], h.comment.text) })
	}
	return nil
}

func (h *handling) paste(text string) {
	if h.focus == onComment {
		h.comment.text += text
	}
}

func (h *handling) box(_ *model, w, height int) (string, []line) {
	lines := append([]line{nil}, wrap(inkStrong, h.what, w, 2)...)
	lines = append(lines, nil)
	if h.spans {
		l := txt(inkMuted, pad("for", 10))
		for i, s := range spans {
			if i == h.span {
				l = cat(l, txt(inkText|chosen, "["+s+"]"))
			} else {
				l = cat(l, txt(inkMuted, " "+s+" "))
			}
		}
		lines = append(lines, cat(l, txt(inkKey, "  ←→")))
	}
	typed := h.comment.text
	if room := max(w-13, 1); len([]rune(typed)) > room {
		typed = "…" + string([]rune(typed)[len([]rune(typed))-room+1:])
	}
	comment := cat(txt(inkMuted, pad("comment", 10)), txt(inkStrong, " "+typed))
	if h.focus == onComment {
		comment = cat(txt(inkMuted, pad("comment", 10)), txt(inkStrong|chosen, " "+typed), txt(inkKey|chosen, "▏"))
	} else if typed == "" {
		comment = cat(comment, txt(inkKey, "tab"), txt(inkMuted, " to write one"))
	}
	lines = append(lines, comment, nil)
	lines = append(lines, wrap(inkMuted, h.doc, w, 3)...)
	buttons := cat(button("Cancel", "esc", h.focus == onCancel, true), txt(inkText, "   "), button(h.verb, "y", h.focus == onApply, true))
	// The buttons are never what is cut.
	return h.title, append(bounded(append(lines, nil), max(height-1, 0)), buttons)
}

// whyNoAcknowledge says why the selected alert cannot be acknowledged, or "".
func (m *model) whyNoAcknowledge() string {
	a, ok := m.selectedAlert()
	switch {
	case !ok:
		return "nothing is selected"
	case a.Fingerprint == "":
		return "only what is pending or firing can be acknowledged"
	}
	return ""
}

func (m *model) whyNoSilence() string {
	if _, ok := m.selectedAlert(); !ok {
		return "nothing is selected"
	}
	return ""
}

// acknowledge asks to acknowledge the selected alert, or to take that back.
func (m *model) acknowledge() tea.Cmd {
	a, _ := m.selectedAlert()
	if k := a.Acknowledged; k != nil {
		m.overlay = &confirm{title: "Withdraw the acknowledgement", verb: "Withdraw", doc: alertKey(a), facts: []string{byWhom(k.Author, k.Comment)},
			apply: func(m *model) tea.Cmd {
				return m.handle(a.Name+": no longer acknowledged", func(ctx context.Context, d Door) error { _, err := d.Withdraw(ctx, a.Fingerprint); return err })
			}}
		return nil
	}
	m.overlay = &handling{title: "Acknowledge", verb: "Acknowledge", what: alertKey(a),
		doc: "All see that you look after it, and webhooks are not told of it again. It ends with the alert.",
		apply: func(m *model, _, comment string) tea.Cmd {
			return m.handle(a.Name+": acknowledged", func(ctx context.Context, d Door) error {
				_, err := d.Acknowledge(ctx, control.AcknowledgeRequest{Fingerprint: a.Fingerprint, Comment: comment})
				return err
			})
		}}
	return nil
}

// silence asks to silence the selected alert, or to end that.
func (m *model) silence() tea.Cmd {
	a, _ := m.selectedAlert()
	if s := a.Silenced; s != nil {
		m.overlay = &confirm{title: "End the silence", verb: "End it", doc: alertKey(a), facts: []string{byWhom(s.Author, s.Comment), "until " + clock(s.Until, m.nodeNow())},
			apply: func(m *model) tea.Cmd {
				return m.handle(a.Name+": no longer silenced", func(ctx context.Context, d Door) error { _, err := d.ExpireSilence(ctx, s.ID); return err })
			}}
		return nil
	}
	r := control.SilenceRequest{Fingerprint: a.Fingerprint}
	what := alertKey(a)
	if a.Fingerprint == "" {
		r.Matchers = []string{"alertname=" + strconv.Quote(a.Name)}
		what = "every alert of the rule " + a.Name
	}
	m.overlay = &handling{title: "Silence", verb: "Silence", what: what, spans: true, span: slices.Index(spans, "1h"),
		doc: "While it is silenced, neither Alertmanagers nor webhooks are told that it fires. It stays in this list.",
		apply: func(m *model, span, comment string) tea.Cmd {
			r.For, r.Comment = span, comment
			return m.handle(a.Name+": silenced for "+span, func(ctx context.Context, d Door) error { _, err := d.AddSilence(ctx, r); return err })
		}}
	return nil
}

// handle asks the node for something and shows done, or why not.
func (m *model) handle(done string, ask func(context.Context, Door) error) tea.Cmd {
	return m.call(callDeadline, func(ctx context.Context) tea.Msg {
		err := ask(ctx, m.door)
		return doneMsg{text: "done: " + done, err: cleanError(err), unsure: unsure(err)}
	})
}

func byWhom(author, comment string) string {
	return oneLine(": ", "by "+author, comment)
}

// clock returns a moment as a time of day, with the date when that is not today.
func clock(at, now time.Time) string {
	at, now = at.Local(), now.Local()
	if at.Year() == now.Year() && at.YearDay() == now.YearDay() {
		return at.Format("15:04")
	}
	return at.Format("Jan 2 15:04")
}

// attend rings the bell and sends a notification to the desktop, as asked for, when
// a critical alert has begun to fire since the look before.
func (m *model) attend(before, now control.Look) {
	if !m.bell && !m.desktop {
		return
	}
	known := map[string]bool{}
	for _, a := range before.Alerts {
		if a.State == "firing" {
			known[alertKey(a)+a.Since.String()] = true
		}
	}
	var names []string
	for _, a := range now.Alerts {
		if a.State == "firing" && a.Severity == "critical" && a.Silenced == nil && a.Acknowledged == nil && !known[alertKey(a)+a.Since.String()] {
			names = append(names, a.Name+": "+a.Summary)
		}
	}
	if len(names) == 0 {
		return
	}
	if m.bell {
		m.canvas.write("\a")
	}
	if m.desktop {
		// The texts were cleaned with the look. They never come first: 9;4 is
		// something else to some terminals.
		text := ansi.Notify(m.title() + ": " + strings.Join(bounded(names, 3), "; "))
		if m.tmux {
			text = ansi.TmuxPassthrough(text)
		}
		m.canvas.write(text)
	}
}
