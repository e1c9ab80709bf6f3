package files_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bizra/bizra-top/node/files"
)

// With every descriptor of the process in use a state file can still be written, and it
// is said how many are left. It runs in a process of its own, whose limit it lowers.
func TestAStateFileIsWrittenWithoutDescriptors(t *testing.T) {
	const again = "BIZRA_TEST_DESCRIPTORS"
	if os.Getenv(again) == "" {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), again+"=1")
		out, err := c.CombinedOutput()
		t.Logf("in a process of its own:\n%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "state")
	files.Reserve()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 64, Max: 64}); err != nil {
		t.Fatal(err)
	}
	if err := files.Descriptors(8); err != nil {
		t.Errorf("before: %v", err)
	}
	var all []*os.File
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		all = append(all, f)
	}
	if err := files.Descriptors(1); err == nil || !strings.Contains(err.Error(), "of 64") || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("%v", err)
	}
	for range 3 {
		f, err := files.OpenState(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("text"); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, f := range all {
		_ = f.Close() // it was /dev/null
	}
	if err := files.Descriptors(8); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
