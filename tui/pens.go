package tui

import (
	"strings"

	"github.com/bizra/bizra-top/themes"
	"github.com/charmbracelet/x/ansi"
)

// ink is what a piece of text means; the theme says what that looks like.
type ink uint8

const (
	inkText ink = iota
	inkMuted
	inkStrong
	inkAccent
	inkKey
	inkGood
	inkWarn
	inkBad
	inkAlarm // bad, on a filled ground
	inkBorder
	inkTitle
	inkTrack
	inkChart1
	inkChart2
	inkChart3
	inkChart4
	inkCount

	// chosen marks the selected row; it is added to an ink.
	chosen ink = 1 << 7
)

// pens turn inks into escape codes. They are the only place that writes any.
type pens struct {
	theme  themes.Theme
	mono   bool
	normal [inkCount]string
	chosen [inkCount]string
}

var boldInks = [inkCount]bool{inkStrong: true, inkKey: true, inkBad: true, inkAlarm: true, inkTitle: true}

// newPens makes the pens of a theme; mono ones use no colours, only bold and
// reverse.
// With ground they paint the theme's background too, so that a light theme can
// be read on a dark terminal; without, the terminal keeps its own.
func newPens(t themes.Theme, mono, ground bool) *pens {
	p := &pens{theme: t, mono: mono}
	for i, c := range inkColors(t.Colors) {
		n, s := ansi.Style{}, ansi.Style{}
		if boldInks[i] {
			n, s = n.Bold(), s.Bold()
		}
		switch {
		case mono && ink(i) == inkAlarm:
			n, s = n.Reverse(true), s.Reverse(true)
		case mono:
			s = s.Reverse(true)
		case ink(i) == inkAlarm:
			n = n.ForegroundColor(t.Colors.Background).BackgroundColor(c)
			s = s.ForegroundColor(t.Colors.Background).BackgroundColor(c)
		default:
			n = n.ForegroundColor(c)
			if ground && t.Colors.Background.Set {
				n = n.BackgroundColor(t.Colors.Background)
			}
			s = s.ForegroundColor(selectedColor(c, t.Colors)).BackgroundColor(t.Colors.SelectionBG)
		}
		p.normal[i], p.chosen[i] = sequence(n), sequence(s)
	}
	return p
}

// selectedColor is the colour of an ink in the selected row. What is good, wrong or
// charted keeps its own, if it can be read there.
func selectedColor(c themes.Color, of themes.Colors) themes.Color {
	if themes.Contrast(c, of.SelectionBG) < 4.5 {
		return of.SelectionFG
	}
	return c
}

func sequence(s ansi.Style) string {
	if len(s) == 0 {
		return ""
	}
	return s.String()
}

func inkColors(c themes.Colors) [inkCount]themes.Color {
	return [inkCount]themes.Color{
		inkText: c.Text, inkMuted: c.Muted, inkStrong: c.Strong, inkAccent: c.Accent, inkKey: c.Accent,
		inkGood: c.Good, inkWarn: c.Warn, inkBad: c.Bad, inkAlarm: c.Bad, inkBorder: c.Border,
		inkTitle: c.Title, inkTrack: c.Track,
		inkChart1: c.Chart1, inkChart2: c.Chart2, inkChart3: c.Chart3, inkChart4: c.Chart4,
	}
}

func (p *pens) write(b *strings.Builder, s span) {
	set := &p.normal
	if s.ink&chosen != 0 {
		set = &p.chosen
	}
	if on := set[s.ink&^chosen]; on != "" {
		b.WriteString(on)
		b.WriteString(s.text)
		b.WriteString(ansi.ResetStyle)
		return
	}
	b.WriteString(s.text)
}

// paint returns lines as terminal text.
func (p *pens) paint(lines []line) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, s := range l {
			p.write(&b, s)
		}
	}
	return b.String()
}
