package control

import (
	"bytes"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/bizra/bizra-top/node/printable"
)

// process is what can be seen of the process at the other end of a unix socket. It is for
// the trail, and never for a decision: only the number of the user, which the kernel
// gives with the connection, decides.
type process struct {
	command  string // as the process calls itself
	terminal string // of its standard input, output or error
	// login is who logged in, as the kernel has kept it since then through su and sudo;
	// empty where logins are not kept. The process cannot change it.
	login string
	// What the environment of the process, or of one that started it, claims. Whoever
	// owns the process can have it say anything.
	sudoUser, sshFrom string
}

const (
	// maxEnviron bounds what is read of an environment.
	maxEnviron = 256 << 10
	// maxAncestors bounds how far up SSH is looked for: sudo clears it from what it starts.
	maxAncestors = 8
	// noLogin is what the kernel says where nobody has logged in, as for a service.
	noLogin = "4294967295"
)

// processOf looks at the process of a user. A number that was taken by another process
// meanwhile is noticed: what was seen then is dropped.
func processOf(pid int, uid uint32) process {
	if pid <= 0 || !ownedBy(pid, uid) {
		return process{}
	}
	born, _ := parentOf(pid)
	var p process
	if name, err := os.ReadFile(procFile(pid, "comm")); err == nil {
		p.command = printable.Clean(strings.TrimSpace(string(name)), 40)
	}
	for _, fd := range []string{"0", "1", "2"} {
		if at, err := os.Readlink(procFile(pid, "fd", fd)); err == nil && (strings.HasPrefix(at, "/dev/pts/") || strings.HasPrefix(at, "/dev/tty")) {
			p.terminal = printable.Clean(strings.TrimPrefix(at, "/dev/"), 40)
			break
		}
	}
	if login, err := os.ReadFile(procFile(pid, "loginuid")); err == nil {
		if number := strings.TrimSpace(string(login)); number != noLogin && number != "" {
			p.login = userName(number)
		}
	}
	at := pid
	for range maxAncestors {
		claims := environment(at, "SUDO_USER", "SSH_CONNECTION", "SSH_CLIENT")
		if p.sudoUser == "" {
			p.sudoUser = printable.Clean(claims["SUDO_USER"], 60)
		}
		if ssh := strings.Fields(claims["SSH_CONNECTION"] + " " + claims["SSH_CLIENT"]); p.sshFrom == "" && len(ssh) > 0 {
			p.sshFrom = printable.Clean(ssh[0], 60)
		}
		_, parent := parentOf(at)
		if at = parent; at <= 1 || p.sshFrom != "" {
			break
		}
	}
	if again, _ := parentOf(pid); again != born {
		return process{}
	}
	return p
}

func procFile(pid int, names ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(pid)}, names...)...)
}

// ownedBy says whether the process with that number is the user's, as far as that can be
// seen.
func ownedBy(pid int, uid uint32) bool {
	info, err := os.Stat(procFile(pid))
	if err != nil {
		return false
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && sys.Uid == uid
}

// parentOf returns when a process was started, which tells it from a later one of the
// same number, and who started it.
func parentOf(pid int) (born string, parent int) {
	stat, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return "", 0
	}
	// The name in brackets may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[19], parent
}

// environment returns variables that a process was started with, where they may be read.
func environment(pid int, names ...string) map[string]string {
	out := map[string]string{}
	f, err := os.Open(procFile(pid, "environ"))
	if err != nil {
		return out
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxEnviron))
	if err != nil {
		return out
	}
	for pair := range bytes.SplitSeq(data, []byte{0}) {
		name, value, _ := strings.Cut(string(pair), "=")
		for _, n := range names {
			if n == name {
				out[name] = value
			}
		}
	}
	return out
}

// byUser is the prefix of the names of those whom the kernel has named, and byCertificate
// of those whose certificate has.
const (
	byUser        = "uid:"
	byCertificate = "cert:"
)

// userName names a user by a number: uid:alice, or uid:1000 where the host has no name.
func userName(uid string) string {
	if u, err := user.LookupId(uid); err == nil && u.Username != "" {
		return byUser + printable.Clean(u.Username, 60)
	}
	return byUser + printable.Clean(uid, 20)
}
