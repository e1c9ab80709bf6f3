package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// watched is a configuration file and what was made of it.
type watched struct {
	*testing.T
	*configFile
	attempts []string // the error, or the changes
}

func watch(t *testing.T, content string) *watched {
	t.Helper()
	w := &watched{T: t}
	path := filepath.Join(t.TempDir(), "conf.yaml")
	w.configFile = &configFile{path: path, registry: declareAll().registry, log: slog.New(slog.DiscardHandler),
		seen: digest([]byte(content), nil), apply: func(batch []settings.Change, mistake error, why string) error {
			text := why
			for _, c := range batch {
				text += " " + c.Key + "=" + c.Value
			}
			if mistake != nil {
				text += " " + mistake.Error()
			}
			w.attempts = append(w.attempts, text)
			return mistake
		}}
	w.write(content)
	return w
}

func (w *watched) write(content string) {
	w.Helper()
	if err := os.WriteFile(w.path, []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
}

// expect looks three times and compares the attempts since.
func (w *watched) expect(what string, want ...string) {
	w.Helper()
	w.attempts = nil
	for range 3 {
		w.look()
	}
	if len(w.attempts) != len(want) {
		w.Fatalf("%s: %q", what, w.attempts)
	}
	for i, text := range want {
		if !strings.Contains(w.attempts[i], text) {
			w.Errorf("%s: %q, want %q", what, w.attempts[i], text)
		}
	}
}

// One attempt for each new state of the file, however it came about.
func TestAConfigurationIsTakenUpOnceItStandsStill(t *testing.T) {
	w := watch(t, "pool.limit: 8\n")
	w.expect("as it was loaded")
	w.write("pool.limit: 9\n")
	w.expect("written in place", "the file has changed pool.limit=9")
	if err := os.WriteFile(w.path+"~", []byte("pool.limit: 10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.path+"~", w.path); err != nil {
		t.Fatal(err)
	}
	w.expect("renamed over", "pool.limit=10")
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.expect("gone", "read the configuration")
	w.write("pool.limit: many\npool.limitt: 3\n")
	w.expect("mistakes", "conf.yaml:1:1")
	if !strings.Contains(w.attempts[0], "conf.yaml:2:1") {
		t.Errorf("the second mistake is not named: %q", w.attempts)
	}
	w.write("pool: [\n")
	w.expect("half written", "conf.yaml")
	w.write(strings.Repeat("#", maxConfig+1))
	w.expect("too large", "larger than")
	w.write("pool.limit: 10\n")
	w.expect("mended", "pool.limit=10")
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(w.path, 0o600); err != nil {
		t.Fatal(err)
	}
	w.expect("a pipe", "is not a configuration file")
}

// Kubernetes moves a symbolic link to a folder.
func TestAConfigurationBehindALinkIsTakenUp(t *testing.T) {
	w := watch(t, "pool.limit: 8\n")
	dir := filepath.Dir(w.path)
	for name, content := range map[string]string{"one": "pool.limit: 8\n", "two": "pool.limit: 12\n"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "conf.yaml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Remove(w.path), os.Symlink("one", filepath.Join(dir, "..data")),
		os.Symlink(filepath.Join("..data", "conf.yaml"), w.path)); err != nil {
		t.Fatal(err)
	}
	w.expect("the same behind a link")
	if err := errors.Join(os.Symlink("two", filepath.Join(dir, "next")), os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
	w.expect("the link moves on", "pool.limit=12")
}

// A file that is being written is no change: not its empty start, not its half.
func TestAFileThatIsBeingWrittenIsNoChange(t *testing.T) {
	w := watch(t, "pool.limit: 8\napi.max_batch: 5\n")
	for _, part := range []string{"", "pool.limit: 9\n", "pool.limit: 9\napi.max", "pool.limit: 9\napi.max_batch: 6\n"} {
		w.write(part)
		w.look()
	}
	if len(w.attempts) != 0 {
		t.Fatalf("%q", w.attempts)
	}
	w.expect("stands still", "pool.limit=9 api.max_batch=6")
}

// SIGHUP has it read at once, also when nothing has changed; without a file it is said.
func TestSIGHUPAsksForAReload(t *testing.T) {
	w := watch(t, "pool.limit: 8\n")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		demands, ended := make(chan os.Signal), make(chan struct{})
		go func() { w.run(ctx, demands); close(ended) }()
		w.write("pool.limit: 11\n")
		demands <- syscall.SIGHUP
		demands <- syscall.SIGHUP
		time.Sleep(10 * lookEvery)
		stop()
		<-ended
	})
	if want := []string{"SIGHUP pool.limit=11", "SIGHUP pool.limit=11"}; !slices.Equal(w.attempts, want) {
		t.Errorf("%q", w.attempts)
	}
	w.path, w.attempts = "", nil
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		demands, ended := make(chan os.Signal), make(chan struct{})
		go func() { w.run(ctx, demands); close(ended) }()
		demands <- syscall.SIGHUP
		time.Sleep(10 * lookEvery)
		stop()
		<-ended
	})
	if len(w.attempts) != 0 {
		t.Errorf("%q", w.attempts)
	}
}
