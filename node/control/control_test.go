package control_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChangeShowsOldAndNewAndLandsInTheEvents(t *testing.T) {
	r := serve(t)
	dry := change("pool.limit", "1")
	dry.DryRun = true
	result, err := r.Change(t.Context(), dry)
	if err != nil || result.Applied || r.limit.Get() != 8 || len(result.Warnings) != 1 {
		t.Fatalf("%+v %v, limit %d", result, err, r.limit.Get())
	}
	result, err = r.Change(t.Context(), change("pool.limit", "12"))
	if err != nil || !result.Applied || r.limit.Get() != 12 || result.Changes[0] != (control.Changed{Key: "pool.limit", Old: "8", New: "12", Risk: "high"}) {
		t.Fatalf("%+v %v", result, err)
	}
	events, _ := r.Client.Events(t.Context(), 0)
	if len(events) != 1 || events[0].Text != "changed: 8 -> 12 (test)" || events[0].Actor == "" {
		t.Fatalf("%+v", events)
	}
}

func TestUndoTakesBackTheLastChangesInOrder(t *testing.T) {
	r := serve(t)
	for _, v := range []string{"9", "10"} {
		if _, err := r.Change(t.Context(), change("pool.limit", v)); err != nil {
			t.Fatal(err)
		}
	}
	if look, err := r.Look(t.Context(), 0); err != nil || look.Undoable != "pool.limit 10 -> 9" {
		t.Fatalf("%q %v", look.Undoable, err)
	}
	for _, want := range []int{9, 8} {
		if _, err := r.Undo(t.Context()); err != nil || r.limit.Get() != want {
			t.Fatalf("limit %d, want %d: %v", r.limit.Get(), want, err)
		}
	}
	if _, err := r.Undo(t.Context()); err == nil {
		t.Fatal("undid a change that never was")
	}
}

func TestRefusals(t *testing.T) {
	r := serve(t)
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"unknown key", func() error { _, err := r.Change(t.Context(), change("pool.limt", "3")); return err }, "did you mean pool.limit?"},
		{"out of bounds", func() error { _, err := r.Change(t.Context(), change("pool.limit", "65")); return err }, "outside 1 to 64"},
		{"nothing", func() error { _, err := r.Change(t.Context(), control.ChangeRequest{}); return err }, "nothing to change"},
		{"unknown setting", func() error { _, err := r.Setting(t.Context(), "x.y"); return err }, "is not a setting"},
		{"unknown action", func() error { _, err := r.Act(t.Context(), control.ActionRequest{ID: "format.disk"}); return err }, "no action"},
		{"unknown target", func() error {
			_, err := r.Act(t.Context(), control.ActionRequest{ID: "breaker.force_open", Target: "b"})
			return err
		}, `"a"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p *control.Problem
			if err := c.do(); !errors.As(err, &p) || !strings.Contains(p.Text, c.want) || p.Status < 400 {
				t.Fatalf("%v", err)
			}
		})
	}
	if r.limit.Get() != 8 {
		t.Fatal("a refused change took effect")
	}
}

func TestActions(t *testing.T) {
	r := serve(t)
	req := control.ActionRequest{ID: "breaker.force_open", Target: "a", DryRun: true}
	result, err := r.Act(t.Context(), req)
	if err != nil || result != (control.ActionResult{Old: "closed", New: "forced-open"}) || r.forced["a"] != "closed" {
		t.Fatalf("%+v %v", result, err)
	}
	req.DryRun = false
	if result, err = r.Act(t.Context(), req); err != nil || !result.Applied || r.forced["a"] != "forced-open" {
		t.Fatalf("%+v %v", result, err)
	}
}

func TestNumbersThatJSONHasNotSurvive(t *testing.T) {
	r := serve(t)
	look, err := r.Look(t.Context(), 0)
	if err != nil || !math.IsNaN(float64(*look.Panels["p"][0].Value)) {
		t.Fatalf("%+v %v", look.Panels, err)
	}
	series, err := r.History(t.Context(), time.Minute, time.Second)
	if err != nil || !math.IsInf(float64(series["p"][0].Points[0].V), 1) {
		t.Fatalf("%+v %v", series, err)
	}
}

func TestEventsAreOneLineEach(t *testing.T) {
	e := control.NewEvents(nil)
	for range 1500 {
		e.Add(control.Event{Subject: "a\x1b[2J", Text: "two\nlines \x1b]0;t\x07", Actor: "r\u202eoot"})
	}
	list, last := e.Since(0)
	if last != 1500 || len(list) > 1000 || list[len(list)-1].Seq != 1500 {
		t.Fatalf("%d events, last %d", len(list), last)
	}
	if text := list[0].Subject + list[0].Text + list[0].Actor; strings.ContainsAny(text, "\n\x1b\x07\u202e") {
		t.Fatalf("%q", text)
	}
	if newer, _ := e.Since(1498); len(newer) != 2 || newer[0].Seq != 1499 {
		t.Fatalf("%+v", newer)
	}
}

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	r := serve(t)
	info, err := os.Stat(r.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if info, err = os.Stat(filepath.Dir(r.socket)); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatal(info.Mode(), err)
	}
}

func TestListen(t *testing.T) {
	r := serve(t)
	if _, err := control.Listen(r.socket, control.Groups{}); !errors.Is(err, control.ErrRunning) {
		t.Fatalf("a live socket was taken: %v", err)
	}
	stale := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if l, err := control.Listen(stale, control.Groups{}); err != nil {
		t.Fatalf("a stale socket was not replaced: %v", err)
	} else {
		_ = l.Close()
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, "/" + strings.Repeat("x", 120)} {
		if _, err := control.Listen(path, control.Groups{}); err == nil {
			t.Fatalf("%s was taken", path)
		}
	}
	if data, _ := os.ReadFile(file); string(data) != "precious" {
		t.Fatal("the file is gone")
	}
}

func TestRequestsFromWebPagesAndWrongMethodsAreRefused(t *testing.T) {
	r := serve(t)
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", r.socket) }}}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		method, path, origin, body string
		status                     int
	}{
		{"GET", "/v1/node", "", "", 200},
		{"GET", "/v1/node", "http://evil", "", 403},
		{"GET", "/v1/changes", "", "", 200},
		{"GET", "/v1/undo", "", "", 404},
		{"POST", "/v1/changes", "", `{"changes": [`, 400},
		{"POST", "/v1/changes", "", `{"changez": []}`, 400},
		{"POST", "/v1/changes", "", strings.Repeat(" ", 2<<20), 413},
		{"GET", "/v1/panels/history?span=1h&step=1ms", "", "", 400},
		{"GET", "/v1/events?since=x", "", "", 400},
		{"GET", "/metrics", "", "", 200},
		{"GET", "/api/v1/query?query=up", "", "", 418},
	} {
		req, err := http.NewRequest(c.method, "http://node"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.status)
		}
	}
	if r.limit.Get() != 8 {
		t.Fatal("something was changed")
	}
}

// TestGroupsDoNotTakeAFolderFromOthers opens the door to groups in a folder that is
// shared, as /tmp is: it stays as it was.
func TestGroupsDoNotTakeAFolderFromOthers(t *testing.T) {
	for _, c := range []struct{ before, after os.FileMode }{
		{0o777 | os.ModeSticky, 0o777 | os.ModeSticky}, {0o755, 0o755}, {0o700, 0o711}, {0o750, 0o751},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, c.before); err != nil {
			t.Fatal(err)
		}
		groups, err := someGroup(t).Groups()
		if err != nil {
			t.Fatal(err)
		}
		l, err := control.Listen(filepath.Join(dir, "s"), groups)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&^os.ModeDir != c.after {
			t.Errorf("%s became %s, want %s (%v)", c.before, info.Mode(), c.after, err)
		}
	}
}

// someGroup lets the group of this process look.
func someGroup(t *testing.T) control.Access {
	t.Helper()
	g, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	r := settings.NewRegistry()
	a := control.Declare(r)
	if err := r.Load(settings.SourceFile, []settings.Change{{Key: "control.viewer_group", Value: g.Name}}); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAGuardIsOneLine(t *testing.T) {
	r := serve(t)
	c := onTrial("pool.limit", "9", "1h")
	c.Guard = "a\x1b[2Jb"
	_, err := r.Change(t.Context(), c)
	refusal(t, err, 400, "printable")
	c.Guard, c.Reason = "", "why\x1b[2J\n"
	if result, err := r.Change(t.Context(), c); err != nil || strings.ContainsAny(result.Trial.Reason, "\x1b\n") {
		t.Errorf("%+v %v", result, err)
	}
}

// What the door does not know is told apart from what is not there, and an answer that
// has another form is taken as far as it is understood.
func TestOtherVersions(t *testing.T) {
	r := serve(t)
	if list, err := r.HotKeys(t.Context(), 7); err != nil || len(list) != 7 {
		t.Errorf("%d hot keys, %v", len(list), err)
	}
	for _, limit := range []int{0, -1, control.MaxHotKeys + 1} {
		var p *control.Problem
		if _, err := r.HotKeys(t.Context(), limit); !errors.As(err, &p) || p.Status != http.StatusBadRequest {
			t.Errorf("%d hot keys: %v", limit, err)
		}
	}
	if _, err := r.Outcomes(t.Context(), "b"); err == nil || errors.Is(err, control.ErrNotOffered) {
		t.Errorf("a breaker that is not there: %v", err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/look" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"status": 404, "error": "there is nothing here; see GET /v1/elsewhere"}`))
			return
		}
		_, _ = w.Write([]byte(`{"revision": "seven", "role": "operator", "later": {}, "unsaved": 2}`))
	})}
	served := make(chan error, 1)
	go func() { served <- other.Serve(l) }()
	client := control.NewClient(socket)
	t.Cleanup(func() { client.Close(); _ = other.Close(); <-served })
	if _, err := client.HotKeys(t.Context(), 7); !errors.Is(err, control.ErrNotOffered) {
		t.Errorf("a node that has no hot keys: %v", err)
	}
	look, err := client.Look(t.Context(), 0)
	if !errors.Is(err, control.ErrOtherVersion) || look.Role != "operator" || look.Unsaved != 2 {
		t.Errorf("%+v, %v", look, err)
	}
}
