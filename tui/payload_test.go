package tui

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/printable/printabletest"
)

var payloads = printabletest.Payloads

// checkClean fails if anything that a payload needs is drawn.
func checkClean(t *testing.T, s *screen, what any) {
	t.Helper()
	for _, l := range s.draw() {
		if r := printabletest.Unsafe(l.String()); r != 0 {
			t.Fatalf("%v: the screen shows %q in %q", what, r, l.String())
		}
	}
}

// yamlString writes a text as YAML reads it back.
func yamlString(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// The operator's files may have any name, and anything may be wrong in them: neither
// brings an escape code to the terminal.
func TestFileNamesAndTheirErrorsAreCleaned(t *testing.T) {
	whole, err := os.ReadFile("../themes/nord.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const good = "views:\n  - name: mine\n    panels: [{title: T, expr: waves, unit: ratio}]\n"
	for i, payload := range payloads {
		name := strings.NewReplacer("/", "-", "\x00", "0").Replace(payload)
		broken := map[string]string{
			"no YAML":     "{" + payload + ": [",
			"a value":     "name: " + yamlString(payload) + "\ntext: " + yamlString(payload) + "\n",
			"a key":       yamlString(payload) + ": 1\n",
			"a duplicate": yamlString(payload) + ": 1\n" + yamlString(payload) + ": 2\n",
			"an anchor":   "a: &x\nb: *" + yamlString(payload) + "\n",
			"a shape":     strings.Replace(good, "ratio}", "ratio, shape: "+yamlString(payload)+"}", 1),
			"a unit":      strings.Replace(good, "ratio", yamlString(payload), 1),
			"PromQL":      strings.Replace(good, "waves", yamlString("sum("+payload), 1),
		}
		for what, text := range broken {
			dir := t.TempDir()
			panels := filepath.Join(dir, name+".panels.yaml")
			write := func(path, text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			themes := filepath.Join(dir, "themes "+name)
			if err := os.Mkdir(themes, 0o700); err != nil {
				t.Fatal(err)
			}
			write(filepath.Join(themes, name+".yaml"), string(whole))
			write(panels, good)
			s := newScreen(t, 120, 40, func(_ *fakeDoor, o *Options) { o.Themes, o.Panels = themes, panels })
			check := func(when string) {
				t.Helper()
				checkClean(t, s, []any{i, what, when})
				if title := s.View().WindowTitle; printabletest.Unsafe(title) != 0 {
					t.Fatalf("%d, %s, %s: the title of the window is %q", i, what, when, title)
				}
			}
			check("at first")
			write(filepath.Join(themes, name+".yaml"), text)
			s.reread()
			check("a broken theme")
			if len(s.status) == 0 {
				t.Fatalf("%d, %s: nothing is said of a broken theme", i, what)
			}
			s.status = nil
			write(panels, text)
			s.reread()
			check("broken panels")
			if len(s.status) == 0 {
				t.Fatalf("%d, %s: nothing is said of broken panels", i, what)
			}
			// The names are in what comes after the start as well.
			m, err := newModel(t.Context(), s.door, Options{Themes: themes, Panels: panels, Theme: name})
			if err != nil && printabletest.Unsafe(err.Error()) != 0 {
				t.Fatalf("%d, %s: %q", i, what, err)
			} else if err == nil {
				s.model.status = m.status
				check("at the start")
			}
		}
	}
}
