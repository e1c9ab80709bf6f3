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

// builtIn reads the embedded files once. A mistake in one is a mistake in the
// build, which a test finds.
var builtIn = sync.OnceValue(func() []Theme {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err)
	}
	var all []Theme
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		t, err := Parse(e.Name(), data)
		if err != nil {
			panic(err)
		}
		if want := strings.TrimSuffix(e.Name(), path.Ext(e.Name())); t.Name != want {
			panic(fmt.Sprintf("themes: %s names itself %q", e.Name(), t.Name))
		}
		all = append(all, t)
	}
	rank := func(t Theme) int {
		if i := slices.Index(order, t.Name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(all, func(a, b Theme) int { return rank(a) - rank(b) })
	return all
})

// All returns the themes in the binary, the default first.
func All() []Theme { return slices.Clone(builtIn()) }

// Get returns the theme of that name.
func Get(name string) (Theme, error) {
	var have []string
	for _, t := range builtIn() {
		if t.Name == name {
			return t, nil
		}
		have = append(have, t.Name)
	}
	return Theme{}, fmt.Errorf("no theme %q; there are %s", name, strings.Join(have, ", "))
}
