package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// Run runs a test again in a process of its own, in which dir is a disk of its own
// with room for size bytes, and grow gives it plenty. mounted says whether it is a disk:
//
// The disk is a tmpfs in a mount namespace that ends with the process: real
// ENOSPC, seen by nobody else. Where the host does not let a test mount, which is
// said in the log, a limit on the size of every file the process writes takes
// its place (RLIMIT_FSIZE): writes really fail, with EFBIG.
func Run(t *testing.T, size int, test func(t *testing.T, dir string, mounted bool, grow func())) {
	t.Helper()
	inOwnProcess(t, func(dir string) {
		mounted, grow := makeSmall(t, dir, size)
		test(t, dir, mounted, grow)
	})
}

// RunInodes is Run of a disk with plenty of room and few inodes. It fails where the host
// does not let a test mount, since nothing else takes their place.
func RunInodes(t *testing.T, inodes int, test func(t *testing.T, dir string, grow func())) {
	t.Helper()
	inOwnProcess(t, func(dir string) {
		options := func(inodes int) string { return fmt.Sprintf("size=512m,nr_inodes=%d,mode=0700", inodes) }
		mount := func(flags uintptr, inodes int) error {
			return syscall.Mount("tmpfs", dir, "tmpfs", flags, options(inodes))
		}
		err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		if err = errors.Join(err, mount(0, inodes)); err != nil {
			t.Fatalf("this host lets nobody mount (%v): run the tests as root, or allow user namespaces with sysctl kernel.unprivileged_userns_clone=1", err)
		}
		test(t, dir, func() {
			if err := mount(syscall.MS_REMOUNT, 64*inodes); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// inOwnProcess runs a test again in a process of its own, with a folder of its own to
// mount a disk at, which is where test runs.
func inOwnProcess(t *testing.T, test func(dir string)) {
	t.Helper()
	const again = "BIZRA_TEST_SMALL_DISK"
	if dir := os.Getenv(again); dir != "" {
		test(dir)
		return
	}
	dir, err := os.MkdirTemp("", "bizra-disk")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	child := func(flags *syscall.SysProcAttr) ([]byte, error) {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
		c.Env = append(os.Environ(), again+"="+dir)
		c.SysProcAttr = flags
		return c.CombinedOutput()
	}
	out, err := child(namespace())
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) { // no namespace here
		out, err = child(nil)
	}
	t.Logf("in a process of its own:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// namespace says how to start a process that may mount without anybody else
// seeing it; who is not root becomes able to in a user namespace.
func namespace() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		const sysAdmin = 21 // CAP_SYS_ADMIN
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		a.AmbientCaps = []uintptr{sysAdmin}
	}
	return a
}

func makeSmall(t *testing.T, dir string, size int) (mounted bool, grow func()) {
	t.Helper()
	options := func(size int) string { return fmt.Sprintf("size=%d,mode=0777", size) }
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, options(size))
	}
	if err == nil {
		return true, func() {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, options(64*size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("this host lets nobody mount (%v): files are limited to %d bytes instead", err, size)
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	set := func(l syscall.Rlimit) {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			t.Fatal(err)
		}
	}
	set(syscall.Rlimit{Cur: uint64(size), Max: limit.Max})
	return false, func() { set(limit) }
}
