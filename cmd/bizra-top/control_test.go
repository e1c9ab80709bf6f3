//go:build integration

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control"
)

// demo starts a demo node and returns it with a client of its door.
func demo(t *testing.T, flags ...string) (*process, *control.Client, string) {
	t.Helper()
	return demoOf(t, binary(t), flags...)
}

func demoOf(t *testing.T, program string, flags ...string) (*process, *control.Client, string) {
	t.Helper()
	state := t.TempDir()
	p := start(t, program, append([]string{"demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0"}, flags...)...)
	client := control.NewClient(p.socket)
	t.Cleanup(client.Close)
	return p, client, state
}

// TestLiveChangesFailNoRequest changes settings as fast as they can be while
// requests come at a steady pace: none fails, and each change is in the trail. 200
// changes under 300 requests a second; with BIZRA_TEST_LONG 1,000 under 1,000.
func TestLiveChangesFailNoRequest(t *testing.T) {
	changes, rate := 200, 300
	if os.Getenv("BIZRA_TEST_LONG") != "" {
		changes, rate = 1000, 1000
	}
	p, client, state := demoOf(t, asReleased(t))
	var sent, failed atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	due := make(chan int, 10_000)
	wg.Go(func() { // arrivals, whatever the answers do
		defer close(due)
		began := time.Now()
		for n := 0; ; n++ {
			time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate))))
			select {
			case <-done:
				return
			case due <- n:
			}
		}
	})
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}
	for range 64 {
		wg.Go(func() {
			for n := range due {
				sent.Add(1)
				resp, err := web.Get(fmt.Sprintf("%s/v1/blocks/%d", p.url, 1+n%40))
				var body []byte
				if err == nil {
					body, err = io.ReadAll(resp.Body)
					err = errors.Join(err, resp.Body.Close())
				}
				if err != nil || resp.StatusCode != http.StatusOK {
					if failed.Add(1) < 5 {
						t.Errorf("request %d: %s %v", n, body, err)
					}
				}
			}
		})
	}
	values := [][]string{
		{"pool.limit", "4", "9", "12"}, {"cache.l1.max_bytes", "16MiB", "64MiB", "48MiB"}, {"cache.ttl.block", "1h", "1d"},
		{"breaker.upstream.failure_ratio", "0.5", "0.6"}, {"upstream.retry_budget", "0.2", "0.3"}, {"alerts.pool_saturation.threshold", "0.8", "0.9"},
		{"history.sample_every", "1s", "2s"}, {"cache.stale_for", "1h", "2h"},
	}
	began := time.Now()
	made := 0
	for i := 0; made < changes; i++ {
		of := values[i%len(values)]
		req := control.ChangeRequest{Changes: []control.Change{{Key: of[0], Value: of[1+i/len(values)%(len(of)-1)]}}}
		if _, err := client.Change(t.Context(), req); err != nil {
			t.Fatalf("change %d, %v: %v", i, req.Changes, err)
		}
		made++
	}
	took := time.Since(began)
	close(done)
	wg.Wait()
	entries, err := audit.Read(auditPath(state), 0, func(e audit.Entry) bool { return e.Verb == "change" && e.Outcome == "done" })
	if err != nil || len(entries) != changes {
		t.Errorf("%d of %d changes are in the trail (%v)", len(entries), changes, err)
	}
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), sent.Load())
	}
	t.Logf("%d changes in %s under %d requests (%.0f/s), %d failed", made, took.Round(time.Millisecond), sent.Load(),
		float64(sent.Load())/took.Seconds(), failed.Load())
}

// TestUnconfirmedChangesGoBackWithoutTheirTerminal makes changes from shells that
// are killed at once, and looks when they go back. 20 times; with BIZRA_TEST_LONG
// 100 times.
func TestUnconfirmedChangesGoBackWithoutTheirTerminal(t *testing.T) {
	t.Parallel()
	rounds := 1
	if os.Getenv("BIZRA_TEST_LONG") != "" {
		rounds = 5
	}
	const each = 20
	p, client, _ := demo(t)
	all, err := client.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(s control.Setting) bool {
		return !strings.HasSuffix(s.Key, ".threshold") || s.Kind != "ratio" && s.Kind != "int"
	})
	base := map[string]string{}
	for _, s := range all {
		base[s.Key] = s.Value
	}
	// Watches all the time: when a value is not its base any more, and when again.
	var mu sync.Mutex
	due, back := map[string]time.Time{}, map[string]time.Time{}
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
			now, err := client.Settings(t.Context())
			at := time.Now()
			if err != nil {
				continue
			}
			mu.Lock()
			for _, s := range now {
				if _, seen := back[s.Key]; !due[s.Key].IsZero() && !seen && s.Value == base[s.Key] {
					back[s.Key] = at
				}
			}
			mu.Unlock()
		}
	})
	var worst time.Duration
	for range rounds {
		for _, s := range all[:each] {
			value := s.Value + "1" // 0.8 is 0.81, 5 is 51
			shell := exec.Command("sh", "-c", `"$0" set "$1" "$2" --revert-after 4s --socket "$3" && sleep 100`, binary(t), s.Key, value, p.socket)
			shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := shell.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := diesWithTests(shell).Start(); err != nil {
				t.Fatal(err)
			}
			if n, err := out.Read(make([]byte, 500)); n == 0 {
				t.Fatalf("%s was not set: %v", s.Key, err)
			}
			if err := syscall.Kill(-shell.Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = shell.Wait() // it was killed
			look, err := client.Look(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(look.Trials, func(trial control.Trial) bool { return trial.Changes[0].Key == s.Key })
			if i < 0 {
				t.Fatalf("%s is not on trial", s.Key)
			}
			mu.Lock()
			due[s.Key] = look.Trials[i].Deadline
			mu.Unlock()
		}
		eventually(t, 20*time.Second, "all have gone back", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(back) == each
		})
		mu.Lock()
		for key, deadline := range due {
			off := back[key].Sub(deadline)
			// Not before, and without anybody's doing. How soon after is for the model test
			// of trials to say: here a busy machine decides.
			if off < -time.Second {
				t.Errorf("%s went back %s before its deadline", key, -off)
			}
			worst = max(worst, off.Abs())
		}
		clear(due)
		clear(back)
		mu.Unlock()
	}
	close(ended)
	watching.Wait()
	t.Logf("%d changes went back, at most %s off", rounds*each, worst.Round(time.Millisecond))
}

// as runs the program as another user and returns what it says and its exit code.
func as(t *testing.T, program string, uid, gid uint32, args ...string) (string, int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test starts processes of other users: run `make test` as root")
	}
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	cmd.Env = []string{"HOME=/", "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestUsersHaveTheRolesOfTheirGroups asks as users of no group, of the viewers and
// of the operators.
func TestUsersHaveTheRolesOfTheirGroups(t *testing.T) {
	t.Parallel()
	const nobody, games, daemon = 65534, 60, 1 // groups that every host has: nogroup, games, daemon
	open := func(flags ...string) (socket, program string) {
		dir, err := os.MkdirTemp("", "roles")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		for _, d := range []string{dir, built} {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		socket = filepath.Join(dir, "door", "control.sock")
		demo(t, append(flags, "--socket", socket)...)
		return socket, binary(t)
	}
	binary(t)
	socket, program := open("--control.viewer_group", "games", "--control.operator_group", "daemon")
	for _, c := range []struct {
		gid  uint32
		args []string
		code int
		says string
	}{
		{nobody, []string{"get", "pool.limit"}, exitRefused, "control.viewer_group"},
		{games, []string{"get", "pool.limit"}, exitDone, ""},
		{games, []string{"set", "cache.ttl.block", "2h"}, exitRefused, "needs the role operator"},
		{games, []string{"audit"}, exitRefused, "needs the role operator"},
		{daemon, []string{"set", "cache.ttl.block", "2h", "--reason", "test"}, exitDone, "1d -> 2h"},
		{daemon, []string{"set", "pool.limit", "5"}, exitRefused, "needs the role admin"},
		{daemon, []string{"act", "node.drain", "--confirm", "drain"}, exitRefused, "needs the role admin"},
		{daemon, []string{"undo"}, exitDone, "2h -> 1d"},
		{daemon, []string{"save"}, exitRefused, "needs the role admin"},
		{daemon, []string{"set", "cache.ttl.block"}, exitUsage, "pairs"},
		{daemon, []string{"confirm"}, exitRefused, "no change is on trial"},
	} {
		out, code := as(t, program, 54321, c.gid, append(c.args, "--socket", socket)...)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("group %d, %q: exit code %d, %q", c.gid, c.args, code, out)
		}
	}
	// Without groups the kernel lets nobody else in.
	socket, _ = open()
	if out, code := as(t, program, 54321, daemon, "get", "pool.limit", "--socket", socket); code != exitFailed || !strings.Contains(out, "permission denied") || !strings.Contains(out, "control.viewer_group") {
		t.Errorf("a foreign user: exit code %d, %q", code, out)
	}
}

// TestANameFullOfEscapesIsOneCleanLine has a program with such a name make a change.
func TestANameFullOfEscapesIsOneCleanLine(t *testing.T) {
	t.Parallel()
	p, client, state := demo(t)
	program := filepath.Join(t.TempDir(), "a\x1b[2J\n\u202e")
	data, err := os.ReadFile(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "set", "pool.limit", "5", "--reason", "one\ntwo\x1b]0;x\x07", "--socket", p.socket).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	trail, err := os.ReadFile(auditPath(state))
	if err != nil || strings.Count(string(trail), "\n") != 1 || strings.ContainsAny(string(trail), "\x1b\x07\u202e") || !strings.Contains(string(trail), `"command":"a`) {
		t.Errorf("%q (%v)", trail, err)
	}
	events, err := client.Events(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if strings.ContainsAny(e.Text+e.Actor, "\n\x1b\x07") {
			t.Errorf("%+v", e)
		}
	}
}

// TestSavedChangesAreThereAfterARestart changes, saves, restarts and asks why.
func TestSavedChangesAreThereAfterARestart(t *testing.T) {
	t.Parallel()
	program, state := binary(t), t.TempDir()
	run := func(args ...string) string {
		out, err := exec.Command(program, append(args, "--state-dir", state)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
		return string(out)
	}
	serve := func(flags ...string) *process {
		return start(t, program, append([]string{"demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0"}, flags...)...)
	}
	p := serve()
	run("set", "pool.limit", "5", "upstream.retry_budget", "0.3")
	if out := run("save", "--dry-run"); !strings.Contains(out, "pool.limit") || !strings.Contains(out, "not saved") {
		t.Error(out)
	}
	run("save")
	p.stop(t)
	if out := run("audit"); !strings.Contains(out, "save done") { // no node runs
		t.Error(out)
	}
	p = serve("--upstream.retry_budget", "0.4")
	for key, want := range map[string]string{"pool.limit": "* overrides                                5", "upstream.retry_budget": "* flag                                     0.4"} {
		if out := run("explain", key); !strings.Contains(out, want) {
			t.Errorf("%s:\n%s", key, out)
		}
	}
	p.stop(t)
	// A file that someone broke is named, with the way out.
	if err := os.WriteFile(overridesPath(state), []byte("pool.limit: many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "demo", "--headless", "--state-dir", state, "--listen", "127.0.0.1:0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "overrides.yaml:1:1") || !strings.Contains(string(out), "move it away") {
		t.Errorf("%v: %s", err, out)
	}
}
