package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sockets are listening sockets by name. They stay open when a listener on one of
// them is closed: connections then wait in the kernel's queue.
type Sockets struct {
	names []string
	files map[string]*os.File
	// paths are the files of unix sockets that are removed at the end.
	paths map[string]string
}

// Add takes over the socket of a listener, which is closed. The file of a unix socket
// that was made here (owned) is removed by Close.
func (s *Sockets) Add(name string, l net.Listener, owned bool) error {
	file, err := duplicate(name, l)
	if err != nil {
		return fmt.Errorf("take over the socket %s: %w", name, err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	path := ""
	if owned && l.Addr().Network() == "unix" {
		path = l.Addr().String()
	}
	s.add(name, file, path)
	return l.Close()
}

// duplicate returns a file of a listener's socket. That of its method File would not
// do: giving it to a process makes the socket blocking, for this process too, whose
// Accept then cannot be ended.
func duplicate(name string, l net.Listener) (*os.File, error) {
	sys, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a listener of %T cannot be handed over", l)
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, failed := 0, error(nil)
	if err := raw.Control(func(of uintptr) { fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (s *Sockets) add(name string, file *os.File, path string) {
	if s.files == nil {
		s.files, s.paths = map[string]*os.File{}, map[string]string{}
	}
	s.names = append(s.names, name)
	s.files[name], s.paths[name] = file, path
}

// Has says whether there is a socket of that name.
func (s *Sockets) Has(name string) bool { return s.files[name] != nil }

// Listen returns a listener on a socket.
func (s *Sockets) Listen(name string) (net.Listener, error) {
	if !s.Has(name) {
		return nil, fmt.Errorf("there is no socket %s", name)
	}
	l, err := net.FileListener(s.files[name])
	if err != nil {
		return nil, fmt.Errorf("listen on the socket %s: %w", name, err)
	}
	return l, nil
}

// Close closes the sockets and removes their files, unless they live on in another
// process.
func (s *Sockets) Close(handedOver bool) error {
	var failed []error
	for _, name := range s.names {
		if path := s.paths[name]; path != "" && !handedOver {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				failed = append(failed, err)
			}
		}
		failed = append(failed, s.files[name].Close())
	}
	return errors.Join(failed...)
}
