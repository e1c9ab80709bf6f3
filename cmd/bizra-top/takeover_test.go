//go:build integration

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// replace puts a file in the place of another, as an upgrade or an editor does.
func replace(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Whatever is wrong with the new process, the old one goes on, says so and keeps what
// operators hold; when that is mended, the next handover succeeds.
func TestAFailedHandoverChangesNothing(t *testing.T) {
	dir := t.TempDir()
	program, conf := filepath.Join(dir, "bizra-top"), filepath.Join(dir, "conf.yaml")
	if err := os.Link(binary(t), program); err != nil {
		t.Fatal(err)
	}
	good := "api.max_batch: 77\n"
	replace(t, conf, good, 0o600)
	s := open(t, program, "--config", conf)
	if _, err := s.Change(t.Context(), control.ChangeRequest{Changes: []control.Change{{Key: "api.max_depth", Value: "20"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(t.Context(), control.ChangeRequest{Changes: []control.Change{{Key: "pool.limit", Value: "7"}}, RevertAfter: "1h"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Act(t.Context(), control.ActionRequest{ID: "breaker.force_open", Target: "upstream/p0", Reason: "it lies"}); err != nil {
		t.Fatal(err)
	}
	script := func(text string) func() { return func() { replace(t, program, "#!/bin/sh\n"+text+"\n", 0o700) } }
	real := binary(t)
	pid, failures := s.pid(), 0
	for _, c := range []struct {
		name, says    string
		breaks, mends func()
	}{
		{"no program", "start the new process", func() { replace(t, program, "no program", 0o600) }, script("exec " + real + ` "$@"`)},
		{"a program that ends", "ended before it was ready: exit status 3", script("exit 3"), script("exec " + real + ` "$@"`)},
		{"a broken configuration", "ended before it was ready: exit status 1", func() { replace(t, conf, "api.max_batch: many\n", 0o600) },
			func() { replace(t, conf, good, 0o600) }},
		// It prepares all, and cannot write once the old process has closed everything.
		{"a full disk", "ended before it was serving: exit status 1", script("ulimit -f 0; exec " + real + ` "$@"`), script("exec " + real + ` "$@"`)},
	} {
		before := len(s.said())
		c.breaks()
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		failures++
		goesOn := regexp.MustCompile(`handover failed, this process goes on: [^\n]*`)
		for deadline := time.Now().Add(time.Minute); goesOn.FindString(s.said()[before:]) == ""; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: it does not say that it goes on", c.name)
			}
		}
		if said := goesOn.FindString(s.said()[before:]); !strings.Contains(said, c.says) {
			t.Errorf("%s: %s", c.name, said)
		}
		c.mends()
		if now := s.pid(); now != pid {
			t.Fatalf("%s: process %d answers", c.name, now)
		}
		if status, body := fetch(t, s.url+"/v1/blocks/5"); status != http.StatusOK {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
	if v, err := s.Setting(t.Context(), "api.max_depth"); err != nil || v.Value != "20" {
		t.Errorf("%+v %v", v, err)
	}
	s.handOver()
	look, err := s.Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range look.Breakers {
		if b.Name == "upstream/p0" && (b.State != "forced-open" || !strings.Contains(b.Reason, "it lies")) {
			t.Errorf("what was held by hand: %+v", b)
		}
	}
	for key, want := range map[string]string{"api.max_depth": "20", "api.max_batch": "77", "pool.limit": ""} {
		v, err := s.Setting(t.Context(), key)
		if want == "" {
			want = v.Default // what was on trial has gone back
		}
		if err != nil || v.Value != want {
			t.Errorf("%s: %+v %v", key, v, err)
		}
	}
	entries, err := s.Audit(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]int{}
	for _, e := range entries {
		said[e.Verb+" "+e.Outcome]++
	}
	if said["handover failed"] != failures || said["handover done"] < 1 || said["revert done"] != 1 {
		t.Errorf("%v", said)
	}
	s.stop()
}

// The demo lives in one process: it says that it cannot be handed over.
func TestTheDemoIsNotHandedOver(t *testing.T) {
	p := start(t, binary(t), "demo", "--headless", "--listen", "127.0.0.1:0", "--state-dir", t.TempDir())
	if err := p.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c := control.NewClient(p.socket)
	defer c.Close()
	awaitEvent(t, c, "cannot be handed over")
	awaitOutput(t, p, "nothing to reload")
	p.stop(t)
}
