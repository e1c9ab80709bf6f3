package probes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/smalldisk"
)

// sampled is a history that is sampled five times a second.
type sampled struct {
	*History
	told chan string
	end  func(want error)
}

func sampleInto(t *testing.T, dir string, before func(*History)) sampled {
	t.Helper()
	r := settings.NewRegistry()
	h, err := OpenHistory(dir, Declare(r), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"history.sample_every": "200ms", "history.min_free": "0"} {
		if _, err := r.Apply([]settings.Change{{Key: key, Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	if before != nil {
		before(h)
	}
	reg := prometheus.NewRegistry()
	m := NewSampler(h, reg, h.settings, slog.New(slog.DiscardHandler))
	s := sampled{History: h, told: make(chan string, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	told := func(severity, text string) { s.told <- severity + ": " + text }
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx, told) })
	wg.Go(func() { h.Run(ctx, told) })
	s.end = func(want error) {
		cancel()
		wg.Wait()
		if err := h.Close(); !errors.Is(err, want) {
			t.Errorf("closed: %v, want %v", err, want)
		}
	}
	return s
}

// hear waits until it is told of something with a text in it.
func (s sampled) hear(t *testing.T, text string) {
	t.Helper()
	for {
		select {
		case heard := <-s.told:
			if strings.Contains(heard, text) {
				return
			}
			t.Logf("told %s", heard)
		case <-time.After(30 * time.Second):
			t.Fatalf("never told of %s", text)
		}
	}
}

// fillChunks writes chunks of 300 series full, which the database then wants to put into
// a file, and enough beside for two blocks.
func fillChunks(t *testing.T, h *History) {
	t.Helper()
	from := time.Now().Add(-2*headSpan - headSpan/2)
	a := h.raw().db.AppenderV2(t.Context())
	for n := range int((2*headSpan + headSpan/2) / time.Second) {
		for i := range 300 {
			l := labels.FromStrings(model.MetricNameLabel, "noise", "series", fmt.Sprint(i))
			if _, err := a.Append(0, l, 0, from.Add(time.Duration(n)*time.Second).UnixMilli(), rand.Float64(), nil, nil, storage.AppendV2Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
}

// rounds waits for some rounds of what a history does beside sampling.
func rounds(t *testing.T, h *History) {
	t.Helper()
	seen := h.blocks.rounds.Load()
	waitFor(t, "rounds go on", func() bool { return h.blocks.rounds.Load() >= seen+3 })
}

// The process died of "next sequence file: too many open files" when its descriptors were
// used up while a chunk was full. It runs in a process of its own, whose limit it lowers.
func TestAHistoryWithoutDescriptorsStopsAndStartsAgain(t *testing.T) {
	const again = "BIZRA_TEST_DESCRIPTORS"
	if os.Getenv(again) == "" {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
		c.Env = append(os.Environ(), again+"=1")
		out, err := c.CombinedOutput()
		t.Logf("in a process of its own:\n%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 256, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	var all []*os.File
	s := sampleInto(t, dir, func(h *History) {
		for {
			f, err := os.Open("/dev/null")
			if errors.Is(err, syscall.EMFILE) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		fillChunks(t, h)
	})
	s.hear(t, "bad: sampling has stopped")
	rounds(t, s.History)
	if _, ok := one(t, s.History, "count(noise)", time.Now().Add(-headSpan)); !ok {
		t.Error("what is there cannot be read")
	}
	if entries, err := filepath.Glob(filepath.Join(dir, "raw", "chunks_head", "0*")); err != nil || len(entries) > 0 {
		t.Errorf("files of chunks while it runs: %v %v", entries, err)
	}
	for _, f := range all {
		_ = f.Close() // it was /dev/null
	}
	s.hear(t, "good: sampling works again")
	waitFor(t, "blocks are written again", func() bool { return len(s.raw().db.Blocks()) > 0 })
	s.end(nil)
	h, _, closed := open(t, dir)
	defer closed()
	if len(h.setAside) > 0 {
		t.Errorf("afterwards: %v", h.setAside)
	}
	if v, ok := one(t, h, "count(noise)", time.Now().Add(-headSpan)); !ok || v != 300 {
		t.Errorf("afterwards there are %v series", v)
	}
}

// fillInodes makes files until the disk has no inodes for more.
func fillInodes(t *testing.T, dir string) {
	t.Helper()
	for i := 0; ; i++ {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// The same of a disk that has no inodes left: a panic too.
func TestAHistoryWithoutInodesStopsAndStartsAgain(t *testing.T) {
	smalldisk.RunInodes(t, 200, func(t *testing.T, dir string, grow func()) {
		history := filepath.Join(dir, "history")
		s := sampleInto(t, history, func(h *History) {
			fillInodes(t, dir)
			fillChunks(t, h)
		})
		s.hear(t, "inodes left")
		rounds(t, s.History)
		s.end(syscall.ENOSPC) // closing writes files as well
		if _, err := OpenHistory(history, s.settings, slog.New(slog.DiscardHandler)); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "inodes left") {
			t.Errorf("opened without inodes: %v", err)
		}
		grow()
		s = sampleInto(t, history, nil)
		waitFor(t, "blocks are written", func() bool { return len(s.raw().db.Blocks()) > 0 })
		if v, ok := one(t, s.History, "count(noise)", time.Now().Add(-headSpan)); !ok || v != 300 {
			t.Errorf("afterwards there are %v series", v)
		}
		s.end(nil)
	})
}

// Blocks that cannot be written for long stop sampling, so that memory has a bound.
func TestSamplesThatCannotBecomeBlocksStopSampling(t *testing.T) {
	h, _, _ := open(t, t.TempDir(), "history.min_free", "0")
	fill(t, h, time.Now().Add(-maxHead-time.Hour), time.Now())
	if err := h.ready(); err != nil && !strings.Contains(err.Error(), "block") {
		t.Errorf("before: %v", err)
	}
	why := errors.New("the disk says no")
	h.blocks.failed.Store(&why)
	head := h.raw().db.Head()
	if err := h.ready(); (head.MaxTime()-head.MinTime() > maxHead.Milliseconds()) != errors.Is(err, why) {
		t.Errorf("%v in memory: %v", time.Duration(head.MaxTime()-head.MinTime())*time.Millisecond, err)
	}
}
