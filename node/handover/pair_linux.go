package handover

import "golang.org/x/sys/unix"

// packetPair returns the descriptors of two connected SEQPACKET sockets.
func packetPair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
}
