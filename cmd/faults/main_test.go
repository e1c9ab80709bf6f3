package main

import (
	"bufio"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every test of a row is there; what was renamed would fail only in the long suite.
func TestRowsNameTestsThatExist(t *testing.T) {
	for i, r := range rows {
		if i > 0 && r.number <= rows[i-1].number || r.name == "" || len(r.tests) == 0 {
			t.Errorf("row %+v", r)
		}
		for _, of := range r.tests {
			var source strings.Builder
			files, err := filepath.Glob(filepath.Join("../..", of.pkg, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				data, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				source.Write(data)
			}
			for _, name := range of.names {
				if !regexp.MustCompile(`(?m)^func ` + name + `\(`).MatchString(source.String()) {
					t.Errorf("row %d: %s has no %s", r.number, of.pkg, name)
				}
			}
		}
	}
}

func TestWhatGoTestSaysIsRead(t *testing.T) {
	said, passed, figures := follow(strings.NewReader(`{"Action":"output","Test":"TestA","Output":"    a_test.go:7: p99 4 ms\n"}
{"Action":"output","Test":"TestA","Output":"    a_test.go:7: p99 3 ms\n"}
{"Action":"output","Test":"TestB/part","Output":"    a_test.go:9: 2 lost\n"}
{"Action":"output","Test":"TestB/part","Output":"    a_test.go:7: good: it is well again\n"}
{"Action":"output","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Test":"TestA"}
{"Action":"fail","Test":"TestB"}
# a compiler's error`))
	if !maps.Equal(figures, map[string]string{"TestA": "p99 3 ms", "TestB": "2 lost"}) || len(passed) != 1 || passed[0] != "TestA" || !strings.Contains(said, "compiler") {
		t.Errorf("%q %q %q", said, passed, figures)
	}
}

// A signal to the suite left its node running, and the test that had started it.
func TestASignalReachesWhatTheTestsStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", `sh -c 'trap "echo ended; exit" TERM; echo up; for i in $(seq 100); do sleep 0.1; done'`)
	endAll(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "up" {
		t.Fatalf("%q, %v", lines.Text(), lines.Err())
	}
	cancel()
	if !lines.Scan() || lines.Text() != "ended" {
		t.Errorf("what was started said %q, not that it ends", lines.Text())
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a test that was ended has passed")
	}
}

func TestRowsAreChosen(t *testing.T) {
	if got, err := choose("21, 3"); err != nil || len(got) != 2 || got[0].number != 21 {
		t.Errorf("%v %v", got, err)
	}
	for _, wrong := range []string{"0", "x", "3,"} {
		if got, err := choose(wrong); err == nil {
			t.Errorf("%q chose %v", wrong, got)
		}
	}
}

// The short form names what carries the tag, and nothing that carries it is forgotten.
func TestTheShortFormIsWhatMakeTestDoesNotRun(t *testing.T) {
	carries := regexp.MustCompile(`(?m)^//go:build .*\bfaults\b`)
	declares := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	files, err := filepath.Glob("../../*/*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, r := range rows {
		for _, of := range r.tests {
			named = append(named, of.names...)
		}
	}
	found := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declares.FindAllStringSubmatch(string(data), -1) {
			if is := carries.Match(data); is != strings.HasPrefix(m[1], tagged) {
				t.Errorf("%s: %s carries the tag: %v", f, m[1], is)
			} else if is && !slices.Contains(named, m[1]) {
				t.Errorf("%s: no row names %s", f, m[1])
			} else if is {
				found++
			}
		}
	}
	if found < 8 {
		t.Errorf("%d tests carry the tag", found)
	}
	for _, r := range rows {
		for _, of := range r.inShort().tests {
			for _, name := range of.names {
				if !strings.HasPrefix(name, tagged) {
					t.Errorf("%s is in the short form", name)
				}
			}
		}
	}
}
