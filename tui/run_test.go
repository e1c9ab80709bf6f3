package tui

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/vt"
)

// tape is what a program wrote to its terminal.
type tape struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

func (t *tape) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// has waits until part was written.
func (t *tape) has(part string) bool {
	for range 200 {
		if strings.Contains(t.String(), part) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// start runs the real program on a made-up terminal of 100x30.
func start(t *testing.T, o Options) (out *tape, keys io.Writer, ended chan error) {
	t.Helper()
	in, w := io.Pipe()
	out = &tape{}
	o.Input, o.Output = in, out
	ended = startModel(t, o, func(*model) {})
	t.Cleanup(func() { w.Close() })
	return out, w, ended
}

// startModel runs the real program on what o names, with a model that is made ready.
func startModel(t *testing.T, o Options, ready func(*model)) chan error {
	t.Helper()
	ctx, end := context.WithCancelCause(t.Context())
	door, begun := newFakeDoor(), time.Now()
	door.now = func() time.Time { return fakeStart.Add(10 * time.Since(begun)) }
	m, err := newModel(ctx, door, o)
	if err != nil {
		t.Fatal(err)
	}
	ready(m)
	ended := make(chan error, 1)
	go func() { ended <- m.run(ctx, end, o, tea.WithWindowSize(100, 30)) }()
	t.Cleanup(func() { end(nil) })
	return ended
}

// emulated returns the terminal after raw was written to it.
func emulated(raw string) *vt.Emulator {
	screen := vt.NewEmulator(100, 30)
	var answers sync.WaitGroup // to queries: someone must take them
	answers.Go(func() { io.Copy(io.Discard, screen) })
	// There is no terminal driver here to return the carriage.
	io.WriteString(screen, strings.ReplaceAll(raw, "\n", "\r\n"))
	// To close the screen itself would race with its reader.
	screen.InputPipe().(io.Closer).Close()
	answers.Wait()
	return screen
}

// Over SSH, where bubbletea would not ask for it, output is synchronised when
// the terminal can.
func TestSynchronisedOutputOverSSH(t *testing.T) {
	t.Setenv("SSH_TTY", "/dev/pts/9")
	t.Setenv("TERM", "xterm-256color")
	out, keys, ended := start(t, Options{Theme: "dark", Refresh: 100 * time.Millisecond})
	if !out.has("\x1b[?2026$p") {
		t.Fatal("the terminal was not asked for mode 2026")
	}
	io.WriteString(keys, "\x1b[?2026;2$y")
	if !out.has("\x1b[?1004h") {
		t.Error("the terminal is not asked to tell of its focus")
	}
	if !out.has("\x1b[?2026h") || !out.has("\x1b[?2026l") {
		t.Error("output is not synchronised though the terminal can")
	}
	io.WriteString(keys, "q")
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("q does not end the program")
	}
	if !strings.Contains(out.String(), "\x1b[?1049l") {
		t.Error("the terminal is not given back")
	}
}

func TestSynchronisedOutputCanBeOff(t *testing.T) {
	t.Setenv("SSH_TTY", "/dev/pts/9")
	t.Setenv("TERM", "xterm-256color")
	out, _, _ := start(t, Options{Theme: "dark", NoSync: true})
	if !out.has("Latency") && !out.has("Providers") {
		t.Fatal("nothing was drawn")
	}
	if strings.Contains(out.String(), "2026") {
		t.Error("mode 2026 is asked for though it is off")
	}
}

// What reaches the terminal without colours has none, and makes the same screen.
func TestTheTerminalShowsTheScreen(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	out, _, _ := start(t, Options{NoColor: true})
	if !out.has("upstream/beta refuses calls") {
		t.Fatal("nothing was drawn")
	}
	time.Sleep(100 * time.Millisecond)
	raw := out.String()
	for _, bad := range []string{"38;", "48;", "\x1b[31m", "\x1b[32m"} {
		if strings.Contains(raw, bad) {
			t.Errorf("a colour reached the terminal: %q", bad)
		}
	}
	screen := emulated(raw)
	text := screen.String()
	for _, part := range []string{"bizra-top", "▲ firing", "○ open", "● closed", "Traffic", "[RO]"} {
		if !strings.Contains(text, part) {
			t.Errorf("the terminal does not show %q:\n%s", part, text)
		}
	}
}

// A theme that was chosen covers every cell, so that a light one can be read on
// a dark terminal; the automatic one leaves the terminal's ground.
func TestAChosenThemeCoversTheTerminal(t *testing.T) {
	for name, want := range map[string]bool{"light": true, "": false} {
		t.Setenv("TERM", "xterm-256color")
		t.Setenv("COLORTERM", "truecolor")
		t.Setenv("TTY_FORCE", "1")
		out, _, _ := start(t, Options{Theme: name})
		if !out.has("upstream/beta refuses calls") {
			t.Fatal("nothing was drawn")
		}
		time.Sleep(100 * time.Millisecond)
		screen := emulated(out.String())
		covered := 0
		for y := range 30 {
			for x := range 100 {
				if c := screen.CellAt(x, y); c != nil && c.Style.Bg != nil {
					covered++
				}
			}
		}
		if want && covered != 3000 || !want && covered > 300 {
			t.Errorf("theme %q gives %d of 3000 cells a ground", name, covered)
		}
	}
}
