//go:build integration

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	makeBuilt = sync.OnceValue(func() (err error) {
		built, err = os.MkdirTemp("", "bizra-top")
		return err
	})
	buildRaced    = sync.OnceValue(func() error { return build("bizra-top", "1", "-race") })
	buildReleased = sync.OnceValue(func() error {
		return build("bizra-top-released", "0", "-race=false", "-trimpath", "-ldflags=-s -w")
	})
)

func build(name, cgo string, flags ...string) error {
	if err := makeBuilt(); err != nil {
		return err
	}
	c := exec.Command("go", slices.Concat([]string{"build", "-o", filepath.Join(built, name)}, flags, []string{"."})...)
	c.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// binary builds the program with the race detector, once a run.
func binary(t *testing.T) string {
	t.Helper()
	if err := buildRaced(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(built, "bizra-top")
}

// asReleased builds the program as it is released, once a run, without the race
// detector, which takes ten times as long: what a load meets is then the node, not
// the machine.
func asReleased(t *testing.T) string {
	t.Helper()
	if err := buildReleased(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(built, "bizra-top-released")
}

type process struct {
	*exec.Cmd
	url, socket string
	output      *transcript
	ended       chan error
}

// transcript keeps what a program says and tells when it has announced itself.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	told bool
	up   chan []string
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	if m := announced.FindStringSubmatch(t.text.String()); m != nil && !t.told {
		t.told = true
		t.up <- m
	}
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

var announced = regexp.MustCompile(`API on (http://\S+), control socket (\S+)`)

// start runs the program headless and waits until it answers.
func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: diesWithTests(exec.Command(program, args...)), output: &transcript{up: make(chan []string, 1)}, ended: make(chan error, 1)}
	p.Stderr = p.output
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	select {
	case m := <-p.output.up:
		p.url, p.socket = m[1], m[2]
	case err := <-p.ended:
		t.Fatalf("the program ended: %v\n%s", err, p.output)
	case <-time.After(time.Minute):
		t.Fatalf("the program did not start\n%s", p.output)
	}
	return p
}

// stop ends the program as a service manager does and expects it to go in peace.
func (p *process) stop(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			t.Fatalf("exit after SIGTERM: %v\n%s", err, p.output)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not end after SIGTERM\n%s", p.output)
	}
	if strings.Contains(p.output.String(), "DATA RACE") {
		t.Fatalf("%s", p.output)
	}
	return time.Since(began)
}
