//go:build integration && linux

package main

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// written by others into the terminal, as wall does.
const byWall = "\x1b[5;1HBroadcast message from root"

// stranger writes to the terminal behind the program's back.
func (x *terminal) stranger(text string) {
	x.t.Helper()
	f, err := os.OpenFile(filepath.Join("/proc", strconv.Itoa(x.cmd.Process.Pid), "fd", "1"), os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		x.t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		x.t.Fatal(err)
	}
}

// raw says whether the driver of the terminal hands keys over as they are pressed.
func (x *terminal) isRaw() bool {
	x.t.Helper()
	now, err := unix.IoctlGetTermios(int(x.pty.Fd()), unix.TCGETS)
	if err != nil {
		x.t.Fatal(err)
	}
	return now.Lflag&(unix.ICANON|unix.ECHO) == 0
}

// cook sets the driver as a shell does when a program stops.
func (x *terminal) cook() {
	x.t.Helper()
	now, err := unix.IoctlGetTermios(int(x.pty.Fd()), unix.TCGETS)
	if err != nil {
		x.t.Fatal(err)
	}
	now.Lflag |= unix.ICANON | unix.ECHO | unix.ISIG
	now.Iflag |= unix.ICRNL
	now.Oflag |= unix.OPOST
	if err := unix.IoctlSetTermios(int(x.pty.Fd()), unix.TCSETS, now); err != nil {
		x.t.Fatal(err)
	}
}

// becomes waits until a condition holds.
func becomes(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// state is the letter of a process in /proc: T is stopped.
func state(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])[0]
}

// TestTheTerminalIsTakenOverAnew stops and continues screens of one node in every way.
func TestTheTerminalIsTakenOverAnew(t *testing.T) {
	t.Parallel()
	p, _, _ := demo(t)
	for name, does := range map[string]func(*testing.T, string){
		"stopped from outside and continued": stoppedFromOutsideAndContinued,
		"ctrl l repaints everything":         ctrlLRepaintsEverything,
		"a shell stops and continues it":     aShellStopsAndContinuesIt,
		"ctrl z without a shell goes on":     ctrlZWithoutAShellGoesOn,
	} {
		t.Run(name, func(t *testing.T) { does(t, p.socket) })
	}
}

// Stopped from outside and continued, the terminal is raw again and the screen whole:
// the shell had set the driver, and others had written to it.
func stoppedFromOutsideAndContinued(t *testing.T, socket string) {
	x := onTerminal(t, 120, 40, binary(t), "--socket", socket)
	x.see("LIVE")
	for range 2 {
		pid := x.cmd.Process.Pid
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		becomes(t, "it is stopped", func() bool { return state(t, pid) == "T" })
		x.cook()
		x.stranger("\x1b[?1049l\x1b[2J\x1b[H$ " + byWall)
		x.see("Broadcast message")
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		x.see("LIVE")
		x.hides("Broadcast message")
		becomes(t, "the terminal is raw", x.isRaw)
		x.press("8")
		x.see("what happened last")
		x.press("1")
		x.see("Providers and breakers")
	}
}

// ctrl+l draws everything anew over what others have written.
func ctrlLRepaintsEverything(t *testing.T, socket string) {
	x := onTerminal(t, 120, 40, binary(t), "--socket", socket)
	x.see("LIVE")
	for _, dialog := range []string{"", "?repaint"} { // it works while text is typed
		x.press(dialog)
		x.stranger(byWall)
		x.see("Broadcast message")
		x.press("<ctrl-l>")
		x.hides("Broadcast message")
	}
	x.see("repaint everything")
}

// Stopped as a shell does it, the terminal is given back whole and taken over again by
// fg; ctrl+z from the keyboard does the same.
func aShellStopsAndContinuesIt(t *testing.T, socket string) {
	x := onTerminal(t, 120, 40, "sh", "-i")
	x.press("PS1=prompt-; " + binary(t) + " --socket " + socket + "\r")
	x.see("LIVE")
	child := func() int {
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(x.cmd.Process.Pid), "task", strconv.Itoa(x.cmd.Process.Pid), "children"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.Fields(string(data))[0])
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}()
	for _, how := range []string{"signal", "key"} {
		if how == "key" {
			x.press("<ctrl-z>")
		} else if err := syscall.Kill(child, syscall.SIGTSTP); err != nil {
			t.Fatal(err)
		}
		becomes(t, "it is stopped", func() bool { return state(t, child) == "T" })
		x.see("Stopped")
		x.hides("LIVE") // the shell's screen is back
		x.press("echo mar''ker\r")
		x.see("(?m)^marker")
		x.press("fg\r")
		x.see("LIVE")
		x.hides("marker")
		becomes(t, "the terminal is raw", x.isRaw)
		x.press("8")
		x.see("what happened last")
		x.press("1")
	}
}

// Without a shell that could continue it, as a session's leader, ctrl+z does not leave a
// screen that is dead.
func ctrlZWithoutAShellGoesOn(t *testing.T, socket string) {
	x := onTerminal(t, 120, 40, binary(t), "--socket", socket)
	x.see("LIVE")
	x.press("<ctrl-z>")
	time.Sleep(time.Second)
	x.press("8")
	x.see("what happened last")
	becomes(t, "the terminal is raw", x.isRaw)
}
