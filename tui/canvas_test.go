package tui

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// onTape runs do on a screen of 100x30 that has settled, whose output is on the tape;
// time passes only where do lets it.
func onTape(t *testing.T, do func(m *model, keys io.Writer, out *tape)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		in, keys := io.Pipe()
		out := &tape{}
		o := Options{Theme: "dark", Input: in, Output: out}
		m, err := newModel(ctx, newFakeDoor(), o)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- m.run(ctx, end, o, tea.WithWindowSize(100, 30), tea.WithoutSignalHandler()) }()
		time.Sleep(1500 * time.Millisecond)
		do(m, keys, out)
		end(nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		keys.Close()
		time.Sleep(time.Minute) // ticks under way end
	})
}

// since returns what do had written to the tape.
func (t *tape) since(do func()) string {
	before := len(t.String())
	do()
	return t.String()[before:]
}

// A key is drawn at once, and keys in a hurry no oftener than a terminal shows them.
func TestAKeyIsDrawnAtOnce(t *testing.T) {
	onTape(t, func(_ *model, keys io.Writer, out *tape) {
		for _, key := range []string{"2", "4", "1"} {
			time.Sleep(100 * time.Millisecond)
			if got := out.since(func() { io.WriteString(keys, key); synctest.Wait() }); got == "" {
				t.Errorf("%s: nothing is drawn while no time has passed", key)
			}
		}
		time.Sleep(100 * time.Millisecond)
		io.WriteString(keys, "2")
		synctest.Wait()
		if got := out.since(func() { io.WriteString(keys, "3"); synctest.Wait() }); got != "" {
			t.Errorf("%d bytes are drawn without a gap", len(got))
		}
		if got := out.since(func() { time.Sleep(2 * frameGap) }); !strings.Contains(ansi.Strip(got), "hits") {
			t.Errorf("the last frame is not drawn: %q", got)
		}
	})
}

// What goes back to the shell for a while is a terminal as it was, and what comes back
// from it is drawn whole.
func TestTheTerminalIsGivenBackForAWhile(t *testing.T) {
	onTape(t, func(m *model, keys io.Writer, out *tape) {
		left := out.since(func() { m.canvas.leave() })
		for what, code := range map[string]string{"the main screen": "\x1b[?1049l", "the cursor": "\x1b[?25h", "no focus reports": "\x1b[?1004l", "no marked pastes": "\x1b[?2004l"} {
			if !strings.Contains(left, code) {
				t.Errorf("the shell does not get %s: %q", what, left)
			}
		}
		if got := out.since(func() { io.WriteString(keys, "2"); time.Sleep(5 * time.Second) }); got != "" {
			t.Errorf("drawn on the shell: %q", got)
		}
		back := out.since(func() { m.canvas.enter(); time.Sleep(time.Second) })
		if !strings.Contains(back, "\x1b[?1049h") || !strings.Contains(ansi.Strip(back), "ceiling") {
			t.Errorf("it comes back with %q", back)
		}
	})
}

// A terminal that changes its size is drawn whole, in the frame of that size.
func TestANewSizeIsDrawnWhole(t *testing.T) {
	onTape(t, func(m *model, _ io.Writer, out *tape) {
		got := out.since(func() {
			m.canvas.resize(100, 30) // of the same size: something else has written there
			time.Sleep(time.Second)
		})
		if !strings.Contains(got, "\x1b[2J") || !strings.Contains(ansi.Strip(got), "overview") {
			t.Errorf("%d bytes, %q", len(got), got)
		}
	})
}
