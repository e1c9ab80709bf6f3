package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
)

// notes keeps what an operator was told.
type notes struct {
	mu  sync.Mutex
	all []string
}

func (n *notes) tell(severity, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, severity+": "+text)
}

func (n *notes) has(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(strings.Join(n.all, "\n"), text)
}

// openTelling returns a ledger in a file that does not run yet.
func openTelling(t *testing.T, path string) (*store.Ledger, *prometheus.Registry, *notes, error) {
	t.Helper()
	reg, metrics, n := settings.NewRegistry(), prometheus.NewRegistry(), &notes{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := store.OpenSQLite(ctx, store.Declare(reg), path, pool.NewGate(pool.Declare(reg, 2), metrics), metrics, n.tell)
	return l, metrics, n, err
}

// renewed is the count of files made anew for a reason.
func renewed(t *testing.T, metrics *prometheus.Registry, reason string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "bizra_ledger_files_renewed_total" {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == reason {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Fatal("no metric")
	return 0
}

// A ledger that is damaged is set aside under a name with the time in it, and the node
// starts with a new one.
func TestADamagedLedgerIsSetAside(t *testing.T) {
	write := func(path string, from float64, data []byte) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		_, err = f.WriteAt(data, int64(float64(info.Size())*from))
		return errors.Join(err, f.Close())
	}
	garbage := []byte(strings.Repeat("\xde\xad\xbe\xef", 3000))
	for name, damage := range map[string]func(path string) error{
		"text in its place": func(path string) error { return os.WriteFile(path, []byte("no database"), 0o600) },
		"its head":          func(path string) error { return write(path, 0, garbage[:200]) },
		"its middle":        func(path string) error { return write(path, 0.4, garbage) },
		"cut off":           func(path string) error { info, _ := os.Stat(path); return os.Truncate(path, info.Size()/2) },
		"another database":  func(path string) error { return otherDatabase(path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "ledger.db")
			l, shut := open(t, path)
			for i := range 400 {
				write := record(i)
				if err := l.Write(t.Context(), write); err != nil {
					t.Fatal(err)
				}
			}
			shut()
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			l, metrics, n, err := openTelling(t, path)
			if err != nil {
				t.Fatal(err)
			}
			shut = run(t, l)
			if err := l.Write(t.Context(), record(1000)); err != nil {
				t.Error(err)
			}
			if got := len(find(t, l, store.Query{})); got != 1 {
				t.Errorf("%d records in the new ledger", got)
			}
			aside, err := filepath.Glob(path + ".damaged-2*Z")
			if err != nil || len(aside) != 1 || !n.has("bad: "+path+" was damaged") || !n.has(aside[0]) || renewed(t, metrics, "damaged") != 1 {
				t.Errorf("set aside as %v (%v), told %v", aside, err, n.all)
			}
			shut()
			l, _, n, err = openTelling(t, path)
			if err != nil || len(n.all) > 0 {
				t.Errorf("opened again: %v, %v", err, n.all)
			}
			run(t, l)
		})
	}
}

// What is wrong with the host is no damage: nothing is set aside.
func TestWhatCannotBeOpenedIsNotDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := openTelling(t, path); !errors.Is(err, files.ErrNotRegular) || !strings.Contains(err.Error(), path+" is a named pipe") {
		t.Errorf("%v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path+"-wal", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := openTelling(t, path); !errors.Is(err, files.ErrNotRegular) {
		t.Errorf("the log: %v", err)
	}
	aside, err := filepath.Glob(path + "*damaged*")
	if err != nil || len(aside) > 0 {
		t.Errorf("%v %v", aside, err)
	}
}

// The folder, or a file of the ledger alone, is removed while verdicts are written: what
// was acknowledged is there after a restart, each once, and it is said.
func TestAcknowledgedVerdictsOutliveTheirFiles(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"the folder":        os.RemoveAll,
		"the folder, moved": func(dir string) error { return os.Rename(dir, dir+"-elsewhere") },
		"the file":          func(dir string) error { return os.Remove(filepath.Join(dir, "ledger.db")) },
		"the log":           func(dir string) error { return os.Remove(filepath.Join(dir, "ledger.db-wal")) },
		"replaced by an older copy": func(dir string) error {
			path := filepath.Join(dir, "ledger.db")
			data, err := os.ReadFile(path)
			return errors.Join(err, os.Remove(path), os.WriteFile(path, data, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			path := filepath.Join(dir, "ledger.db")
			l, metrics, n, err := openTelling(t, path)
			if err != nil {
				t.Fatal(err)
			}
			shut := run(t, l)
			acknowledged := 0
			write := func() {
				t.Helper()
				if err := l.Write(t.Context(), record(acknowledged)); err != nil {
					t.Fatal(err)
				}
				acknowledged++
			}
			for range 200 {
				write()
			}
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			for range 200 {
				write()
			}
			if got := len(find(t, l, store.Query{})); got != acknowledged {
				t.Errorf("%d of %d while it runs", got, acknowledged)
			}
			if renewed(t, metrics, "removed") != 1 || !n.has("while it was in use: it is made anew, with every verdict it held") {
				t.Errorf("told %v", n.all)
			}
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the folder: %v %v", info, err)
			}
			shut()
			l, _, _, err = openTelling(t, path)
			if err != nil {
				t.Fatal(err)
			}
			run(t, l)
			if got := len(find(t, l, store.Query{})); got != acknowledged {
				t.Errorf("%d of %d after a restart", got, acknowledged)
			}
		})
	}
}

// Also while nobody writes it is noticed, within about a second.
func TestRemovedFilesAreNoticedWithoutWrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "ledger.db")
	l, _, n, err := openTelling(t, path)
	if err != nil {
		t.Fatal(err)
	}
	run(t, l)
	if err := l.Write(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, "it is there again", func() bool { _, err := os.Stat(path); return err == nil })
	eventually(t, "it is told", func() bool { return n.has("made anew") })
	t.Logf("there again after %s", time.Since(began).Round(time.Millisecond))
	if got := len(find(t, l, store.Query{})); got != 1 {
		t.Errorf("%d records", got)
	}
}

// Where the files cannot be made anew no verdict is acknowledged, and health says so.
func TestVerdictsAreRefusedWhileTheirFilesCannotBeMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, _, n, err := openTelling(t, filepath.Join(dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, l)
	if err := errors.Join(l.Write(t.Context(), record(1)), os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), record(2)); err == nil || !strings.Contains(err.Error(), "is a file") {
		t.Errorf("%v", err)
	}
	if l.LastError() == "" {
		t.Error("health does not know")
	}
	eventually(t, "it is told", func() bool { return n.has("cannot be made anew") })
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), record(3)); err != nil {
		t.Errorf("with a place for them: %v", err)
	}
	if got := len(find(t, l, store.Query{})); got < 2 {
		t.Errorf("%d records", got)
	}
}

// No file of the ledger can be read by others, whatever the umask is and whatever an
// earlier version left.
func TestTheLedgerIsClosedToOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	_, shut := open(t, path)
	shut()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, path)
	if err := l.Write(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != fs.FileMode(0o600) {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// More queries at once than may run are refused in a second, and verdicts are written
// meanwhile.
func TestQueriesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, _ := open(t, path)
	if err := l.Write(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	release := l.HoldQueries()
	if _, err := l.Find(t.Context(), store.Query{}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("%v", err)
	}
	if err := l.Write(t.Context(), record(2)); err != nil {
		t.Error(err)
	}
	release()
	if got := len(find(t, l, store.Query{})); got != 2 {
		t.Errorf("%d records", got)
	}
}

// A path with characters that mean something in an address.
func TestALedgerInAFolderWithAStrangeName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%20?c#d[1]")
	path := filepath.Join(dir, "ledger.db")
	l, shut := open(t, path)
	if err := l.Write(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	shut()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", fmt.Sprint(entries), err)
	}
}
