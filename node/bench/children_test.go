package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parent is what the test runs itself as: a run of the benchmark that has started two
// processes, one of which ignores SIGTERM and has a child of its own.
const parent = "BIZRA_TEST_BENCH_PARENT"

func runAsParent() {
	endBySignal()
	dir, _, err := temporary()
	must(err)
	stubborn := exec.Command("sh", "-c", "trap '' TERM; sleep 300 & echo $! > "+filepath.Join(dir, "grandchild")+"; echo up; wait; sleep 300")
	plain := exec.Command("sleep", "300")
	must(begin(plain, nil))
	out, err := stubborn.StdoutPipe()
	must(err)
	must(begin(stubborn, nil))
	_, err = bufio.NewReader(out).ReadString('\n')
	must(err)
	grandchild, err := os.ReadFile(filepath.Join(dir, "grandchild"))
	must(err)
	fmt.Println(plain.Process.Pid, stubborn.Process.Pid, strings.TrimSpace(string(grandchild)), dir)
	_ = reap(plain) // until it is ended
	select {}
}

// However the benchmark ends, what it has started ends with it, and a signal also takes
// its folders away.
func TestWhatWasStartedEndsWithTheProgram(t *testing.T) {
	for _, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			if how == syscall.SIGKILL && runtime.GOOS != "linux" {
				t.Log("only Linux ends the children of a program that is killed")
				return
			}
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			cmd.Env = append(os.Environ(), parent+"=1")
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			fields := strings.Fields(line)
			if err := cmd.Process.Signal(how); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			pids := fields[:3]
			if how == syscall.SIGKILL {
				pids = fields[:2] // the kernel knows no grandchildren
				if pid, err := strconv.Atoi(fields[2]); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				_ = os.RemoveAll(fields[3])
			}
			for _, text := range pids {
				pid, err := strconv.Atoi(text)
				if err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(30 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("process %d is left of %s", pid, strings.TrimSpace(line))
					}
				}
			}
			if _, err := os.Stat(fields[3]); err == nil {
				t.Errorf("%s is left", fields[3])
			}
		})
	}
}

// alive says whether a process runs: one that nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && runtime.GOOS != "linux"
	}
	text := string(stat)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])[0] != "Z"
}
