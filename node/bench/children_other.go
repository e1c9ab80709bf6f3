//go:build !linux

package main

import "syscall"

// dieWithParent can be asked of no kernel but Linux: signals that can be caught are.
func dieWithParent(*syscall.SysProcAttr) {}
