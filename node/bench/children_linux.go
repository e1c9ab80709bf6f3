package main

import "syscall"

// dieWithParent has the kernel end a process when this one is gone, whatever ended it.
// The kernel means the thread that started it; the runtime keeps its threads, but for those
// that a goroutine has locked, and none here does.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
