package tui

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/themes"
)

// backgroundWait bounds how long the terminal's answer about its background is waited
// for: a theme does not change under the hands of who has begun to work. The screen is
// drawn meanwhile.
const backgroundWait = 3 * time.Second

// palettes are the themes that can be chosen: those in the binary, and the operator's
// own, which may take the place of one.
type palettes struct {
	dir   string // of the operator's; empty for none
	own   []ownTheme
	name  string    // of the one in use
	auto  bool      // light or dark by the terminal's background
	until time.Time // when its answer comes too late
}

// ownTheme is a theme of the operator as its file was read well last.
type ownTheme struct {
	path  string
	theme themes.Theme
}

// all lists the themes, those of the binary first.
func (p *palettes) all() []themes.Theme {
	out := themes.All()
	for _, own := range p.own {
		if i := slices.IndexFunc(out, func(t themes.Theme) bool { return t.Name == own.theme.Name }); i >= 0 {
			out[i] = own.theme
		} else {
			out = append(out, own.theme)
		}
	}
	return out
}

// get returns the theme of that name.
func (p *palettes) get(name string) (themes.Theme, error) {
	for _, own := range slices.Backward(p.own) {
		if own.theme.Name == name {
			return own.theme, nil
		}
	}
	if t, err := themes.Get(name); err == nil {
		return t, nil
	}
	var have []string
	for _, t := range p.all() {
		have = append(have, t.Name)
	}
	return themes.Theme{}, fmt.Errorf("no theme %q; there are %s", printable.Clean(name, nameLength), strings.Join(have, ", "))
}

// take puts files in place of those before. A broken one leaves its theme as it was;
// what is wrong with the first is returned.
func (p *palettes) take(files []themes.File) (problem string) {
	var own []ownTheme
	for _, f := range files {
		t := f.Theme
		if f.Err != nil {
			if problem == "" {
				problem = told(f.Err, f.Path)
			}
			i := slices.IndexFunc(p.own, func(o ownTheme) bool { return o.path == f.Path })
			if i < 0 {
				continue
			}
			t = p.own[i].theme
		}
		cleanAll(nameLength, &t.Name)
		cleanAll(textLength, &t.Doc)
		own = append(own, ownTheme{f.Path, t})
	}
	p.own = own
	return problem
}

// first is the theme before the terminal has said what its background is: by COLORFGBG,
// which some terminals set, else dark.
func (p *palettes) first() string {
	if darkByEnvironment(os.Getenv("COLORFGBG")) {
		return "dark"
	}
	return "light"
}

// darkByEnvironment reads COLORFGBG, such as 15;0: the last number is the background in
// the sixteen colours, where 7 and from 9 are light ones. What is not understood is
// dark.
func darkByEnvironment(value string) bool {
	n, err := strconv.Atoi(value[strings.LastIndexByte(value, ';')+1:])
	return err != nil || n < 7 || n == 8 || n > 15
}

// useTheme draws with the theme of that name from now on; the one before goes on when
// it is gone.
func (m *model) useTheme(name string) {
	t, err := m.palettes.get(name)
	if err != nil {
		return
	}
	m.palettes.name = name
	m.pens = newPens(t, m.mono, !m.palettes.auto)
}

// background takes in the terminal's answer, unless it comes too late.
func (m *model) background(dark bool) {
	if !m.palettes.auto || m.now().After(m.palettes.until) {
		return
	}
	name := "light"
	if dark {
		name = "dark"
	}
	if name != m.palettes.name {
		m.useTheme(name)
	}
}

func (m *model) nextTheme() tea.Cmd {
	all := m.palettes.all()
	at := slices.IndexFunc(all, func(t themes.Theme) bool { return t.Name == m.palettes.name })
	m.palettes.auto = false
	m.useTheme(all[(at+1)%len(all)].Name)
	m.say(inkMuted, "theme "+m.pens.theme.Name+": "+m.pens.theme.Doc)
	return nil
}
