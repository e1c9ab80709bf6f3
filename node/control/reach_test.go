package control

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Each reason why a control socket cannot be used has its own sentence with the way out,
// and only where no node is there is it said that none answers.
func TestEachReasonHasItsOwnSentence(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stale, err := net.Listen("unix", at("stale"))
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	hangs, err := net.Listen("unix", at("hangs"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { // closes each connection before it answers
		for {
			c, err := hangs.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = hangs.Close() })
	if err := os.Symlink(at("loop"), at("loop")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		socket, says string
		answers      bool // that it says no node answers
		absent       bool
	}{
		"no socket":     {at("none"), "start a node, or name the socket", true, true},
		"left over":     {at("stale"), "start the node again", true, true},
		"no folder":     {at("nowhere/control.sock"), "start a node", true, true},
		"a file":        {at("file"), "is not the socket of a node", false, false},
		"a folder":      {dir, "is a folder; name the socket in it", false, false},
		"in a file":     {at("file/control.sock"), at("file") + " is a file, not a folder; correct --socket or --state-dir", false, false},
		"below a file":  {at("file/deep/control.sock"), at("file") + " is a file", false, false},
		"a circle":      {at("loop"), "lead in a circle", false, false},
		"too long":      {at(strings.Repeat("x", 120)), "a unix socket may have 107", false, false},
		"name too long": {at(strings.Repeat("x", 300)), "a unix socket may have 107", false, false},
		"it hangs up":   {at("hangs"), "closed the connection before it answered", true, false},
	} {
		client := NewClient(c.socket)
		_, err := client.Node(t.Context())
		client.Close()
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrNoAnswer) != c.answers || errors.Is(err, ErrUnusable) == c.answers || Absent(err) != c.absent {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "invalid argument") && name != "too long" && name != "name too long" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What root does not meet, and what a test cannot bring about.
	for errno, says := range map[unix.Errno]string{unix.EACCES: "run as the node's own user", unix.EPERM: "run as the node's own user", unix.EMFILE: "ulimit -n",
		unix.ENFILE: "ulimit -n", unix.EAGAIN: "takes no more connections", unix.EPROTOTYPE: "not the socket of a node", unix.ENAMETOOLONG: "too long for this file system"} {
		client := NewClient(at("stale"))
		client.http.Transport = refusing{errno}
		_, err := client.Node(t.Context())
		if err == nil || !strings.Contains(err.Error(), says) || Absent(err) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

type refusing struct{ errno unix.Errno }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", r.errno)}
}

// The same for what the node itself opens.
func TestEachReasonNotToListenHasItsOwnSentence(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		filepath.Join(file, "control.sock"):         file + " is a file, not a folder; move it away, or choose another with --socket",
		filepath.Join(file, "deep/er/control.sock"): file + " is a file, not a folder",
		file: "is in the way and is not a socket; move it away",
		dir:  "is in the way and is not a socket",
		filepath.Join(dir, strings.Repeat("x", 120)):  "a unix socket may have 107",
		filepath.Join("/proc/nobody", "control.sock"): "choose another with --socket",
	} {
		l, err := Listen(path, Groups{})
		if err == nil {
			_ = l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "invalid argument") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for errno, says := range map[unix.Errno]string{unix.EACCES: "may not write there", unix.EROFS: "read-only", unix.ENOSPC: "make room", unix.EDQUOT: "make room",
		unix.ENAMETOOLONG: "too long", unix.ELOOP: "circle", unix.EMFILE: "ulimit -n", unix.EIO: "choose another with --state-dir"} {
		if err := Unfit("the state folder", dir, "--state-dir", &os.PathError{Op: "mkdir", Path: dir, Err: errno}); !strings.Contains(err.Error(), says) || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
