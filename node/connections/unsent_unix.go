package connections

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is how much of an answer the kernel may hold before the client's window has
// room for it. Without a bound that is megabytes a connection, and a reader that stands
// still is noticed late.
const unsent = 32 << 10

// keepUnsentLow bounds what the kernel holds for a connection. It is a help, not a
// promise: a connection that is no TCP has nothing of the kind.
func keepUnsentLow(c net.Conn) {
	raw, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	rc, err := raw.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
}
