//go:build integration

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
)

// systemd is the side of a service manager that is told things.
type systemd struct {
	t    *testing.T
	path string
	mu   sync.Mutex
	said []string
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	m := &systemd{t: t, path: filepath.Join(t.TempDir(), "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for data := make([]byte, 4096); ; {
			n, err := conn.Read(data)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.said = append(m.said, string(data[:n]))
			m.mu.Unlock()
		}
	})
	t.Cleanup(func() { _ = conn.Close(); reading.Wait() })
	return m
}

func (m *systemd) messages() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.said)
}

// await waits until a message holds all of the parts, and returns it.
func (m *systemd) await(parts ...string) string {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		for _, said := range m.messages() {
			if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(said, p) }) {
				return said
			}
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%q is not among %q", parts, m.messages())
		}
	}
}

func awaitEvent(t *testing.T, c *control.Client, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		events, _ := c.Events(t.Context(), 0) // while nobody answers there are none
		if slices.ContainsFunc(events, func(e control.Event) bool { return strings.Contains(e.Text, text) }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no event says %q: %+v", text, events)
		}
	}
}

func awaitOutput(t *testing.T, p *process, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(p.output.String(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not say %q: %s", text, p.output)
		}
	}
}

// The program under a service manager as systemd is one: the sockets are open before
// it is, it says when it serves, lives, reloads, hands over and stops.
func TestUnderAServiceManager(t *testing.T) {
	chain, err := devchain.Start(context.Background(), devchain.Config{Seed: 6, Prefill: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	m, dir := newSystemd(t), t.TempDir()
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door, err := net.Listen("unix", filepath.Join(dir, "given.sock"))
	if err != nil {
		t.Fatal(err)
	}
	apiFile, err1 := api.(*net.TCPListener).File()
	doorFile, err2 := door.(*net.UnixListener).File()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	conf, log := filepath.Join(dir, "conf.yaml"), filepath.Join(dir, "stderr")
	replace(t, conf, "api.max_batch: 50\n", 0o600)
	output, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	// The shell knows its process's number, which the program has in its turn.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$0" "$@"`, binary(t), "--headless", "--config", conf,
		"--state-dir", filepath.Join(dir, "state"), "--upstream.providers", "p="+chain.URLs()[0], "--listen", "192.0.2.1:1", "--socket", filepath.Join(dir, "unused.sock"))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=1000000", "LISTEN_FDS=2", "LISTEN_FDNAMES=api:control")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{apiFile, doorFile}, output
	if err := diesWithTests(cmd).Start(); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, log: log, first: cmd, ended: make(chan error, 1), url: "http://" + api.Addr().String(), Client: control.NewClient(door.Addr().String())}
	go func() { s.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		for _, pid := range []int{cmd.Process.Pid, s.pid()} {
			if pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if t.Failed() {
			t.Log(s.said())
		}
	})
	// A request that comes before anyone accepts is answered.
	if status, body := fetch(t, s.url+"/health/live"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	m.await("READY=1", "STATUS=serving chain "+strconv.FormatUint(chain.Chain.ChainID(), 10))
	m.await("WATCHDOG=1")

	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	reloading := m.await("RELOADING=1", "MONOTONIC_USEC=")
	_, usec, _ := strings.Cut(reloading, "MONOTONIC_USEC=")
	if n, err := strconv.ParseUint(strings.TrimSpace(usec), 10, 64); err != nil || n == 0 {
		t.Errorf("%q", reloading)
	}
	awaitEvent(t, s.Client, "reloaded (SIGHUP): nothing has changed")
	if after := m.messages()[slices.Index(m.messages(), reloading)+1:]; !slices.Contains(after, "READY=1") {
		for deadline := time.Now().Add(10 * time.Second); !slices.Contains(m.messages()[slices.Index(m.messages(), reloading)+1:], "READY=1"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not ready again: %q", m.messages())
			}
		}
	}

	s.handOver()
	pid := s.pid()
	m.await(fmt.Sprintf("MAINPID=%d", pid))
	beats := func() (n int) {
		for _, said := range m.messages() {
			if said == "WATCHDOG=1" {
				n++
			}
		}
		return n
	}
	before := beats()
	for deadline := time.Now().Add(20 * time.Second); beats() < before+3; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new process does not feed the watchdog")
		}
	}
	// A process that hangs is not said to live.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	before = beats()
	time.Sleep(1200 * time.Millisecond)
	if now := beats(); now != before {
		t.Errorf("%d beats of a process that is stopped", now-before)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.gone(pid)
	m.await("STOPPING=1")
	if _, err := os.Stat(door.Addr().String()); err != nil {
		t.Errorf("the service manager's socket was removed: %v", err)
	}
	if strings.Contains(s.said(), "DATA RACE") {
		t.Error("data race")
	}
}
