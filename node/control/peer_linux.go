package control

import "golang.org/x/sys/unix"

// credentials asks the kernel whose process is at the other end of a unix socket.
func credentials(fd int) (uid, gid uint32, pid int, err error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, 0, 0, err
	}
	return cred.Uid, cred.Gid, int(cred.Pid), nil
}
