package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/settings"
)

// unlockSpan is how long an unlocked screen stays unlocked.
const unlockSpan = 10 * time.Minute

// whyReadOnly says why nothing can be changed from this screen however long one
// asks, or "".
func (m *model) whyReadOnly() string {
	switch {
	case m.fleet != nil:
		return errFleet
	case m.inPast():
		return errPast
	case m.look.Role == "viewer":
		return "your role is viewer: control.operator_group says who may change"
	}
	return ""
}

// mayNot says why the operator's role does not cover a risk, or "".
func (m *model) mayNot(risk string) string {
	if risk == string(settings.RiskHigh) && m.look.Role == "operator" {
		return "high risk needs the role admin; yours is operator"
	}
	return ""
}

func (m *model) isUnlocked() bool {
	return m.whyReadOnly() == "" && (m.forever || m.now().Before(m.unlocked))
}

// guard runs what changes the node, or asks to unlock the screen first.
func (m *model) guard(then func(*model) tea.Cmd) tea.Cmd {
	if why := m.whyReadOnly(); why != "" {
		m.say(inkWarn, why)
		return nil
	}
	if m.isUnlocked() {
		return then(m)
	}
	m.overlay = &unlockPrompt{then: then}
	return nil
}

func (m *model) toggleLock() tea.Cmd {
	if why := m.whyReadOnly(); why != "" {
		m.say(inkWarn, why)
		return nil
	}
	if m.isUnlocked() {
		m.unlocked, m.forever = time.Time{}, false
		m.say(inkMuted, "locked: nothing can be changed from here")
		return nil
	}
	m.overlay = &unlockPrompt{}
	return nil
}

// lock is the label of what may be done from here.
func (m *model) lock() line {
	switch {
	case m.look.Role == "viewer":
		return txt(inkMuted, "[RO viewer]")
	case !m.isUnlocked():
		return txt(inkMuted, "[RO]")
	case m.forever:
		return txt(inkWarn, "[RW]")
	default:
		left := m.unlocked.Sub(m.now()).Round(time.Second)
		return txt(inkWarn, "[RW "+age(left)+"]")
	}
}

// unlockPrompt asks whether changes may be made from here for a while.
type unlockPrompt struct{ then func(*model) tea.Cmd }

func (u *unlockPrompt) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	m.overlay = nil
	switch k.String() {
	case "y", "ctrl+u":
		m.unlocked = m.now().Add(unlockSpan)
		m.say(inkMuted, "unlocked for "+age(unlockSpan)+"; ctrl+u locks again")
		if u.then != nil {
			return u.then(m)
		}
	case "n", "esc", "q", "enter":
		m.say(inkMuted, "still locked")
	default:
		m.overlay = u
	}
	return nil
}

func (u *unlockPrompt) box(_ *model, w, _ int) (string, []line) {
	lines := []line{nil, txt(inkStrong, "Unlock for 10 minutes?"), nil}
	lines = append(lines, wrap(inkMuted, "The screen is read-only. Unlocked, every change still asks first.", w, 3)...)
	return "Read-only", append(lines, nil, cat(button("Stay locked", "esc", true, true), txt(inkText, "   "), button("Unlock", "y", false, true)))
}
