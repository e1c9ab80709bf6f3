//go:build integration

package main

import (
	"os/exec"
	"syscall"
)

// diesWithTests has the kernel end a program when the tests are gone, whatever ended them:
// a deadline or a signal runs no clean-up.
func diesWithTests(cmd *exec.Cmd) *exec.Cmd {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return cmd
}
