package files

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spareDescriptors is how many descriptors are kept for state files: a document, the
// folder it is in, and two more for what a library opens beside.
const spareDescriptors = 4

// spare are descriptors that are held open for the moment when there are none.
var spare struct {
	sync.Mutex
	held []int
}

// Reserve takes the spare descriptors now, while there are some.
func Reserve() {
	spare.Lock()
	defer spare.Unlock()
	refill()
}

// refill takes what can be had. The caller holds the lock.
func refill() {
	for len(spare.held) < spareDescriptors {
		fd, err := openNull()
		if err != nil {
			return // the next one tries again
		}
		spare.held = append(spare.held, fd)
	}
}

// WithReserve calls do. When the process has no descriptors left the spare ones are
// given up and do is called again. What do opens and keeps is taken from the reserve
// until there are descriptors again.
func WithReserve(do func() error) error {
	err := do()
	if !exhausted(err) {
		return err
	}
	spare.Lock()
	defer spare.Unlock()
	for _, fd := range spare.held {
		_ = unix.Close(fd) // it was /dev/null
	}
	spare.held = spare.held[:0]
	err = do()
	refill()
	return err
}

// exhausted says whether an error is for want of descriptors, of this process or of the
// host.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func openNull() (int, error) {
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// Descriptors says whether this process can open n files more. The error tells what to
// do. It costs a microsecond for each.
func Descriptors(n int) error {
	fds := make([]int, 0, n)
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd) // it was /dev/null
		}
	}()
	for range n {
		fd, err := openNull()
		if exhausted(err) {
			var limit unix.Rlimit
			_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) // 0 is printed then
			return fmt.Errorf("the process has fewer than %d file descriptors left of %d (ulimit -n, LimitNOFILE): raise the limit, or find what uses them: %w", n, limit.Cur, err)
		}
		if err != nil {
			return fmt.Errorf("ask whether files can be opened: %w", err)
		}
		fds = append(fds, fd)
	}
	return nil
}

// Inodes says whether a file system has room for n files more. Those that do not count
// them have.
func Inodes(disk unix.Statfs_t, n uint64) error {
	if disk.Files > 0 && disk.Ffree < n {
		return fmt.Errorf("the disk of the state folder has %d inodes left of %d: remove files from it: %w", disk.Ffree, disk.Files, syscall.ENOSPC)
	}
	return nil
}
