//go:build integration

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outcome runs the program until it ends by itself, and returns what it says.
func outcome(t *testing.T, environment []string, args ...string) (string, error) {
	t.Helper()
	program := binary(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	if environment != nil {
		c.Env = environment
	}
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%v does not end: %s", args, out)
	}
	return string(out), err
}

// A named pipe in place of a state file kept the start waiting for ever, deaf to SIGTERM.
func TestPipesInPlaceOfStateFilesAreRefused(t *testing.T) {
	for _, name := range []string{"audit.jsonl", "audit.jsonl.1", "overrides.yaml", "ledger.db", "ledger.db-wal", "history", "history/raw/wal/00000000",
		"history/lock", "alerts/silences.json", "alerts/queue.json"} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			path := filepath.Join(state, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), syscall.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
			out, err := outcome(t, nil, "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0")
			if err == nil || !strings.Contains(out, path+" is a named pipe") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// The folder was left as open as it was found, and what libraries make in it was readable
// by all.
func TestNothingInTheStateFolderIsOpenToOthers(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if err := errors.Join(os.MkdirAll(filepath.Join(state, "alerts"), 0o755), os.WriteFile(filepath.Join(state, "alerts", "old"), nil, 0o644), os.Chmod(state, 0o755)); err != nil {
		t.Fatal(err)
	}
	old := syscall.Umask(0) // the worst that a service manager can give
	p := start(t, binary(t), "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0")
	syscall.Umask(old)
	seen := 0
	err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %s", path, info.Mode())
		}
		seen++
		return nil
	})
	if err != nil || seen < 10 {
		t.Errorf("%d files, %v", seen, err)
	}
	p.stop(t)
}

// Without HOME the state was kept in a folder of /tmp that anybody can make first.
func TestWithoutHomeTheStateHasToBeGivenAPlace(t *testing.T) {
	if os.Getuid() == 0 { // whose place is /var/lib
		for variable, want := range map[string]string{"HOME": "", "XDG_STATE_HOME": "relative"} {
			t.Setenv(variable, want)
		}
		if dir, err := userFolder("XDG_STATE_HOME", ".local", "state"); !errors.Is(err, errNoHome) {
			t.Errorf("%q %v", dir, err)
		}
		t.Setenv("HOME", "/home/somebody")
		if dir, err := userFolder("XDG_STATE_HOME", ".local", "state"); err != nil || dir != "/home/somebody/.local/state" {
			t.Errorf("%q %v", dir, err)
		}
		return
	}
	for _, environment := range [][]string{{}, {"HOME="}, {"HOME=here"}, {"XDG_STATE_HOME=here"}} {
		for _, args := range [][]string{{"get", "pool.limit"}, {"--headless"}, {"audit"}} {
			if out, err := outcome(t, environment, args...); err == nil || !strings.Contains(out, "--state-dir") {
				t.Errorf("%v %v: %v %s", environment, args, err, out)
			}
		}
	}
}

// A setting that another version saved stopped the start.
func TestASavedSettingOfAnotherVersionIsIgnoredAndKept(t *testing.T) {
	state := t.TempDir()
	path := overridesPath(state)
	if err := os.WriteFile(path, []byte("future.setting: \"7\"\npool.limit: \"5\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := outcome(t, nil, "config", "check", path)
	if err != nil || !strings.Contains(out, path+":1: future.setting is unknown to this version") {
		t.Errorf("%v: %s", err, out)
	}
	p := start(t, binary(t), "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0")
	if !strings.Contains(p.output.String(), "future.setting is unknown to this version") {
		t.Errorf("%s", p.output)
	}
	for _, args := range [][]string{{"set", "cache.ttl.block", "2h", "--reason", "test"}, {"save"}} {
		if out, err := outcome(t, nil, append(args, "--state-dir", state)...); err != nil {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
	p.stop(t)
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), "future.setting: \"7\"") || !strings.Contains(string(data), "cache.ttl.block") {
		t.Errorf("%s %v", data, err)
	}
}

// The state folder is removed while verdicts are answered: what was acknowledged is there
// after a restart, health says what happened, and the control socket answers.
func TestARemovedStateFolderIsMadeAnew(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	p := start(t, binary(t), "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0")
	eventuallyTrue(t, "there are verdicts", func() bool {
		_, text := fetch(t, p.url+"/v1/validations?limit=5")
		return strings.Contains(text, `"id"`)
	})
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventuallyTrue(t, "health says so", func() bool {
		status, text := fetch(t, p.url+"/health/history")
		return status == 503 && strings.Contains(text, "was removed or replaced while the node runs")
	})
	t.Logf("known after %s", time.Since(began).Round(time.Millisecond))
	eventuallyTrue(t, "the control socket answers", func() bool {
		_, err := outcome(t, nil, "get", "pool.limit", "--socket", p.socket)
		return err == nil
	})
	_, text := fetch(t, p.url+"/v1/validations?limit=1000")
	acknowledged := ids(text)
	p.stop(t)
	p = start(t, binary(t), "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0")
	_, text = fetch(t, p.url+"/v1/validations?limit=1000")
	there := map[string]bool{}
	for _, id := range ids(text) {
		there[id] = true
	}
	if len(acknowledged) == 0 {
		t.Error("no verdicts")
	}
	lost := 0
	for _, id := range acknowledged {
		if !there[id] && len(there) < 1000 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d verdicts are lost", lost, len(acknowledged))
	}
	p.stop(t)
}

// ids are those of the verdicts in an answer.
func ids(text string) (all []string) {
	for _, part := range strings.Split(text, `"id":"`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		all = append(all, id)
	}
	return all
}

func eventuallyTrue(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}
