// Package themes holds the palettes of the screen: data files and their loader.
//
// A theme names colours by what they mean (good, warn, bad, muted, …), never by
// what they look like, so a screen that is written once looks right in each. A
// theme is a YAML file; the ones in this folder are part of the binary. Adding
// one is adding a file.
//
// The package is a leaf: it imports nothing else of the module.
package themes

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed *.yaml
var files embed.FS

// Theme is one palette.
type Theme struct {
	Name   string
	Doc    string // one line
	Dark   bool   // meant for a dark terminal
	Colors Colors
}

// Colors are a theme's colours by what they mean.
type Colors struct {
	Background  Color // of the terminal; not Set when the theme leaves the terminal's own
	Text        Color
	Muted       Color // what may be overlooked: labels, units, what is normal
	Strong      Color // numbers that matter
	Accent      Color // keys, the current view, what can be pressed
	Good        Color
	Warn        Color
	Bad         Color
	Border      Color
	Title       Color
	SelectionFG Color
	SelectionBG Color
	Track       Color // the empty part of a bar
	Chart1      Color
	Chart2      Color
	Chart3      Color
	Chart4      Color
}

// names lists the colour keys of a file and where each goes. Background is the
// only one that may be absent.
func (c *Colors) names() []named {
	return []named{
		{"background", &c.Background}, {"text", &c.Text}, {"muted", &c.Muted}, {"strong", &c.Strong},
		{"accent", &c.Accent}, {"good", &c.Good}, {"warn", &c.Warn}, {"bad", &c.Bad},
		{"border", &c.Border}, {"title", &c.Title},
		{"selection_fg", &c.SelectionFG}, {"selection_bg", &c.SelectionBG}, {"track", &c.Track},
		{"chart1", &c.Chart1}, {"chart2", &c.Chart2}, {"chart3", &c.Chart3}, {"chart4", &c.Chart4},
	}
}

type named struct {
	key string
	to  *Color
}

// order is how themes follow each other; files that are not listed come after,
// by name.
var order = []string{"dark", "light", "high-contrast", "colour-blind", "colour-blind-light", "monochrome"}

// builtIn are the embedded files, each read when it is first asked for. A mistake in
// one is a mistake in the build, which a test finds.
var builtIn = sync.OnceValue(func() []embedded {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err)
	}
	var all []embedded
	for _, e := range entries {
		file, name := e.Name(), strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		all = append(all, embedded{name, sync.OnceValue(func() Theme {
			data, err := files.ReadFile(file)
			if err != nil {
				panic(err)
			}
			t, err := Parse(file, data)
			if err != nil {
				panic(err)
			}
			if t.Name != name {
				panic(fmt.Sprintf("themes: %s names itself %q", file, t.Name))
			}
			return t
		})})
	}
	rank := func(e embedded) int {
		if i := slices.Index(order, e.name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(all, func(a, b embedded) int { return rank(a) - rank(b) })
	return all
})

type embedded struct {
	name string
	read func() Theme
}

// Names lists the themes in the binary, the default first.
func Names() []string {
	var names []string
	for _, e := range builtIn() {
		names = append(names, e.name)
	}
	return names
}

// All returns the themes in the binary, the default first.
func All() []Theme {
	var all []Theme
	for _, e := range builtIn() {
		all = append(all, e.read())
	}
	return all
}

// Get returns the theme of that name.
func Get(name string) (Theme, error) {
	for _, e := range builtIn() {
		if e.name == name {
			return e.read(), nil
		}
	}
	return Theme{}, fmt.Errorf("no theme %q; there are %s", name, strings.Join(Names(), ", "))
}
