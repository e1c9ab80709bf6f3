//go:build integration

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// terminal is a program on a pseudo-terminal, and a terminal emulator that draws what
// it writes.
type terminal struct {
	t     *testing.T
	cmd   *exec.Cmd
	pty   *os.File
	ended chan error

	mu      sync.Mutex
	screen  *vt.Emulator
	raw     strings.Builder
	stalled chan struct{} // open while the terminal takes nothing; nil otherwise
	pressed int           // keys so far
}

// onTerminal runs the program on a terminal of w by h cells, in an empty folder.
func onTerminal(t *testing.T, w, h int, program string, args ...string) *terminal {
	t.Helper()
	cmd := diesWithTests(exec.Command(program, args...))
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor", "NO_COLOR=", "XDG_STATE_HOME="+t.TempDir())
	cmd.Dir = t.TempDir()
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(w), Rows: uint16(h)})
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, cmd: cmd, pty: master, ended: make(chan error, 1), screen: vt.NewEmulator(w, h)}
	go func() { x.ended <- cmd.Wait() }()
	var answers sync.WaitGroup // of the terminal to questions
	answers.Go(func() { _, _ = io.Copy(master, x.screen) })
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		buf := make([]byte, 32<<10)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return
			}
			x.mu.Lock()
			stalled := x.stalled
			x.mu.Unlock()
			if stalled != nil {
				<-stalled
			}
			x.mu.Lock()
			x.raw.Write(buf[:n])
			_, _ = x.screen.Write(buf[:n]) // it takes all
			x.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		x.resume()
		_ = master.Close()
		// To close the emulator itself would race with its reader.
		_ = x.screen.InputPipe().(io.Closer).Close()
		<-drawn
		answers.Wait()
	})
	return x
}

// text returns what is on the screen, a line each.
func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.screen.String()
}

// written returns everything that was ever written to the terminal.
func (x *terminal) written() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.raw.String()
}

// press types keys: single characters, or the names in keyCodes between < and >.
func (x *terminal) press(keys string) {
	x.t.Helper()
	for _, key := range regexp.MustCompile(`<[a-z-]+>|.`).FindAllString(keys, -1) {
		code := key
		if named, ok := keyCodes[key]; ok {
			code = named
		}
		if _, err := io.WriteString(x.pty, code); err != nil {
			x.t.Fatalf("press %s: %v", key, err)
		}
		x.pressed++
		time.Sleep(30 * time.Millisecond) // as quick as a hand, so that an escape is no sequence
	}
}

var keyCodes = map[string]string{
	"<enter>": "\r", "<esc>": "\x1b", "<tab>": "\t", "<up>": "\x1b[A", "<down>": "\x1b[B", "<right>": "\x1b[C", "<left>": "\x1b[D",
	"<space>": " ", "<backspace>": "\x7f", "<ctrl-c>": "\x03", "<ctrl-l>": "\x0c", "<ctrl-z>": "\x1a",
}

// see waits until the screen matches an expression, and returns its groups.
func (x *terminal) see(expr string) []string {
	x.t.Helper()
	return x.seeWithin(time.Minute, expr)
}

func (x *terminal) seeWithin(limit time.Duration, expr string) []string {
	x.t.Helper()
	matches := regexp.MustCompile(expr)
	for deadline := time.Now().Add(limit); ; time.Sleep(25 * time.Millisecond) {
		if m := matches.FindStringSubmatch(x.text()); m != nil {
			return m
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("within %s the screen never showed %q:\n%s", limit, expr, x.text())
		}
	}
}

// hides waits until nothing on the screen matches an expression.
func (x *terminal) hides(expr string) {
	x.t.Helper()
	matches := regexp.MustCompile(expr)
	for deadline := time.Now().Add(time.Minute); matches.MatchString(x.text()); time.Sleep(25 * time.Millisecond) {
		if time.Now().After(deadline) {
			x.t.Fatalf("the screen went on to show %q:\n%s", expr, x.text())
		}
	}
}

// stall makes the terminal take nothing until resume.
func (x *terminal) stall() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stalled = make(chan struct{})
}

func (x *terminal) resume() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stalled != nil {
		close(x.stalled)
		x.stalled = nil
	}
}

func (x *terminal) resize(w, h int) {
	x.t.Helper()
	x.mu.Lock()
	x.screen.Resize(w, h)
	x.mu.Unlock()
	if err := pty.Setsize(x.pty, &pty.Winsize{Cols: uint16(w), Rows: uint16(h)}); err != nil {
		x.t.Fatal(err)
	}
}

// hangUp closes the line, as a dropped SSH session does.
func (x *terminal) hangUp() {
	x.t.Helper()
	if err := errors.Join(x.cmd.Process.Signal(syscall.SIGHUP), x.pty.Close()); err != nil {
		x.t.Fatal(err)
	}
}

// end waits until the program has ended and expects it to have done so in peace.
func (x *terminal) end(limit time.Duration) {
	x.t.Helper()
	select {
	case err := <-x.ended:
		if err != nil {
			x.t.Fatalf("it ended: %v\n%s", err, x.written())
		}
	case <-time.After(limit):
		x.t.Fatalf("after %s it has not ended", limit)
	}
}
