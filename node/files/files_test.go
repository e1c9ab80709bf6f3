package files_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/files"
)

// within fails the test if do takes longer than any file does.
func within(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s waits", what)
		return nil
	}
}

// strange puts at path each thing that is no regular file.
func strange(t *testing.T) map[string]func(path string) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(string){
		"a named pipe": func(path string) { must(syscall.Mkfifo(path, 0o600)) },
		"a folder":     func(path string) { must(os.Mkdir(path, 0o700)) },
		"a socket": func(path string) {
			l, err := net.Listen("unix", path)
			must(err)
			t.Cleanup(func() { _ = l.Close() })
		},
	}
}

// What is no regular file is refused at once, whatever it is opened for.
func TestWhatIsNoRegularFileIsRefusedAtOnce(t *testing.T) {
	for name, put := range strange(t) {
		t.Run(name, func(t *testing.T) {
			// Short: the path of a socket has 107 bytes at most.
			dir, err := os.MkdirTemp("", "bizra")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			path := filepath.Join(dir, "it")
			put(path)
			for what, do := range map[string]func() error{
				"Open":       func() error { _, err := files.Open(path); return err },
				"Read":       func() error { _, err := files.Read(path, 10); return err },
				"ReadState":  func() error { _, err := files.ReadState(path, 10); return err },
				"CheckState": func() error { return files.CheckState(path) },
				"append":     func() error { _, err := files.OpenState(path, os.O_CREATE|os.O_RDWR|os.O_APPEND); return err },
				"write":      func() error { _, err := files.OpenState(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC); return err },
			} {
				if err := within(t, what, do); !errors.Is(err, files.ErrNotRegular) || !strings.Contains(err.Error(), path+" is "+name) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	if _, err := files.OpenState("/dev/null", os.O_WRONLY); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("a device: %v", err)
	}
}

// Operators' files may be symbolic links, as those of Kubernetes are; state files may
// not, since who plants one chooses what the node writes to.
func TestSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, []byte("text"), 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if data, err := files.Read(link, 10); err != nil || string(data) != "text" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := files.OpenState(link, os.O_WRONLY|os.O_TRUNC); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("a state file: %v", err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "text" {
		t.Errorf("what it leads to: %q, %v", data, err)
	}
}

func TestStateFilesAreClosedToOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	f, err := files.OpenState(path, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := files.ReadState(filepath.Join(dir, "none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadState(path, 9); !errors.Is(err, files.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

// Files of another user are refused. Only root can make such a file.
func TestFilesOfOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "overrides.yaml")
	if err := os.WriteFile(path, []byte("pool.limit: 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		// Root's file in place of another user's: it is trusted, which is the other half.
		if err := files.CheckState("/etc/passwd"); err != nil {
			t.Errorf("a file of root: %v", err)
		}
		t.Log("not root: a file of another user cannot be made here; run the tests as root for that half")
		return
	}
	if err := errors.Join(os.Chown(path, 4321, 4321), os.Chown(dir, 4321, 4321)); err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadState(path, 100); !errors.Is(err, files.ErrOwner) || !strings.Contains(err.Error(), "uid 4321") {
		t.Errorf("a file: %v", err)
	}
	if _, err := files.Folder(dir, false); !errors.Is(err, files.ErrOwner) {
		t.Errorf("a folder: %v", err)
	}
}

func TestFoldersAreClosedToOthers(t *testing.T) {
	for _, test := range []struct {
		is, becomes fs.FileMode
		pass        bool
	}{{0o755, 0o700, false}, {0o777, 0o700, false}, {0o750, 0o700, false}, {0o700, 0o700, false}, {0o500, 0o500, false},
		{0o755, 0o711, true}, {0o700, 0o700, true}} {
		dir := filepath.Join(t.TempDir(), "state")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, test.is)); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Folder(dir, test.pass); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != test.becomes {
			t.Errorf("%o became %o, want %o (%v)", test.is, info.Mode().Perm(), test.becomes, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	if _, err := files.Folder(dir, false); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if _, err := files.Folder(path, false); err == nil || !strings.Contains(err.Error(), file+" is a file") || !strings.Contains(err.Error(), "--state-dir") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestWhatEarlierVersionsLeftOpenIsClosed(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "history", "raw", "wal")
	file := filepath.Join(deep, "00000001")
	if err := errors.Join(os.MkdirAll(deep, 0o777), os.Chmod(deep, 0o777), os.WriteFile(file, nil, 0o644), os.Chmod(file, 0o644),
		os.Symlink("/etc/passwd", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := files.Tighten(dir, 100); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{deep: 0o700, file: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	if info, err := os.Stat("/etc/passwd"); err != nil || info.Mode().Perm()&0o044 == 0 {
		t.Errorf("%v %v", info, err)
	}
}
