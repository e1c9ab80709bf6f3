package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// The pages of the program that its start has left behind are given back.
func TestProgramIsUnmapped(t *testing.T) {
	fromFiles := func() int {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		kilobytes, err := strconv.Atoi(string(regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(status)[1]))
		if err != nil {
			t.Fatal(err)
		}
		return kilobytes
	}
	before := fromFiles()
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	if after := fromFiles(); after > before/2 {
		t.Errorf("%d kB of files are in memory, before %d", after, before)
	}
}
