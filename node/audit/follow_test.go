package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/files"
)

// The trail, or the folder it is in, is removed while it is open: no entry is lost, those
// from before included, and it is told.
func TestATrailThatIsRemovedIsMadeAnew(t *testing.T) {
	for name, test := range map[string]struct {
		remove func(path string) error
		want   int
	}{
		"the file":    {os.Remove, 4},
		"the folder":  {func(path string) error { return os.RemoveAll(filepath.Dir(path)) }, 4},
		"moved away":  {func(path string) error { return os.Rename(path, path+"-elsewhere") }, 2}, // where it can be read
		"replaced":    {func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, []byte("x"), 0o600)) }, 4},
		"a file more": {func(path string) error { return os.WriteFile(path+".other", nil, 0o600) }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state", "audit.jsonl")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			var told []string
			l, err := audit.Open(path, func(severity, text string) { told = append(told, severity+": "+text) })
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			add := func() {
				t.Helper()
				if err := l.Add(audit.Entry{Verb: "change"}); err != nil {
					t.Fatal(err)
				}
			}
			add()
			add()
			if err := test.remove(path); err != nil {
				t.Fatal(err)
			}
			if err := l.Check(); err != nil {
				t.Error(err)
			}
			add()
			add()
			entries, err := audit.Read(path, 100, nil)
			if err != nil || len(entries) != test.want || entries[0].Seq != 4 {
				t.Errorf("%d entries: %+v (%v)", len(entries), entries, err)
			}
			if all := strings.Join(told, "\n"); (name != "a file more") != strings.Contains(all, "while it was open: it is made anew") {
				t.Errorf("told %q", all)
			}
		})
	}
}

// A named pipe in its place kept the start waiting for ever.
func TestATrailThatIsAPipeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(path, nil); !errors.Is(err, files.ErrNotRegular) || !strings.Contains(err.Error(), path+" is a named pipe") {
		t.Errorf("%v", err)
	}
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path+".3", 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(path, nil); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("an older file: %v", err)
	}
}
