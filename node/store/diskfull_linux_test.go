package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/smalldisk"
	"github.com/bizra/bizra-top/node/store"
)

// fill writes verdicts of 2 KB, numbered from a number on, until one is refused,
// and returns that one's number and the refusal.
func fill(t *testing.T, l *store.Ledger, from int) (next int, err error) {
	t.Helper()
	for i := from; i < from+5000; i++ {
		if err := l.Write(t.Context(), aged(i, 0, 2000)); err != nil {
			return i, err
		}
	}
	t.Fatal("the disk does not get full")
	return 0, nil
}

func count(t *testing.T, l *store.Ledger, want int) {
	t.Helper()
	if got := len(find(t, l, store.Query{})); got != min(want, store.MaxFind) {
		t.Errorf("%d records, want %d", got, want)
	}
}

// checkRefusal holds that an operator can tell from an error what to do.
func checkRefusal(t *testing.T, err error, mounted bool) {
	t.Helper()
	t.Log(err)
	if mounted && (!errors.Is(err, store.ErrDiskFull) || !strings.Contains(err.Error(), "free space on the disk of the state folder")) ||
		!mounted && !strings.Contains(err.Error(), "the disk of the state folder refuses it") {
		t.Errorf("%v", err)
	}
}

func TestAFullDiskRefusesWritesAndReadsGoOn(t *testing.T) {
	smalldisk.Run(t, 3<<20, func(t *testing.T, dir string, mounted bool, grow func()) {
		path := filepath.Join(dir, "ledger.db")
		l, metrics, _ := openNoting(t, path)
		shut := run(t, l)
		answered, err := fill(t, l, 0)
		checkRefusal(t, err, mounted)
		for range 3 {
			if err := l.Write(t.Context(), aged(9000, 0, 4000)); err == nil {
				t.Fatal("a verdict that needs more room than there is was written")
			}
			count(t, l, answered)
		}
		if !strings.Contains(l.LastError(), "disk") || metric(t, metrics, "bizra_ledger_refused_verdicts_total") != 4 {
			t.Errorf("last error %q, %.0f refused", l.LastError(), metric(t, metrics, "bizra_ledger_refused_verdicts_total"))
		}
		shut()

		// So does a node that starts on a full disk.
		l, _, notes := openNoting(t, path)
		shut = run(t, l)
		count(t, l, answered)
		answered, err = fill(t, l, answered)
		checkRefusal(t, err, mounted)
		grow()
		if err := l.Write(t.Context(), aged(9002, 0, 4000)); err != nil {
			t.Errorf("with room again: %v", err)
		}
		shut()
		if told := fmt.Sprint(notes()); strings.Count(told, "bad:") != 1 || !strings.Contains(told, "good: verdicts can be written again") {
			t.Errorf("told: %s", told)
		}
		l, _, _ = openNoting(t, path)
		run(t, l)
		count(t, l, answered+1)
		t.Logf("%d verdicts in the ledger before its disk was full, and one after it, all there", answered)
	})
}

// openNoting is openKeeping that also returns what was told.
func openNoting(t *testing.T, path string) (*store.Ledger, *prometheus.Registry, func() []string) {
	t.Helper()
	reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	g, s := pool.NewGate(pool.Declare(reg, 2), metrics), store.Declare(reg)
	notes := make(chan string, 100)
	l, err := store.OpenSQLite(t.Context(), s, path, g, metrics, func(severity, text string) { notes <- severity + ": " + text })
	if err != nil {
		t.Fatal(err)
	}
	return l, metrics, func() (all []string) {
		for len(notes) > 0 {
			all = append(all, <-notes)
		}
		return all
	}
}

// PostgreSQL is away and the outbox's disk gets full: a verdict that is nowhere
// on disk is not answered, and the error names both.
func TestAFullOutboxRefusesWrites(t *testing.T) {
	smalldisk.Run(t, 3<<20, func(t *testing.T, dir string, mounted bool, grow func()) {
		reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
		s, bs := pool.Declare(reg, 2), breaker.Declare(reg, "database")
		db, err := pool.OpenPostgres("postgres://u@127.0.0.1:1/db?sslmode=disable", s, pool.NewGate(s, metrics), breaker.New("database", "database", bs, breaker.WithProber()))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		l, err := store.OpenPostgres(context.Background(), store.Declare(reg), db, filepath.Join(dir, "outbox.db"), metrics, told(t))
		if err != nil {
			t.Fatal(err)
		}
		shut := run(t, l)
		answered, err := fill(t, l, 0)
		checkRefusal(t, err, mounted)
		if !strings.Contains(err.Error(), "PostgreSQL") {
			t.Errorf("the error does not say why the outbox was needed: %v", err)
		}
		if l.Outbox() != int64(answered) {
			t.Errorf("%d in the outbox, %d answered", l.Outbox(), answered)
		}
		grow()
		if err := l.Write(t.Context(), aged(9000, 0, 2000)); err != nil {
			t.Errorf("with room again: %v", err)
		}
		shut()
		t.Logf("%d verdicts in the outbox before its disk was full", answered)
	})
}
