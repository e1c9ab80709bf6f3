package control_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

func onTrial(key, value, after string) control.ChangeRequest {
	c := change(key, value)
	c.RevertAfter = after
	return c
}

func refusal(t *testing.T, err error, status int, want string) {
	t.Helper()
	var p *control.Problem
	if !errors.As(err, &p) || p.Status != status || !strings.Contains(p.Text, want) {
		t.Errorf("got %v, want %d with %q", err, status, want)
	}
}

// trail returns the audit trail as "verb outcome subject old new", oldest first.
func (r *rig) written(t *testing.T) (out []string) {
	t.Helper()
	entries, err := r.Audit(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		e := entries[len(entries)-1-i]
		out = append(out, strings.Join(strings.Fields(fmt.Sprint(e.Verb, " ", e.Outcome, " ", e.Subject, " ", e.Old, " ", e.New)), " "))
	}
	return out
}

func TestAChangeThatIsNotKeptGoesBack(t *testing.T) {
	t.Parallel()
	r := serve(t)
	began := time.Now()
	result, err := r.Change(t.Context(), onTrial("pool.limit", "12", "1s"))
	if err != nil || result.Trial == nil || r.limit.Get() != 12 {
		t.Fatalf("%+v %v", result, err)
	}
	if look, err := r.Look(t.Context(), 0); err != nil || len(look.Trials) != 1 || look.Trials[0].ID != result.ID || look.Unsaved != 1 || look.Role != "admin" {
		t.Fatalf("%+v %v", look, err)
	}
	r.Close() // as if the terminal were gone
	for r.limit.Get() == 12 && time.Since(began) < 10*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(began); r.limit.Get() != 8 || took < time.Second || took > 2*time.Second {
		t.Errorf("the limit is %d after %s", r.limit.Get(), took)
	}
	if look, err := r.Look(t.Context(), 0); err != nil || len(look.Trials) != 0 || look.Unsaved != 0 || look.Redoable != "pool.limit 8 -> 12" {
		t.Errorf("%+v %v", look, err)
	}
	if w := r.written(t); len(w) != 2 || w[1] != "revert done pool.limit 12 8" {
		t.Errorf("%q", w)
	}
	if found, err := r.Setting(t.Context(), "pool.limit"); err != nil || found.Source != "default" {
		t.Errorf("its source is %q (%v)", found.Source, err)
	}
}

func TestAChangeThatIsKeptStays(t *testing.T) {
	t.Parallel()
	r := serve(t)
	result, err := r.Change(t.Context(), onTrial("pool.limit", "12", "1s"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Keep(t.Context(), fmt.Sprint(result.ID)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if r.limit.Get() != 12 {
		t.Errorf("the limit is %d", r.limit.Get())
	}
	_, err = r.Keep(t.Context(), "last")
	refusal(t, err, 404, "no change is on trial")
	if w := r.written(t); w[1] != "keep done pool.limit 8 12" {
		t.Errorf("%q", w)
	}
}

// TestAGuardTakesBackAtOnce has the guard turn true, once an alert's name and once
// an expression are as good as the other.
func TestAGuardTakesBackAtOnce(t *testing.T) {
	t.Parallel()
	r := serve(t)
	guarded := onTrial("pool.limit", "12", "1h")
	guarded.Guard = "ApiErrors"
	if _, err := r.Change(t.Context(), guarded); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if r.limit.Get() != 12 {
		t.Fatal("it went back with a guard that does not hold")
	}
	r.guard.Store(&guarded.Guard)
	for end := time.Now().Add(3 * time.Second); r.limit.Get() == 12 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if r.limit.Get() != 8 {
		t.Error("it did not go back")
	}
	_, err := r.Change(t.Context(), guarded)
	refusal(t, err, 409, "true already")
	guarded.Guard = "("
	_, err = r.Change(t.Context(), guarded)
	refusal(t, err, 400, "unclosed")
	guarded.Guard, guarded.RevertAfter = "ApiErrors", ""
	_, err = r.Change(t.Context(), guarded)
	refusal(t, err, 400, "revert_after")
	for _, bad := range []string{"0s", "-1s", "NaN", "1000h", "soon"} {
		_, err = r.Change(t.Context(), onTrial("pool.limit", "9", bad))
		refusal(t, err, 400, "revert_after")
	}
}

// TestTrialsOfOneOperatorJoin adjusts a value twice: it goes back to what was before
// the first.
func TestTrialsOfOneOperatorJoin(t *testing.T) {
	t.Parallel()
	r := serve(t)
	for _, v := range []string{"12", "14"} {
		if _, err := r.Change(t.Context(), onTrial("pool.limit", v, "1h")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.Change(t.Context(), change("pool.limit", "20"))
	refusal(t, err, 409, "on trial by you")
	list, err := r.Changes(t.Context())
	if err != nil || len(list) != 1 || list[0].Changes[0].Old != "8" || list[0].Changes[0].New != "14" {
		t.Fatalf("%+v %v", list, err)
	}
	if _, err := r.Revert(t.Context(), "last"); err != nil || r.limit.Get() != 8 {
		t.Errorf("the limit is %d: %v", r.limit.Get(), err)
	}
}

// TestTwoOperatorsCannotOverwriteEachOther has the second change what it has seen
// before the first changed it.
func TestTwoOperatorsCannotOverwriteEachOther(t *testing.T) {
	r := serve(t)
	look, err := r.Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(t.Context(), change("pool.limit", "12")); err != nil {
		t.Fatal(err)
	}
	second := change("pool.limit", "20")
	second.Revision = &look.Revision
	_, err = r.Change(t.Context(), second)
	refusal(t, err, 409, "8 -> 12")
	other := change("breaker.upstream.failure_ratio", "0.4")
	other.Revision = &look.Revision
	if _, err := r.Change(t.Context(), other); err != nil {
		t.Errorf("a setting that nobody touched is refused: %v", err)
	}
	if look, err = r.Look(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	second.Revision = &look.Revision
	if _, err := r.Change(t.Context(), second); err != nil || r.limit.Get() != 20 {
		t.Errorf("having looked again it is refused: %v", err)
	}
}

func TestUndoAndRedo(t *testing.T) {
	r := serve(t)
	if _, err := r.Change(t.Context(), change("pool.limit", "12")); err != nil {
		t.Fatal(err)
	}
	// What is not shown comes back too.
	if _, err := r.Change(t.Context(), change("store.dsn", "postgres://elsewhere")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{12, 8} {
		if _, err := r.Undo(t.Context()); err != nil || r.limit.Get() != want {
			t.Fatalf("the limit is %d, want %d: %v", r.limit.Get(), want, err)
		}
	}
	for _, want := range []int{12, 12} {
		if _, err := r.Redo(t.Context()); err != nil || r.limit.Get() != want {
			t.Fatalf("the limit is %d, want %d: %v", r.limit.Get(), want, err)
		}
	}
	_, err := r.Redo(t.Context())
	refusal(t, err, 409, "nothing was taken back")
	if text := strings.Join(r.written(t), "\n"); strings.Contains(text, "elsewhere") || strings.Contains(text, "hunter2") {
		t.Error("the trail shows a secret: " + text)
	}
	if _, err := r.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(t.Context(), change("pool.limit", "13")); err != nil {
		t.Fatal(err)
	}
	_, err = r.Redo(t.Context())
	refusal(t, err, 409, "nothing was taken back")
}

// TestSaveKeepsWhatIsKept saves, and reads the file as a start does.
func TestSaveKeepsWhatIsKept(t *testing.T) {
	r := serve(t)
	if _, err := r.Change(t.Context(), change("pool.limit", "12")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(t.Context(), onTrial("breaker.upstream.failure_ratio", "0.4", "1h")); err != nil {
		t.Fatal(err)
	}
	shown, err := r.Save(t.Context(), control.SaveRequest{DryRun: true})
	want := settings.Difference{Key: "pool.limit", New: "12", Base: "8"}
	if err != nil || shown.Saved || len(shown.Differences) != 1 || shown.Differences[0] != want || len(shown.OnTrial) != 1 {
		t.Fatalf("%+v %v", shown, err)
	}
	path := filepath.Join(r.dir, "overrides.yaml")
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a dry run wrote the file")
	}
	saved, err := r.Save(t.Context(), control.SaveRequest{})
	if err != nil || !saved.Saved || saved.Backup != "" {
		t.Fatalf("%+v %v", saved, err)
	}
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "pool.limit: \"12\"\n") || strings.Contains(string(data), "failure_ratio") {
		t.Fatalf("%s %v", data, err)
	}
	layers, err := r.Explain(t.Context(), "pool.limit")
	if err != nil || len(layers) != 2 || layers[1] != (settings.Layer{Source: settings.SourceOverrides, Text: "12", Wins: true}) {
		t.Errorf("%+v %v", layers, err)
	}
	if look, err := r.Look(t.Context(), 0); err != nil || look.Unsaved != 1 {
		t.Errorf("%d unsaved, want the one on trial: %v", look.Unsaved, err)
	}
	// Back at its default it needs no override any more.
	if _, err := r.Change(t.Context(), change("pool.limit", "8")); err != nil {
		t.Fatal(err)
	}
	saved, err = r.Save(t.Context(), control.SaveRequest{})
	if err != nil || saved.Backup == "" || len(saved.Differences) != 1 || saved.Differences[0].Old != "12" || saved.Differences[0].New != "" {
		t.Fatalf("%+v %v", saved, err)
	}
	if before, err := os.ReadFile(saved.Backup); err != nil || string(before) != string(data) {
		t.Errorf("the backup holds %s (%v)", before, err)
	}
}

func TestWhatCannotBeTakenBackNeedsItsWord(t *testing.T) {
	r := serve(t)
	for _, word := range []string{"", "yes", "Flush"} {
		_, err := r.Act(t.Context(), control.ActionRequest{ID: "cache.flush_l2", Word: word})
		refusal(t, err, 422, `"flush"`)
	}
	if r.forced["flushed"] != "" {
		t.Fatal("it was done")
	}
	if _, err := r.Act(t.Context(), control.ActionRequest{ID: "cache.flush_l2", Word: "flush"}); err != nil || r.forced["flushed"] != "yes" {
		t.Error(err)
	}
}

// TestReloadKeepsWhatIsStronger reloads a configuration under live values.
func TestReloadKeepsWhatIsStronger(t *testing.T) {
	r := serve(t)
	file := func(limit, ratio string) (changed []control.Changed, unmoved []string, err error) {
		return r.server.Reload(settings.SourceFile, []settings.Change{{Key: "pool.limit", Value: limit}, {Key: "breaker.upstream.failure_ratio", Value: ratio}}, "the file has changed")
	}
	if changed, unmoved, err := file("9", "0.4"); err != nil || len(changed) != 2 || len(unmoved) != 0 || r.limit.Get() != 9 {
		t.Fatalf("%v %v %v", changed, unmoved, err)
	}
	if _, err := r.Change(t.Context(), change("pool.limit", "12")); err != nil {
		t.Fatal(err)
	}
	if changed, unmoved, err := file("10", "0.3"); err != nil || len(changed) != 1 || len(unmoved) != 1 || unmoved[0] != "pool.limit" || r.limit.Get() != 12 {
		t.Errorf("%v %v %v", changed, unmoved, err)
	}
	if _, _, err := file("10", "7"); err == nil {
		t.Error("a mistake was loaded")
	}
	if _, err := r.Undo(t.Context()); err != nil || r.limit.Get() != 10 {
		t.Errorf("without the live value the file decides: %d (%v)", r.limit.Get(), err)
	}
	if changed, _, err := r.server.Reload(settings.SourceFile, nil, "emptied"); err != nil || len(changed) != 2 || r.limit.Get() != 8 {
		t.Errorf("%v %v", changed, err)
	}
}

// TestEveryRefusalIsRecorded looks for what was asked for and not done.
func TestEveryRefusalIsRecorded(t *testing.T) {
	r := serve(t)
	ask := func(req control.ChangeRequest) {
		if _, err := r.Change(t.Context(), req); err == nil {
			t.Fatalf("%+v was not refused", req)
		}
	}
	ask(change("pool.limit", "65"))
	dry := change("pool.limit", "NaN")
	dry.DryRun = true
	ask(dry)
	_, _ = r.Undo(t.Context())
	_, _ = r.Act(t.Context(), control.ActionRequest{ID: "cache.flush_l2"})
	if _, err := r.Change(t.Context(), control.ChangeRequest{Changes: []control.Change{{Key: "pool.limit", Value: "9"}}, Reason: "two\nlines\x1b[2J \u202e"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"change refused pool.limit 65", "propose refused pool.limit NaN", "undo refused", "action refused cache.flush_l2", "change done pool.limit 8 9"}
	if got := r.written(t); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	data, err := os.ReadFile(filepath.Join(r.dir, "audit.jsonl"))
	if err != nil || strings.Count(string(data), "\n") != len(want) || strings.ContainsAny(string(data), "\x1b\u202e") {
		t.Errorf("%q %v", data, err)
	}
	entries, err := audit.Read(filepath.Join(r.dir, "audit.jsonl"), 1, nil)
	if err != nil || len(entries) != 1 || entries[0].PID != os.Getpid() || entries[0].UID != int64(os.Getuid()) || entries[0].Command == "" {
		t.Errorf("%+v %v", entries, err)
	}
}

// TestOfManyWhoSawTheSameOneChanges has twenty operators decide on the same look at
// once: one of them changes it, and the others are told by whom.
func TestOfManyWhoSawTheSameOneChanges(t *testing.T) {
	r := serve(t)
	look, err := r.Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 20 {
		wg.Go(func() {
			c := change("pool.limit", fmt.Sprint(10+i))
			c.Revision = &look.Revision
			if _, err := r.Change(t.Context(), c); err == nil {
				won.Add(1)
			} else {
				refusal(t, err, 409, "was changed by")
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 20 overwrote each other", won.Load())
	}
}
