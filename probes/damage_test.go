package probes

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/bizra/bizra-top/node/settings"
)

// named returns what a pattern names, the newest name last.
func named(t *testing.T, pattern ...string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) == 0 {
		t.Fatalf("nothing is %v (%v)", pattern, err)
	}
	slices.Sort(found)
	return found
}

// overwrite replaces what stands from a share of a file's length on.
func overwrite(t *testing.T, path string, from float64, with []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(with, int64(float64(info.Size())*from)); err != nil {
		t.Fatal(err)
	}
}

// segment returns the last segment of the log that holds anything.
func segment(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range slices.Backward(named(t, dir, "raw/wal/0*")) {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			return name
		}
	}
	t.Fatal("the log is empty")
	return ""
}

// TestDamagedHistoryIsSetAside damages a part of a history each way: it opens, the
// part is set aside and named, and what is whole is still there.
func TestDamagedHistoryIsSetAside(t *testing.T) {
	now := time.Now().Truncate(time.Hour)
	garbage := bytes.Repeat([]byte("\xde\xad"), 4000)
	for _, test := range []struct {
		name     string
		damage   func(t *testing.T, dir string)
		setAside string        // part of its name; empty for nothing
		whole    time.Duration // before now, that is still there
	}{
		{"nothing", func(*testing.T, string) {}, "", 10 * time.Minute},
		{"the end of the log", func(t *testing.T, dir string) {
			overwrite(t, segment(t, dir), 0.9, garbage)
		}, "raw-wal", 40 * time.Minute},
		{"the log, from its middle", func(t *testing.T, dir string) {
			overwrite(t, segment(t, dir), 0.5, garbage)
		}, "raw-wal", 3 * time.Hour},
		{"a record cut off", func(t *testing.T, dir string) {
			name := segment(t, dir)
			info, err := os.Stat(name)
			if err != nil || os.Truncate(name, info.Size()-min(33000, info.Size()/2)) != nil {
				t.Fatal(err)
			}
		}, "raw-wal", 40 * time.Minute},
		{"a block's index", func(t *testing.T, dir string) {
			overwrite(t, named(t, dir, "raw/0*/index")[0], 0, garbage)
		}, "raw-0", 10 * time.Minute},
		{"a block without chunks", func(t *testing.T, dir string) {
			if err := os.RemoveAll(named(t, dir, "raw/0*/chunks")[0]); err != nil {
				t.Fatal(err)
			}
		}, "raw-0", 10 * time.Minute},
		{"a block's description", func(t *testing.T, dir string) {
			if err := os.WriteFile(named(t, dir, "1m/0*/meta.json")[0], []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "1m-0", 10 * time.Minute},
		{"the folder of the log", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "raw/wal")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "raw/wal"), garbage, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "raw", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			h, _, closed := open(t, dir)
			fill(t, h, now.Add(-5*time.Hour), now)
			waitFor(t, "the head has become blocks", func() bool { return len(h.raw().db.Blocks()) > 2 })
			if err := h.thin(t.Context(), now.Add(settleFor)); err != nil {
				t.Fatal(err)
			}
			closed()
			// As after kill -9: there is no snapshot of what was in memory.
			for _, s := range named(t, dir, "raw/chunk_snapshot*") {
				if err := os.RemoveAll(s); err != nil {
					t.Fatal(err)
				}
			}
			test.damage(t, dir)

			h, _, _ = open(t, dir)
			kept, err := os.ReadDir(h.damagedDir())
			if (test.setAside == "") != (len(kept) == 0) {
				t.Fatalf("set aside: %v (%v), %q", kept, err, h.setAside)
			}
			if test.setAside != "" {
				if !strings.Contains(kept[0].Name(), test.setAside) || len(h.setAside) != 1 || !strings.Contains(h.setAside[0], kept[0].Name()) {
					t.Errorf("set aside %q, told %q", kept[0].Name(), h.setAside)
				}
				ctx, cancel := context.WithCancel(t.Context())
				told := make(chan string, 1)
				go h.Run(ctx, func(_, text string) { told <- text })
				if text := <-told; text != h.setAside[0] {
					t.Errorf("told %q", text)
				}
				cancel()
			}
			if test.whole >= 0 {
				if v, ok := one(t, h, `calls_total`, now.Add(-test.whole)); !ok {
					t.Errorf("what was written %s before the end is gone (%v)", test.whole, v)
				}
			}
			a := h.raw().db.AppenderV2(t.Context())
			if err := a.Commit(); err != nil {
				t.Error(err)
			}
			fill(t, h, now.Add(time.Hour), now.Add(70*time.Minute))
			if _, ok := one(t, h, `calls_total`, now.Add(69*time.Minute)); !ok {
				t.Error("nothing can be written any more")
			}
		})
	}
}

// TestOnlySomeDamageIsKept sets aside many parts.
func TestOnlySomeDamageIsKept(t *testing.T) {
	h, _, _ := open(t, t.TempDir())
	for i := range 20 {
		dir := filepath.Join(h.dir, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := h.moveAside(dir, fmt.Sprint("part", i), os.ErrInvalid); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // names have milliseconds
	}
	kept := named(t, h.damagedDir(), "*")
	if len(kept) != maxDamaged || !strings.HasSuffix(kept[len(kept)-1], "part19") {
		t.Errorf("kept %q", kept)
	}
}

// TestHistoryOfAnotherProcess refuses to share a folder.
func TestHistoryOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := OpenHistory(dir, Declare(settings.NewRegistry()), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--state-dir") {
		t.Errorf("a second one opened it: %v", err)
	}
}

// TestSampleUntilKilled is the process that TestHistorySurvivesKill kills.
func TestSampleUntilKilled(t *testing.T) {
	dir := os.Getenv("SAMPLE_UNTIL_KILLED")
	if dir == "" {
		return // it is no test by itself
	}
	h, _, _ := open(t, dir, "history.sample_every", "200ms")
	reg := prometheus.NewRegistry()
	moves := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "moves_total"}, []string{"n"})
	reg.MustRegister(moves)
	for i := range 2000 {
		moves.WithLabelValues(fmt.Sprint(i)).Inc()
	}
	m := NewSampler(h, reg, h.settings, slog.New(slog.DiscardHandler))
	go m.Run(t.Context(), func(_, text string) { fmt.Println(text) })
	for seen := int64(0); ; time.Sleep(time.Millisecond) {
		m.Nudge()
		if last := m.last.Load(); last != seen {
			fmt.Printf("at %d.\n", last)
			seen = last
		}
	}
}

// TestHistorySurvivesKill kills a process again and again while it writes 2,000
// series as fast as they can be: every sample that it had said to be written is
// there, whatever else is torn.
func TestHistorySurvivesKill(t *testing.T) {
	dir := t.TempDir()
	rounds := 6
	if os.Getenv("BIZRA_TEST_LONG") != "" {
		rounds = 100
	}
	var written []string
	for range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSampleUntilKilled$")
		cmd.Env = append(os.Environ(), "SAMPLE_UNTIL_KILLED="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ { // ends when it is killed; a line that was cut ends without \n
			written = append(written, lines.Text())
			if n == 2 {
				time.AfterFunc(rand.N(500*time.Millisecond), func() { _ = cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait() // it was killed
	}
	h, _, _ := open(t, dir)
	samples := 0
	for _, line := range written {
		var at int64
		if _, err := fmt.Sscanf(line, "at %d.", &at); err != nil || !strings.HasSuffix(line, ".") {
			continue // what it said was cut off
		}
		samples++
		if n, ok := one(t, h, `count(moves_total)`, time.UnixMilli(at)); !ok || n != 2000 {
			t.Errorf("of %d, %v of 2000 series are there", at, n)
		}
	}
	if samples < 2*rounds {
		t.Fatalf("only %d samples were taken", samples)
	}
	t.Logf("%d kills, %d samples, all there; set aside: %q", rounds, samples, h.setAside)
}

// TestSamplingStopsBeforeTheDiskIsFull wants more left free than there is, then
// less: sampling stops and goes on, each told once, and what was last seen is not
// shown as if it were now.
func TestSamplingStopsBeforeTheDiskIsFull(t *testing.T) {
	h, set, _ := open(t, t.TempDir(), "history.sample_every", "200ms", "history.min_free", "0")
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector())
	m := NewSampler(h, reg, h.settings, slog.New(slog.DiscardHandler))
	events := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(ctx, func(severity, text string) { events <- severity + ": " + text })
	}()
	seen := func() bool { return len(m.Now(t.Context())["goroutines"]) == 1 }
	waitFor(t, "samples are taken", seen)
	set("history.min_free", "1TiB")
	if text := <-events; !strings.HasPrefix(text, "bad: ") || !strings.Contains(text, "history.min_free") {
		t.Errorf("told %q", text)
	}
	waitFor(t, "panels are empty", func() bool { return !seen() })
	a := ruleAppendable{h}.Appender(t.Context())
	if _, err := a.Append(0, labels.FromStrings(model.MetricNameLabel, "recorded"), time.Now().UnixMilli(), 1); err != nil || a.Commit() != nil {
		t.Errorf("a rule fails to write: %v", err)
	}
	set("history.min_free", "0")
	if text := <-events; !strings.HasPrefix(text, "good: ") {
		t.Errorf("told %q", text)
	}
	waitFor(t, "samples are taken again", seen)
	if v, ok := one(t, h, `recorded`, time.Now()); ok {
		t.Errorf("what a rule wrote meanwhile is there: %v", v)
	}
	cancel()
	<-ended
	if len(events) > 0 {
		t.Errorf("told %q too", <-events)
	}
}
