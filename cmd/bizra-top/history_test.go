//go:build integration

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// TestDiskFullStopsSamplingAlone fills the disk that holds the history: an alert
// fires, the node serves on and its log stays short; with room again, sampling
// goes on.
func TestDiskFullStopsSamplingAlone(t *testing.T) {
	state := t.TempDir()
	history := filepath.Join(state, "history")
	if err := os.Mkdir(history, 0o700); err != nil {
		t.Fatal(err)
	}
	// A small disk of its own, seen by this process alone.
	p := start(t, "unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"`, history,
		binary(t), "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0", "--history.min_free", "0")
	client := control.NewClient(p.socket)
	defer client.Close()
	sampled := func() bool {
		look, err := client.Look(t.Context(), 0)
		return err == nil && len(look.Panels["goroutines"]) == 1
	}
	eventually(t, time.Minute, "samples are taken", sampled)
	fill := filepath.Join("/proc", fmt.Sprint(p.Process.Pid), "root", history, "fill")
	fillDisk(t, fill)

	sampling := func() string {
		alerts, err := client.Alerts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(alerts, func(a control.Alert) bool { return a.Name == "SamplingStopped" })
		return alerts[i].State
	}
	eventually(t, 2*time.Minute, "the alert fires", func() bool { return sampling() == "firing" })
	if sampled() {
		t.Error("panels show values of which there are no samples")
	}
	if !strings.Contains(p.output.String(), "no space left on device") {
		t.Errorf("the log does not say why:\n%s", p.output)
	}
	for _, path := range []string{"/health/live", "/health/ready", "/v1/blocks/1"} {
		if status, body := fetch(t, p.url+path); status != 200 {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	// What else goes on is none of this test's matter.
	if lines := strings.Count(p.output.String(), history) + strings.Count(p.output.String(), "Rule sample"); lines > 20 {
		t.Errorf("the log has %d lines of it:\n%s", lines, p.output)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "samples are taken again", sampled)
	eventually(t, time.Minute, "the alert is over", func() bool { return sampling() != "firing" })
	p.stop(t)
}

// eventually waits until something is so.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}

// fillDisk writes until there is no room for another byte.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
