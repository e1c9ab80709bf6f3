//go:build integration

package store_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizra/bizra-top/node/store"
)

// behindPgBouncer is a database as PgBouncer in transaction mode gives it out.
func behindPgBouncer(t *testing.T, dsn string) string {
	t.Helper()
	at := os.Getenv("BIZRA_TEST_PGBOUNCER")
	if at == "" {
		t.Fatal("BIZRA_TEST_PGBOUNCER is not set: run `make test`, which starts a private PgBouncer")
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = at
	return u.String()
}

// Two nodes behind one PgBouncer in transaction mode, which gives each transaction another
// of two sessions, migrate an empty database, write and read at once. Half of the reads
// failed with 42P05 ("prepared statement already exists"), and writes went to the outbox.
func TestTheLedgerWorksBehindPgBouncer(t *testing.T) {
	dsn := behindPgBouncer(t, database(t))
	dir := t.TempDir()
	first := openPostgres(t, dsn, filepath.Join(dir, "first.db"))
	second := openPostgres(t, dsn, filepath.Join(dir, "second.db"))
	const writers, each = 8, 60
	var wg sync.WaitGroup
	var reads, failed, waited atomic.Int64
	for w := range writers {
		l := []*store.Ledger{first, second}[w%2]
		wg.Go(func() {
			for i := range each {
				if err := l.Write(t.Context(), record(w*each+i)); err != nil {
					t.Error(err)
				}
				waited.Store(max(waited.Load(), l.Outbox()))
			}
		})
	}
	for _, l := range []*store.Ledger{first, second, first, second} {
		wg.Go(func() {
			for i := range 150 {
				reads.Add(1)
				if _, err := l.Find(t.Context(), store.Query{Subject: fmt.Sprintf("0x%d", i%7), Limit: 10}); err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	shipped(t, first)
	shipped(t, second)
	if n := len(find(t, first, store.Query{})); n != writers*each {
		t.Errorf("%d of %d verdicts", n, writers*each)
	}
	t.Logf("%d of %d reads failed; at most %d verdicts waited in an outbox", failed.Load(), reads.Load(), waited.Load())
}

// Old verdicts are deleted there as well.
func TestPruningBehindPgBouncer(t *testing.T) {
	dsn := behindPgBouncer(t, database(t))
	l := openPostgresKeeping(t, dsn, filepath.Join(t.TempDir(), "outbox.db"), "1h")
	writeAll(t, l, []store.Record{aged(1, 0, 10), aged(2, 0, 10)})
	shipped(t, l)
	if n := len(find(t, l, store.Query{})); n != 2 {
		t.Errorf("%d verdicts", n)
	}
}
