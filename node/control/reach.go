package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxSocketPath is how long the path of a unix socket may be, in bytes.
const maxSocketPath = 107

// ErrUnusable says that the control socket cannot be used as it is: it is not said that
// no node answers there.
var ErrUnusable = errors.New("the control socket cannot be used")

// Absent says whether the error of a call means that no node is there: no socket, or one
// that nobody listens on.
func Absent(err error) bool {
	return errors.Is(err, ErrNoAnswer) && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED))
}

// unreached says why a call has not reached the node, and the way out, in one sentence
// for each cause.
func (c *Client) unreached(err error) error {
	if c.http == nil || !strings.HasPrefix(c.base, "http://") {
		return fmt.Errorf("%w at %s: %w", ErrNoAnswer, c.socket, unreachedHost(err))
	}
	unusable := func(text string, args ...any) error {
		return fmt.Errorf("%w: %s: %w", ErrUnusable, fmt.Sprintf(text, args...), err)
	}
	silent := func(text string, args ...any) error {
		return fmt.Errorf("%w at %s: %s: %w", ErrNoAnswer, c.socket, fmt.Sprintf(text, args...), err)
	}
	if len(c.socket) > maxSocketPath {
		return unusable("its path %s has %d bytes, a unix socket may have %d; choose a shorter --state-dir or --socket", c.socket, len(c.socket), maxSocketPath)
	}
	info, failed := os.Stat(c.socket)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return unusable("you may not use %s; run as the node's own user or as root, or be in the group that control.viewer_group or control.operator_group names", c.socket)
	case errors.Is(err, unix.ENOTDIR):
		return unusable("%s; correct --socket or --state-dir", notAFolder(c.socket))
	case errors.Is(err, unix.ENAMETOOLONG):
		return unusable("a name in its path %s is too long for this file system; choose another --state-dir or --socket", c.socket)
	case errors.Is(err, unix.ELOOP):
		return unusable("symbolic links on the way to %s lead in a circle; correct --socket or --state-dir", c.socket)
	case failed == nil && info.IsDir():
		return unusable("%s is a folder; name the socket in it, such as --socket %s", c.socket, filepath.Join(c.socket, "control.sock"))
	case failed == nil && info.Mode()&fs.ModeSocket == 0, errors.Is(err, unix.ENOTSOCK), errors.Is(err, unix.EPROTOTYPE), errors.Is(err, unix.EPROTONOSUPPORT):
		return unusable("%s is not the socket of a node; correct --socket or --state-dir", c.socket)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return unusable("no file descriptors are left here; raise ulimit -n, or end other programs")
	case errors.Is(err, fs.ErrNotExist):
		return silent("there is no such socket; start a node, or name the socket of one with --socket or its folder with --state-dir")
	case errors.Is(err, unix.ECONNREFUSED):
		return silent("the socket is there, and the node that made it is not; start the node again, which replaces it")
	case errors.Is(err, unix.EAGAIN):
		return silent("it takes no more connections; it is overloaded or hangs, see its log")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return silent("it has not answered in time; it is overloaded or stopped, see its log")
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE),
		strings.Contains(err.Error(), "server closed idle connection"): // which net/http has no name for
		return silent("it has closed the connection before it answered; it may be stopping")
	}
	return fmt.Errorf("%w at %s: %w", ErrNoAnswer, c.socket, err)
}

// unreachedHost adds to an error of the network what can be done.
func unreachedHost(err error) error {
	var lookup *net.DNSError
	advice := ""
	switch {
	case errors.As(err, &lookup):
		advice = "correct the host in --node"
	case errors.Is(err, unix.ECONNREFUSED):
		advice = "nobody listens there; see control.listen on the node"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		advice = "there is no way to that host from here"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		advice = "it has not answered in time; a firewall may drop what is sent"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", advice, err)
}

// notAFolder names the part of a path that is a file where a folder is needed.
func notAFolder(path string) string {
	for at := filepath.Dir(path); at != filepath.Dir(at); at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && !info.IsDir() {
			return at + " is a file, not a folder"
		}
	}
	return "a part of " + path + " is a file, not a folder"
}

// Unfit says why a path of the node's own cannot be made or opened, with the way out; what
// is the thing, such as "the state folder", and flag names it on the command line.
func Unfit(what, path, flag string, err error) error {
	var advice string
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrExist):
		advice = notAFolder(filepath.Join(path, "x")) + "; move it away, or choose another with " + flag
	case errors.Is(err, fs.ErrPermission):
		advice = "this user may not write there; choose another with " + flag + ", or give the folder to the user that runs the node"
	case errors.Is(err, unix.EROFS):
		advice = "the file system is read-only; choose another with " + flag
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		advice = "the disk, its inodes or your quota are used up; make room, or choose another with " + flag
	case errors.Is(err, unix.ENAMETOOLONG):
		advice = "a name in the path is too long for this file system; choose another with " + flag
	case errors.Is(err, unix.ELOOP):
		advice = "symbolic links on the way lead in a circle; choose another with " + flag
	case errors.Is(err, unix.EADDRINUSE):
		advice = "something else has just been made there; choose another with " + flag
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		advice = "no file descriptors are left; raise ulimit -n"
	default:
		advice = "choose another with " + flag
	}
	return fmt.Errorf("%s %s: %s: %w", what, path, advice, err)
}
