//go:build integration

package main

import (
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// attached starts a demo node without a screen and a screen on it.
func attached(t *testing.T, w, h int, flags ...string) (*process, *terminal) {
	t.Helper()
	p, _, _ := demoOf(t, asReleased(t))
	x := onTerminal(t, w, h, binary(t), append([]string{"--socket", p.socket}, flags...)...)
	x.see(`LIVE`)
	return p, x
}

// ready says how long the node takes to answer.
func ready(t *testing.T, url string) time.Duration {
	t.Helper()
	began := time.Now()
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(url + "/health/live")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	_ = resp.Body.Close() // it was all headers
	return time.Since(began)
}

// A terminal that takes nothing stops its own screen, and nothing else: the node
// answers, another screen is live, and the first one goes on where time is now.
func TestAStalledTerminalStopsNothingElse(t *testing.T) {
	t.Parallel()
	p, x := attached(t, 120, 40)
	other := onTerminal(t, 80, 24, binary(t), "--socket", p.socket)
	other.see(`LIVE`)
	x.stall()
	time.Sleep(5 * time.Second) // the terminal's buffer is full by then
	if took := ready(t, p.url); took > 2*time.Second {
		t.Errorf("the node took %s to answer", took)
	}
	other.press("2")
	other.see(`(?m)^in use .* of `)
	x.resume()
	x.press("8")
	x.see(`LIVE`)
	x.press("q")
	x.end(10 * time.Second)
}

// SIGTERM ends a node and its screen though the terminal takes nothing, and the
// session that drops takes the screen with it, and no node.
func TestAStalledTerminalHoldsNoProgram(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	x := onTerminal(t, 200, 50, binary(t), "demo", "--state-dir", state, "--socket", filepath.Join(state, "c.sock"), "--listen", "127.0.0.1:0")
	x.see(`LIVE`)
	x.stall()
	time.Sleep(8 * time.Second)
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	x.end(20 * time.Second)
}

func TestADroppedSessionEndsTheScreenAlone(t *testing.T) {
	t.Parallel()
	// Tests that run under nohup would hand its wish on: the screen would stay.
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	p, x := attached(t, 120, 40)
	x.hangUp()
	x.end(10 * time.Second)
	ready(t, p.url)
}

// A storm of resizes leaves a whole screen of the last size.
func TestAResizeStormLeavesAWholeScreen(t *testing.T) {
	t.Parallel()
	_, x := attached(t, 120, 40)
	for i := range 300 {
		x.resize(1+(i*37)%300, 1+(i*13)%80)
		if i%10 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	x.resize(100, 30)
	time.Sleep(time.Second)
	x.see(`LIVE`)
	x.see(`q quit`) // once the screen has said, where it had to, that the terminal is slow
	lines := strings.Split(strings.TrimRight(x.text(), "\n"), "\n")
	if len(lines) != 30 || !strings.HasPrefix(strings.TrimSpace(lines[0]), "bizra-top") || !strings.Contains(lines[29], "quit") {
		t.Errorf("%d lines:\n%s", len(lines), x.text())
	}
	x.press("q")
	x.end(10 * time.Second)
}

// The screen outlives its node: it says so, keeps the last data with its age, and is
// live again when a node answers there again.
func TestTheScreenOutlivesItsNode(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	socket := filepath.Join(state, "c.sock")
	flags := []string{"demo", "--headless", "--state-dir", state, "--socket", socket, "--listen", "127.0.0.1:0"}
	p := start(t, asReleased(t), flags...)
	x := onTerminal(t, 120, 40, binary(t), "--socket", socket)
	x.see(`LIVE`)
	x.see(`requests +\d`)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	x.see(`LOST, data \d+s old`)
	x.see(`requests +\d`)
	start(t, asReleased(t), flags...)
	x.see(`LIVE`)
	x.press("q")
	x.end(10 * time.Second)
	if raw := x.written(); !strings.Contains(raw[max(0, len(raw)-400):], "\x1b[?1049l") {
		t.Error("the terminal is not restored")
	}
}
