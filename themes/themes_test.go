package themes_test

import (
	"strings"
	"testing"

	"github.com/bizra/bizra-top/themes"
)

func TestShippedThemes(t *testing.T) {
	all := themes.All()
	if len(all) < 8 || all[0].Name != "dark" {
		t.Fatalf("got %d themes, the first %q; want at least 8, dark first", len(all), all[0].Name)
	}
	for _, th := range all {
		if got, err := themes.Get(th.Name); err != nil || got != th {
			t.Errorf("Get(%q) = %v, %v", th.Name, got, err)
		}
	}
	if _, err := themes.Get("drak"); err == nil || !strings.Contains(err.Error(), "high-contrast") {
		t.Errorf("an unknown name is answered with %v; want the list of names", err)
	}
}

// Everything that is written must be readable: WCAG AA asks for 4.5. Border and track
// only separate, and nothing is told by them alone: it is enough that they are seen.
func TestContrast(t *testing.T) {
	for _, th := range themes.All() {
		c := th.Colors
		if !c.Background.Set {
			t.Errorf("%s has no background: nobody knows whether it can be read", th.Name)
			continue
		}
		for name, fg := range map[string]themes.Color{
			"text": c.Text, "muted": c.Muted, "strong": c.Strong, "accent": c.Accent, "title": c.Title,
			"good": c.Good, "warn": c.Warn, "bad": c.Bad,
			"chart1": c.Chart1, "chart2": c.Chart2, "chart3": c.Chart3, "chart4": c.Chart4,
		} {
			if got := themes.Contrast(fg, c.Background); got < 4.5 {
				t.Errorf("%s: %s on the background: contrast %.2f; want 4.5", th.Name, name, got)
			}
		}
		for name, fg := range map[string]themes.Color{"border": c.Border, "track": c.Track, "selection": c.SelectionBG} {
			if got := themes.Contrast(fg, c.Background); got < 1.25 {
				t.Errorf("%s: %s on the background: contrast %.2f; want 1.25", th.Name, name, got)
			}
		}
		if got := themes.Contrast(c.SelectionFG, c.SelectionBG); got < 4.5 {
			t.Errorf("%s: selection: contrast %.2f; want 4.5", th.Name, got)
		}
		if light := themes.Contrast(c.Background, themes.Color{}) > themes.Contrast(c.Background, themes.Color{R: 255, G: 255, B: 255}); light == th.Dark {
			t.Errorf("%s: dark is %v on %v", th.Name, th.Dark, c.Background)
		}
	}
}

func TestContrastOfBlackAndWhite(t *testing.T) {
	white := themes.Color{R: 255, G: 255, B: 255}
	if got := themes.Contrast(themes.Color{}, white); got < 20.99 || got > 21.01 {
		t.Errorf("black on white is %.2f; want 21", got)
	}
}

func TestParseNamesLineAndKey(t *testing.T) {
	good := "name: x\ndark: true\ncolors:\n  background: \"#000000\"\n"
	for _, key := range []string{"text", "muted", "strong", "accent", "good", "warn", "bad", "border", "title",
		"selection_fg", "selection_bg", "track", "chart1", "chart2", "chart3", "chart4"} {
		good += "  " + key + ": \"#102030\"\n"
	}
	if _, err := themes.Parse("x.yaml", []byte(good)); err != nil {
		t.Fatalf("a whole file: %v", err)
	}
	if th, err := themes.Parse("x.yaml", []byte(strings.Replace(good, "  background: \"#000000\"\n", "", 1))); err != nil || th.Colors.Background.Set {
		t.Errorf("without a background: %v, %v", th, err)
	}
	for name, c := range map[string]struct{ file, want string }{
		"no name":     {strings.Replace(good, "name: x\n", "", 1), "x.yaml:1: name: missing"},
		"bad colour":  {strings.Replace(good, `good: "#102030"`, `good: "green"`, 1), "x.yaml:9: good:"},
		"escape code": {strings.Replace(good, `good: "#102030"`, `good: "\x1b[31m"`, 1), "x.yaml:9: good:"},
		"unquoted":    {strings.Replace(good, `good: "#102030"`, `good: #102030`, 1), "in quotes"},
		"missing":     {strings.Replace(good, "  bad: \"#102030\"\n", "", 1), "x.yaml:3: colors: bad is missing"},
		"unknown":     {good + "  godo: \"#102030\"\n", "godo: no such colour"},
		"unknown top": {"colour: 1\n" + good, "x.yaml:1: colour: no such key"},
		"twice":       {good + "  text: \"#102030\"\n", "x.yaml:21:"},
		"not a map":   {"- a\n- b\n", "x.yaml:1:"},
		"empty":       {"", "x.yaml:1: the file is empty"},
		"broken":      {"name: [", "x.yaml"},
	} {
		_, err := themes.Parse("x.yaml", []byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v; want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: an escape code in the error", name)
		}
	}
}
