package tui

import (
	"fmt"
	"os"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/themes"
)

// savedMsg tells where the screen was saved.
type savedMsg struct {
	files []string
	err   string
}

// save writes the screen as text and as SVG into the current directory.
func (m *model) save() tea.Cmd {
	lines := m.draw()
	name := "bizra-top-" + fileName(m.nameOf(m.view)) + "-" + m.now().Format("20060102-150405")
	t := m.pens.theme
	return func() tea.Msg {
		var text strings.Builder
		for _, l := range lines {
			text.WriteString(strings.TrimRight(l.String(), " "))
			text.WriteByte('\n')
		}
		for ext, data := range map[string]string{".txt": text.String(), ".svg": svg(lines, t)} {
			// Not over what is there, and not through a link.
			f, err := os.OpenFile(name+ext, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return savedMsg{err: cleanError(err)}
			}
			_, err = f.WriteString(data)
			if closed := f.Close(); err == nil {
				err = closed
			}
			if err != nil {
				return savedMsg{err: cleanError(err)}
			}
		}
		return savedMsg{files: []string{name + ".txt", name + ".svg"}}
	}
}

// fileName is a name with dashes for what does not belong into the name of a file.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
}

func (m *model) saved(msg savedMsg) {
	if msg.err != "" {
		m.say(inkBad, "not saved: "+msg.err)
		return
	}
	m.say(inkGood, "saved "+strings.Join(msg.files, " and "))
}

// svg draws lines with a theme's colours.
func svg(lines []line, t themes.Theme) string {
	const cellW, cellH, margin = 8.4, 17, 12
	cols := 0
	for _, l := range lines {
		cols = max(cols, l.width())
	}
	w, h := float64(cols)*cellW+2*margin, len(lines)*cellH+2*margin
	colors := inkColors(t.Colors)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %.0f %d" font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="14">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", t.Colors.Background)
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
	for y, l := range lines {
		x := 0
		for _, s := range l {
			n := width(s.text)
			fill, ground := colors[s.ink&^chosen], themes.Color{}
			switch {
			case s.ink&^chosen == inkAlarm:
				fill, ground = t.Colors.Background, colors[inkAlarm]
			case s.ink&chosen != 0:
				ground = t.Colors.SelectionBG
				fill = selectedColor(fill, t.Colors)
			}
			left := margin + float64(x)*cellW
			if ground.Set {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, left, margin+y*cellH, float64(n)*cellW, cellH, ground)
			}
			if strings.TrimSpace(s.text) != "" {
				weight := ""
				if boldInks[s.ink&^chosen] {
					weight = ` font-weight="bold"`
				}
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" textLength="%.1f" xml:space="preserve" fill="%s"%s>%s</text>`,
					left, margin+y*cellH+13, float64(n)*cellW, fill, weight, escape.Replace(s.text))
			}
			x += n
		}
		b.WriteByte('\n')
	}
	b.WriteString("</svg>\n")
	return b.String()
}
