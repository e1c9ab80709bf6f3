package tui

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/term"
	"golang.org/x/sys/unix"
)

// tty is the terminal as its driver has it: raw while the screen is on it. Input and
// output that are no terminal are left as they are.
type tty struct {
	in, out term.File // nil where it is no terminal
	cooked  *term.State
}

// openTTY takes the terminal over; in and out are the program's own when they are nil.
func openTTY(in io.Reader, out io.Writer) (*tty, error) {
	if in == nil {
		in = os.Stdin
	}
	t := &tty{}
	if f, ok := in.(term.File); ok && term.IsTerminal(f.Fd()) {
		t.in = f
	}
	if f, ok := out.(term.File); ok && term.IsTerminal(f.Fd()) {
		t.out = f
	}
	return t, t.raw()
}

// raw has keys come as they are pressed.
func (t *tty) raw() error {
	if t.in == nil {
		return nil
	}
	state, err := term.MakeRaw(t.in.Fd())
	if err != nil {
		return fmt.Errorf("set the terminal: %w", err)
	}
	if t.cooked == nil { // what it was before the program, also after a suspension
		t.cooked = state
	}
	return nil
}

// restore makes the terminal what it was.
func (t *tty) restore() {
	if t.cooked != nil {
		_ = term.Restore(t.in.Fd(), t.cooked) // a terminal that is gone needs none
	}
}

// optimise lets a screen move by tabs and backspaces where the driver leaves them alone.
func (t *tty) optimise(s *uv.TerminalRenderer, columns int) {
	if t.cooked == nil {
		return
	}
	if t.cooked.Oflag&unix.TABDLY == unix.TAB0 {
		s.SetTabStops(columns)
	}
	s.SetBackspace(t.cooked.Lflag&unix.BSDLY == unix.BS0)
}

// size returns how many columns and rows there are: those of the first terminals where
// nobody knows, as on a serial line.
func (t *tty) size() (w, h int) {
	if t.out != nil {
		w, h, _ = term.GetSize(t.out.Fd()) // unknown is 0, too
	}
	if w <= 0 || h <= 0 {
		return 80, 24
	}
	return w, h
}

// watch tells of every change of the size until the function it returns is called.
func (t *tty) watch(tell func(w, h int)) (stop func()) {
	if t.out == nil {
		return func() {}
	}
	changed, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-changed:
				tell(t.size())
			}
		}
	})
	return func() {
		signal.Stop(changed)
		close(ended)
		wg.Wait()
	}
}
