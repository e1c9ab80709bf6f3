package tui

import (
	"slices"

	tea "charm.land/bubbletea/v2"
)

// overlay is what lies over a view and owns the keyboard while it does.
type overlay interface {
	press(m *model, k tea.KeyPressMsg) tea.Cmd
	// box returns the title and the lines of at most w columns and h rows.
	box(m *model, w, h int) (string, []line)
}

// typer is an overlay that takes pasted text.
type typer interface{ paste(text string) }

// boxWidth is how wide the text of a dialog is where there is room.
const boxWidth = 66

// drawOverlay puts the overlay in the middle of f.
func (m *model) drawOverlay(f *frame) {
	if f.w < 8 || f.h < 4 {
		// No room for a border: the dialog is the screen.
		_, lines := m.overlay.box(m, f.w, f.h)
		f.put(rect{0, 0, f.w, f.h}, lines)
		return
	}
	w := min(boxWidth, f.w-6)
	switch m.overlay.(type) {
	case *palette:
		w = min(boxWidth+20, f.w-6)
	case *alertDrill, *breakerDrill:
		w = min(2*boxWidth, f.w-6)
	}
	side := 2
	if f.w < 30 {
		w, side = f.w-2, 0
	}
	title, lines := m.overlay.box(m, w, f.h-2)
	lines = bounded(lines, f.h-2)
	inner := w + 2*side
	box := []line{cat(txt(inkAccent, "╭─ "), txt(inkStrong, title), txt(inkAccent, " "+repeat("─", inner-3-width(title))+"╮"))}
	if width(title) > inner-3 {
		box[0] = cat(txt(inkAccent, "╭"), txt(inkStrong, title).fit(inner), txt(inkAccent, "╮"))
	}
	edge, gap := txt(inkAccent, "│"), txt(inkText, spaces(side))
	for _, l := range lines {
		box = append(box, cat(edge, gap, l.fit(w), gap, edge))
	}
	box = append(box, txt(inkAccent, "╰"+repeat("─", inner)+"╯"))
	r := rect{(f.w - inner - 2) / 2, max(0, (f.h-len(box))/2), inner + 2, len(box)}
	f.put(r, box)
}

func riskLine(risk string) line {
	switch risk {
	case "high":
		return cat(txt(inkMuted, "risk "), txt(inkBad, "▲ high"), txt(inkMuted, ": can refuse or slow requests"))
	case "medium":
		return cat(txt(inkMuted, "risk "), txt(inkWarn, "△ medium"), txt(inkMuted, ": changes speed or cost"))
	default:
		return txt(inkMuted, "risk "+risk)
	}
}

func button(name, key string, focused, usable bool) line {
	i := inkText
	if !usable {
		i = inkMuted
	}
	if focused {
		return cat(txt(inkText|chosen, "▸ "+name+" "), txt(inkMuted|chosen, key+" "))
	}
	return cat(txt(i, "  "+name+" "), txt(inkMuted, key+" "))
}

// quitPrompt asks before quitting stops the node.
type quitPrompt struct{}

func (p *quitPrompt) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "y":
		return m.leave()
	case "n", "esc", "enter", "q":
		m.overlay = nil
	}
	return nil
}

func (p *quitPrompt) box(_ *model, w, _ int) (string, []line) {
	lines := append([]line{nil}, wrap(inkText, "The node runs in this program: quitting stops it. Requests in flight are answered first.", w, 3)...)
	return "Quit?", append(lines, nil, cat(button("Stay", "esc", true, true), txt(inkText, "   "), button("Quit", "y", false, true)))
}

// scroll is how far a dialog's lines are scrolled.
type scroll int

// press handles the keys of a dialog that only shows: scrolling and closing.
func (s *scroll) press(m *model, k tea.KeyPressMsg) bool {
	switch k.String() {
	case "down", "j":
		*s++
	case "up", "k":
		*s = max(0, *s-1)
	case "esc", "enter", "q":
		m.overlay = nil
	default:
		return false
	}
	return true
}

// window returns the lines in sight, at most room.
func (s *scroll) window(lines []line, room int) []line {
	*s = max(0, min(*s, scroll(len(lines)-room)))
	return lines[*s:min(int(*s)+room, len(lines))]
}

// detail shows one thing at length.
type detail struct {
	title  string
	lines  func(w int) []line
	scroll scroll
}

func (d *detail) press(m *model, k tea.KeyPressMsg) tea.Cmd {
	if d.scroll.press(m, k) {
		return nil
	}
	switch k.String() {
	case "e":
		if slices.Contains(editing, m.view) {
			m.overlay = nil
			return m.press(k)
		}
	}
	return nil
}

func (d *detail) box(_ *model, w, h int) (string, []line) {
	lines := d.lines(w)
	room := max(1, h-3)
	out := append([]line{nil}, d.scroll.window(lines, room)...)
	keys := "esc back"
	if len(lines) > room {
		keys += " · ↑↓ scroll"
	}
	return d.title, append(out, nil, txt(inkMuted, keys))
}
