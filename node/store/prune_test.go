package store_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
)

// aged is a record as it would be after age, with a body of size bytes.
func aged(i int, age time.Duration, size int) store.Record {
	r := record(i)
	r.At, r.Body = time.Now().Add(-age), []byte(`{"pad":"`+strings.Repeat("x", size)+`"}`)
	return r
}

func writeAll(t *testing.T, l *store.Ledger, records []store.Record) {
	t.Helper()
	errs := make(chan error)
	for _, r := range records {
		go func() { errs <- l.Write(t.Context(), r) }()
	}
	for range records {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// metric returns a counter or gauge by name, or how often a histogram observed.
func metric(t *testing.T, metrics *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.Metric[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// What is older than the retention goes, in several batches, and what is younger
// stays; the space goes back to the disk.
func TestOldVerdictsAreDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, shut := open(t, path)
	var records []store.Record
	for i := range 1300 {
		records = append(records, aged(i, 2*time.Hour+time.Duration(i)*time.Second, 4000))
	}
	young := []store.Record{aged(5000, time.Minute, 10), aged(5001, 30*time.Minute, 10)}
	writeAll(t, l, append(records, young...))
	shut()
	before := size(t, path)

	l, metrics := openKeeping(t, path, "1h")
	shut = run(t, l)
	eventually(t, "old verdicts are deleted", func() bool { return len(find(t, l, store.Query{Limit: 3})) == 2 })
	eventually(t, "the oldest is known", func() bool { return metric(t, metrics, "bizra_ledger_oldest_verdict_timestamp_seconds") > 0 })
	if got, want := metric(t, metrics, "bizra_ledger_oldest_verdict_timestamp_seconds"), float64(young[1].At.UnixMicro())/1e6; got != want {
		t.Errorf("the oldest is of %f, want %f", got, want)
	}
	if n := metric(t, metrics, "bizra_ledger_pruned_verdicts_total"); n != 1300 {
		t.Errorf("%.0f counted as deleted", n)
	}
	if n := testutil.CollectAndCount(metrics, "bizra_ledger_prune_seconds"); n != 1 {
		t.Error("no histogram of batches")
	}
	eventually(t, "space is given back", func() bool { return size(t, path) < before/2 })
	shut()
}

// A file made before free pages could be given back is pruned all the same.
func TestAFileWithoutAutoVacuumIsPruned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE before (x); DROP TABLE before"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	l, shut := open(t, path)
	var records []store.Record
	for i := range 600 {
		records = append(records, aged(i, 2*time.Hour, 4000))
	}
	writeAll(t, l, records)
	shut()
	l, metrics := openKeeping(t, path, "1h")
	run(t, l)
	eventually(t, "old verdicts are deleted", func() bool { return metric(t, metrics, "bizra_ledger_pruned_verdicts_total") == 600 })
	// It does not try for ever to give back what it cannot: the file comes to rest.
	eventually(t, "rest", func() bool {
		uses := metric(t, metrics, "bizra_db_pool_query_seconds")
		time.Sleep(200 * time.Millisecond)
		return uses == metric(t, metrics, "bizra_db_pool_query_seconds")
	})
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// A shorter retention acts when it has stood for ten minutes: a slip that is
// taken back deletes nothing.
func TestAChangedRetentionActsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
		g, s := pool.NewGate(pool.Declare(reg, 2), metrics), store.Declare(reg)
		l, err := store.OpenSQLite(t.Context(), s, filepath.Join(t.TempDir(), "ledger.db"), g, metrics, told(t))
		if err != nil {
			t.Fatal(err)
		}
		shut := run(t, l)
		writeAll(t, l, []store.Record{aged(1, 2*time.Hour, 1), aged(2, 0, 1)})
		here := func(after time.Duration, want int) {
			t.Helper()
			time.Sleep(after)
			if got := find(t, l, store.Query{}); len(got) != want {
				t.Fatalf("%d records, want %d", len(got), want)
			}
		}
		here(5*time.Minute, 2)
		keep(t, reg, "1h")
		here(9*time.Minute, 2)
		keep(t, reg, "90d") // taken back in time
		here(30*time.Minute, 2)
		keep(t, reg, "1h")
		here(12*time.Minute, 1)
		shut()
	})
}

func TestRetentionIsZeroOrAnHour(t *testing.T) {
	reg := settings.NewRegistry()
	store.Declare(reg)
	for value, ok := range map[string]bool{"0s": true, "1h": true, "90d": true, "59m": false, "1s": false, "-1h": false} {
		if _, err := reg.Apply([]settings.Change{{Key: "store.retention", Value: value}}); (err == nil) != ok {
			t.Errorf("%s: %v", value, err)
		}
	}
}
