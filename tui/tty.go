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

// watch tells of every change of the size, and has the program stop and go on as the
// shell and others want it, until the function it returns is called. leave gives the
// terminal back before a stop; back takes it over after one, stopped or not.
func (t *tty) watch(tell func(w, h int), leave, back func()) (stop func()) {
	if t.out == nil {
		return func() {}
	}
	signals, ended := make(chan os.Signal, 8), make(chan struct{})
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			case s := <-signals:
				switch s {
				case syscall.SIGTSTP:
					leave()
					stopHere(ended)
					back()
				case syscall.SIGCONT: // after a SIGSTOP, of which nobody is told
					back()
				}
				tell(t.size())
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(ended)
		wg.Wait()
	}
}

// stopHere stops the process and returns when it is continued, or at once where nobody
// could continue it: no shell of this session is the parent of its group.
//
// SIGSTOP, because a Go program that has asked for SIGTSTP once does not stop by it any
// more; the kernel stops by that even who is never continued, so that is asked here.
func stopHere(ended <-chan struct{}) {
	if !continuable() {
		return
	}
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	if syscall.Kill(os.Getpid(), syscall.SIGSTOP) != nil {
		return
	}
	select {
	case <-continued:
	case <-ended:
	}
}

// continuable says whether a shell with job control leads the session: it then has put
// the process into a group of its own.
func continuable() bool {
	session, err := unix.Getsid(0)
	return err == nil && session != syscall.Getpgrp()
}
