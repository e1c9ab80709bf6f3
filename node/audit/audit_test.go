package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openLog(t *testing.T, path string) *audit.Log {
	t.Helper()
	l, err := audit.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestOneEventIsOneLine writes fields full of what breaks lines and terminals, by
// many at once, and has every entry back in order.
func TestOneEventIsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openLog(t, path)
	hostile := "a\n{\"seq\":9}\r\x1b]0;x\x07\u2028\u202e\x00" + strings.Repeat("🦊", 2000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if err := l.Add(audit.Entry{Verb: "change", Outcome: "done", By: hostile, Command: hostile, Subject: hostile, Old: hostile, New: hostile, Reason: hostile}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	data, err := os.ReadFile(path)
	if err != nil || strings.Count(string(data), "\n") != 200 || strings.ContainsAny(string(data), "\r\x1b\x07\u2028\u202e\x00") {
		t.Errorf("%d lines (%v)", strings.Count(string(data), "\n"), err)
	}
	entries, err := l.Read(1000, nil)
	if err != nil || len(entries) != 200 {
		t.Fatal(len(entries), err)
	}
	for i, e := range entries {
		if e.Seq != uint64(200-i) {
			t.Fatalf("entry %d has the number %d", i, e.Seq)
		}
	}
}

// TestTheTrailGoesOn opens a trail again, after a line was cut off and one damaged.
func TestTheTrailGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openLog(t, path)
	for range 3 {
		if err := l.Add(audit.Entry{Verb: "change"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("not an entry\n" + strings.Repeat("x", 100_000) + "\n" + `{"seq":4,"verb":"cut o`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	l = openLog(t, path)
	if err := l.Add(audit.Entry{Verb: "keep"}); err != nil {
		t.Fatal(err)
	}
	entries, err := l.Read(10, nil)
	if err != nil || len(entries) != 4 || entries[0].Verb != "keep" || entries[0].Seq != 4 {
		t.Errorf("%+v %v", entries, err)
	}
	only, err := l.Read(10, func(e audit.Entry) bool { return e.Verb == "change" })
	if err != nil || len(only) != 3 {
		t.Errorf("%+v %v", only, err)
	}
}

// TestTheTrailIsBounded writes more than it keeps: the newest entries are there, in
// a bounded number of bounded files.
func TestTheTrailIsBounded(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, filepath.Join(dir, "audit.jsonl"))
	big := strings.Repeat("é", 500)
	for i := range 9000 {
		if err := l.Add(audit.Entry{Verb: "change", Subject: big, Old: big, New: big, Reason: big, By: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) > 8 {
		t.Errorf("%d files (%v)", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() > 4<<20 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, %s (%v)", f.Name(), info.Size(), info.Mode(), err)
		}
	}
	entries, err := l.Read(2000, nil)
	if err != nil || len(entries) != 2000 || entries[0].By != "8999" || entries[1999].By != "7000" {
		t.Errorf("%d entries (%v)", len(entries), err)
	}
}
