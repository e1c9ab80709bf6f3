package tui

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"github.com/bizra/bizra-top/node/control"
)

// brokenDoor panics in the goroutine of a command.
type brokenDoor struct{ Door }

func (brokenDoor) Look(context.Context, uint64) (control.Look, error) {
	panic("a look\x1b]0;evil\a is broken")
}

// A defect anywhere in the screen restores the terminal, is told in one line, and is
// written down.
func TestADefectRestoresTheTerminalAndIsWrittenDown(t *testing.T) {
	for name, of := range map[string]struct {
		ready func(*model)
		keys  string
	}{
		"a key": {func(m *model) {
			m.keys = append(m.keys, command{bind: key.NewBinding(key.WithKeys("¤")), run: func(*model) tea.Cmd { panic("broken") }})
		}, "¤"},
		"drawing": {func(m *model) {
			m.keys = append(m.keys, command{bind: key.NewBinding(key.WithKeys("¤")), run: func(m *model) tea.Cmd { m.pens = nil; return nil }})
		}, "¤"},
		"a call": {func(m *model) { m.door = brokenDoor{m.door} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir() + "/made"
			in, w := io.Pipe()
			defer w.Close()
			out := &tape{}
			ended := startModel(t, Options{Theme: "dark", Input: in, Output: out, CrashDir: dir, Version: "v1.2.3"}, of.ready)
			if of.keys != "" {
				if !out.has("\x1b[?1049h") {
					t.Fatal("no screen")
				}
				io.WriteString(w, of.keys)
			}
			var err error
			select {
			case err = <-ended:
			case <-time.After(5 * time.Second):
				t.Fatal("it goes on")
			}
			path := regexp.MustCompile(`with (\S+\.txt): https://`).FindStringSubmatch(err.Error())
			if path == nil || !strings.HasPrefix(path[1], dir) || strings.ContainsAny(err.Error(), "\x1b\a\n") {
				t.Fatalf("%q", err)
			}
			report, err := os.ReadFile(path[1])
			if err != nil || !strings.Contains(string(report), "v1.2.3") || !strings.Contains(string(report), "goroutine ") || !strings.Contains(string(report), "size: 100x30") {
				t.Errorf("%s %v", report, err)
			}
			raw := out.String()
			if strings.LastIndex(raw, "\x1b[?1049l") < strings.LastIndex(raw, "\x1b[?1049h") || strings.LastIndex(raw, "\x1b[?25h") < strings.LastIndex(raw, "\x1b[?25l") {
				t.Errorf("the terminal is not restored: %q", raw[max(0, len(raw)-200):])
			}
		})
	}
}
