package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// What is measured runs in processes and folders of its own. However this program ends,
// they end with it: a node under load that is left behind would spoil the next run.

// endWithin is how long a process may take to end by SIGTERM.
const endWithin = 5 * time.Second

// children are the processes and folders there are now.
var children = struct {
	sync.Mutex
	ended     bool
	processes map[*exec.Cmd]bool
	folders   map[string]bool
}{processes: map[*exec.Cmd]bool{}, folders: map[string]bool{}}

var errEnded = errors.New("the program is ending")

// begin starts a process that ends with this one, as start does; nil is cmd.Start.
func begin(cmd *exec.Cmd, start func() error) error {
	if start == nil {
		// A group of its own, so that all of it can be ended.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		start = cmd.Start
	} else {
		cmd.SysProcAttr = &syscall.SysProcAttr{} // a terminal makes a session of it
	}
	dieWithParent(cmd.SysProcAttr)
	children.Lock()
	defer children.Unlock()
	if children.ended {
		return errEnded
	}
	if err := start(); err != nil {
		return err
	}
	children.processes[cmd] = true
	return nil
}

// reap waits for a process that was begun, and forgets it.
func reap(cmd *exec.Cmd) error {
	err := cmd.Wait()
	children.Lock()
	defer children.Unlock()
	delete(children.processes, cmd)
	return err
}

// output is cmd.CombinedOutput of a process that ends with this one.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := os.CreateTemp("", "bizra-bench-output")
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = out.Close()
		_ = os.Remove(out.Name()) // the system cleans its temporary folder too
	}()
	cmd.Stdout, cmd.Stderr = out, out
	if err := begin(cmd, nil); err != nil {
		return nil, err
	}
	err = reap(cmd)
	said, failed := os.ReadFile(out.Name())
	return said, errors.Join(err, failed)
}

// temporary makes a folder, and returns what removes it.
func temporary() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "bizra-bench"); err != nil {
		return "", nil, err
	}
	children.Lock()
	defer children.Unlock()
	children.folders[dir] = true
	return dir, func() {
		_ = os.RemoveAll(dir) // the system cleans its temporary folder too
		children.Lock()
		defer children.Unlock()
		delete(children.folders, dir)
	}, nil
}

// endChildren ends every process and removes every folder. None is begun after it.
func endChildren() {
	children.Lock()
	defer children.Unlock()
	children.ended = true
	signalAll := func(s syscall.Signal) {
		for cmd := range children.processes {
			// One on a terminal leads a group too; one that has ended is no harm.
			_ = syscall.Kill(-cmd.Process.Pid, s)
		}
	}
	signalAll(syscall.SIGTERM)
	for end := time.Now().Add(endWithin); len(children.processes) > 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for cmd := range children.processes {
			if pid, err := syscall.Wait4(cmd.Process.Pid, nil, syscall.WNOHANG, nil); pid == cmd.Process.Pid || errors.Is(err, syscall.ECHILD) {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left in its group
				delete(children.processes, cmd)
			}
		}
	}
	signalAll(syscall.SIGKILL)
	for dir := range children.folders {
		_ = os.RemoveAll(dir) // the system cleans its temporary folder too
	}
}

// endBySignal ends the program with all it has started once a signal comes.
func endBySignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		s := (<-signals).(syscall.Signal)
		fmt.Fprintln(os.Stderr, "bench: ended by", s)
		endChildren()
		os.Exit(128 + int(s))
	}()
}
