package control

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"testing"
	"time"
)

// What the environment of a client, and of who started it, claims of sudo and SSH is
// told as a claim; who the user is comes from the kernel.
func TestWhatAProcessClaimsIsToldAsAClaim(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	sleep.Env = []string{"SUDO_USER=mallory\x1b[2J", "SSH_CONNECTION=203.0.113.7 50000 10.0.0.1 22", "SSH_CLIENT=ignored"}
	// sudo clears SSH from what it starts: it is found one process above.
	shell := exec.Command("sh", "-c", `env -i SUDO_USER=alice sleep 60 & echo $!; wait`)
	shell.Env = append(os.Environ(), "SSH_CONNECTION=198.51.100.9 1 10.0.0.1 22")
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{sleep, shell} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	line := make([]byte, 20)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	below, err := strconv.Atoi(string(line[:n-1]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p, err := os.FindProcess(below); err == nil {
			_ = p.Kill()
		}
	})
	uid := uint32(os.Getuid())
	see := func(pid int, command string) (p process) {
		for end := time.Now().Add(10 * time.Second); p.command != command; time.Sleep(5 * time.Millisecond) {
			if p = processOf(pid, uid); time.Now().After(end) {
				t.Fatalf("%+v", p)
			}
		}
		return p
	}
	if p := see(sleep.Process.Pid, "sleep"); p.sudoUser != "mallory·[2J" || p.sshFrom != "203.0.113.7" {
		t.Errorf("%+v", p)
	}
	if p := see(below, "sleep"); p.sudoUser != "alice" || p.sshFrom != "198.51.100.9" {
		t.Errorf("%+v", p)
	}
	if p := processOf(sleep.Process.Pid, uid+1); p != (process{}) {
		t.Errorf("of another user's process: %+v", p)
	}
	if p := processOf(0, uid); p != (process{}) {
		t.Errorf("%+v", p)
	}
}

// A certificate of the name of a user is not taken for that user.
func TestNamesSayWhoCameHow(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if got := userName(me.Uid); got != "uid:"+me.Username {
		t.Error(got)
	}
	if got := userName("4000000000"); got != "uid:4000000000" {
		t.Error(got)
	}
}
