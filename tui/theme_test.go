package tui

import (
	"context"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/bizra/bizra-top/themes"
)

// What is drawn of a selected row can be read in every theme, whatever its ink.
func TestEveryInkCanBeReadWhenSelected(t *testing.T) {
	for _, th := range themes.All() {
		for i, c := range inkColors(th.Colors) {
			if got := themes.Contrast(selectedColor(c, th.Colors), th.Colors.SelectionBG); got < 4.5 && ink(i) != inkAlarm {
				t.Errorf("%s: ink %d on the selection: contrast %.2f; want 4.5", th.Name, i, got)
			}
		}
	}
}

// The terminal's background decides, then COLORFGBG, then dark; an answer that comes
// late, or after the operator's choice, changes nothing.
func TestThemeByBackground(t *testing.T) {
	for value, want := range map[string]string{"": "dark", "15;0": "dark", "0;15": "light", "0;7": "light", "7;8": "dark", "0;default;15": "light", "x": "dark", "0;99": "dark"} {
		t.Setenv("COLORFGBG", value)
		m, err := newModel(context.Background(), newFakeDoor(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if m.pens.theme.Name != want {
			t.Errorf("COLORFGBG %q: %s; want %s", value, m.pens.theme.Name, want)
		}
	}
	white, black := tea.BackgroundColorMsg{Color: color.White}, tea.BackgroundColorMsg{Color: color.Black}
	t.Setenv("COLORFGBG", "0;15")
	s := newScreen(t, 80, 24, func(_ *fakeDoor, o *Options) { o.Theme = "" })
	s.palettes.until = s.at.Add(backgroundWait)
	if s.Update(black); s.pens.theme.Name != "dark" {
		t.Error("a dark terminal has a light theme")
	}
	s.at = s.at.Add(backgroundWait + 1)
	if s.Update(white); s.pens.theme.Name != "dark" {
		t.Error("an answer that came late has changed the theme")
	}
	s = newScreen(t, 80, 24)
	if s.Update(white); s.pens.theme.Name != "dark" {
		t.Error("a theme that was asked for is not kept")
	}
}

// edited is a screen on a folder with the theme "mine", and what writes it anew.
func edited(t *testing.T) (*screen, func(from, to string)) {
	dir := t.TempDir()
	whole, err := os.ReadFile("../themes/nord.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write := func(from, to string) {
		data := strings.Replace(strings.Replace(string(whole), "name: nord", "name: mine", 1), from, to, 1)
		if err := os.WriteFile(filepath.Join(dir, "mine.yaml"), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("", "")
	return newScreen(t, 80, 24, func(_ *fakeDoor, o *Options) { o.Theme, o.Themes = "mine", dir }), write
}

// reread is what the watch does after its wait.
func (s *screen) reread() { s.takeFiles(readFiles(s.palettes.dir, s.own.file, s.filesSeen)) }

// An edit of the operator's theme is on the screen; a broken file is refused with its
// file, line and reason, and the theme before goes on.
func TestOwnThemeIsReadAgain(t *testing.T) {
	s, write := edited(t)
	before := s.View().Content
	write(`text: "#d8dee9"`, `text: "#fefefe"`)
	s.reread()
	if s.View().Content == before || s.pens.theme.Colors.Text.String() != "#fefefe" {
		t.Error("an edit changes nothing")
	}
	write(`text: "#d8dee9"`, `text: "purple"`)
	s.reread()
	s.shows("theme not taken: mine.yaml:8: text: ", "is not a colour")
	if s.pens.theme.Colors.Text.String() != "#fefefe" {
		t.Error("a broken file has taken the theme away")
	}
	write("", "")
	s.reread()
	if s.pens.theme.Colors.Text.String() != "#d8dee9" {
		t.Error("a mended file is not taken")
	}
	for range len(s.palettes.all()) {
		s.keys("t")
	}
	if s.palettes.name != "mine" {
		t.Errorf("t goes around to %s", s.palettes.name)
	}
}

// A running screen sees an edit within a second.
func TestOwnThemeIsSeenWithinASecond(t *testing.T) {
	s, write := edited(t)
	watch := s.watchFiles()
	write(`text: "#d8dee9"`, `text: "#abcdef"`)
	start := time.Now()
	msg, ok := watch().(filesMsg)
	if !ok || !msg.changed {
		t.Fatalf("the watch says %+v", msg)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

// No payload in a theme file reaches the terminal.
func TestOwnThemeIsCleaned(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile("../themes/nord.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i, payload := range payloads {
		for _, from := range []string{"name: nord", "text: ", "doc: "} {
			key, _, _ := strings.Cut(from, ":")
			data := strings.Replace(string(whole), from, key+": "+yamlString(payload)+" #", 1)
			if err := os.WriteFile(filepath.Join(dir, "x.yaml"), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			s := newScreen(t, 120, 40, func(_ *fakeDoor, o *Options) { o.Themes = dir })
			checkClean(t, s, i)
			for range len(s.palettes.all()) {
				s.keys("t")
				checkClean(t, s, i)
			}
		}
	}
}
