package audit_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/smalldisk"
)

const waiting = "bizra_audit_waiting_entries"

// value returns what the trail says of itself.
func value(t *testing.T, l *audit.Log, name string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(l)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// eventuallyWritten waits until no entry waits for the disk, and returns for how long.
func eventuallyWritten(t *testing.T, l *audit.Log) time.Duration {
	t.Helper()
	began := time.Now()
	for value(t, l, waiting) > 0 {
		if time.Since(began) > 2*time.Second {
			t.Fatalf("%v entries still wait", value(t, l, waiting))
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// More entries come than may wait: the oldest are kept, and the trail tells how many are
// lost, at the end or once it goes on.
func TestEntriesThatCannotWaitAreCounted(t *testing.T) {
	const entries = 6000
	overflow := func(t *testing.T, path string) (*audit.Log, int) {
		l, err := audit.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			_ = l.Add(audit.Entry{Verb: "change", By: fmt.Sprint(i), Reason: strings.Repeat("r", 500)})
		}
		kept, err := l.Read(entries, nil)
		if n := len(kept); err != nil || n < 1000 || n > 2500 || kept[n-1].By != "0" || kept[0].By != fmt.Sprint(n-1) {
			t.Errorf("%d entries are kept (%v)", n, err)
		}
		return l, len(kept)
	}
	t.Run("at the end", func(t *testing.T) {
		smalldisk.Run(t, 128<<10, func(t *testing.T, dir string, mounted bool, _ func()) {
			l, kept := overflow(t, filepath.Join(dir, "audit.jsonl"))
			waited := int(value(t, l, waiting))
			err := l.Close()
			if err == nil || mounted && !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), fmt.Sprintf("%d entries are lost", entries-kept+waited)) {
				t.Errorf("%v, %d were kept, %d of them waited", err, kept, waited)
			}
		})
	})
	t.Run("with room again", func(t *testing.T) {
		smalldisk.Run(t, 128<<10, func(t *testing.T, dir string, _ bool, grow func()) {
			l, kept := overflow(t, filepath.Join(dir, "audit.jsonl"))
			defer l.Close()
			grow()
			eventuallyWritten(t, l)
			if lost := value(t, l, "bizra_audit_lost_entries_total"); lost != float64(entries-kept) {
				t.Errorf("%v entries are lost, %d were kept", lost, kept)
			}
			read, err := l.Read(entries, nil)
			if err != nil || len(read) != kept+1 {
				t.Fatalf("%d entries, %d were kept: %v", len(read), kept, err)
			}
			if e, want := read[0], fmt.Sprintf("%d entries before this one are lost", entries-kept); e.Verb != "trail" || e.Seq != entries+1 || !strings.Contains(e.Reason, want) {
				t.Errorf("%+v, want %s", e, want)
			}
		})
	})
}

// The disk gets full while entries are written: those that it refuses can be read, are
// written by themselves within two seconds after it has room, and nothing is lost or there
// twice, also for who opens the trail afterwards.
func TestTheTrailGoesOnAfterAFullDisk(t *testing.T) {
	smalldisk.Run(t, 256<<10, func(t *testing.T, dir string, mounted bool, grow func()) {
		path := filepath.Join(dir, "audit.jsonl")
		told := make(chan string, 100)
		l, err := audit.Open(path, func(severity, text string) { told <- severity + ": " + text })
		if err != nil {
			t.Fatal(err)
		}
		add := func() error {
			return l.Add(audit.Entry{Verb: "change", Outcome: "done", Subject: "pool.limit", Reason: strings.Repeat("r", 300)})
		}
		entries := 0
		for err == nil {
			if entries++; entries > 5000 {
				t.Fatal("the disk does not get full")
			}
			err = add()
		}
		if n := value(t, l, waiting); mounted && !errors.Is(err, syscall.ENOSPC) || n != 1 {
			t.Errorf("%v, %v entries wait", err, n)
		}
		for range 500 {
			entries++
			if err := add(); err == nil {
				t.Fatal("an entry was written on a full disk")
			}
		}
		whole := func(when string, read []audit.Entry, err error) {
			t.Helper()
			if err != nil || len(read) != entries {
				t.Fatalf("%s: %d of %d entries: %v", when, len(read), entries, err)
			}
			for i, e := range read {
				if want := uint64(entries - i); e.Seq != want {
					t.Fatalf("%s: entry %d has the number %d, not %d", when, i, e.Seq, want)
				}
			}
		}
		read, err := l.Read(10_000, nil)
		whole("full", read, err)
		grow()
		took := eventuallyWritten(t, l)
		read, err = audit.Read(path, 10_000, nil)
		whole("with room again", read, err)
		entries++
		if err := add(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		l, err = audit.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		read, err = l.Read(10_000, nil)
		whole("opened again", read, err)
		if bad, good := <-told, <-told; !strings.HasPrefix(bad, "bad: the audit trail waits in memory: ") || good != "good: the audit trail goes on, with what waited" || len(told) > 0 {
			t.Errorf("told %q, %q and %d more", bad, good, len(told))
		}
		t.Logf("%d entries, 501 of them while the disk was full, all there %s after it had room", entries, took.Round(time.Millisecond))
	})
}
