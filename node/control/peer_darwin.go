package control

import (
	"errors"

	"golang.org/x/sys/unix"
)

// credentials asks the kernel whose process is at the other end of a unix socket.
func credentials(fd int) (uid, gid uint32, pid int, err error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, 0, 0, err
	}
	if cred.Ngroups < 1 { // the first is the effective group
		return 0, 0, 0, errors.New("the peer has no group")
	}
	pid, err = unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	return cred.Uid, cred.Groups[0], pid, err
}
