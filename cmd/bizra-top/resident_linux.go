package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// startLasts is how long a screen's start may take, with its first history.
const startLasts = 3 * time.Second

// trimProgram keeps the memory of a screen alone small until ctx ends.
func trimProgram(ctx context.Context) {
	for next := time.After(startLasts); ; next = time.After(time.Minute) {
		select {
		case <-ctx.Done():
			return
		case <-next:
			if unmapProgram() != nil {
				return // it only saves memory
			}
		}
	}
}

// unmapProgram gives back the pages of the program's file that are in this process's
// memory; those that are needed again come back from the page cache as they are. A
// start runs through all of the program, node included, and the kernel maps what lies
// around each page: half of what a screen would hold.
func unmapProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer maps.Close()
	var start, end uintptr
	ours := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n == 3 {
			start, end = from, to
			ours = !strings.Contains(mode, "w") && strings.HasSuffix(line, " "+program)
			continue
		}
		// What the loader wrote before it made a part read-only is not in the file.
		if written, found := strings.CutPrefix(line, "Anonymous:"); !ours || !found || strings.TrimSpace(written) != "0 kB" {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); errno != 0 {
			return errno
		}
	}
	return nil
}
