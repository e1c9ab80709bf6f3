package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a running ledger in a file, and how to close it.
func open(t *testing.T, path string) (*store.Ledger, func()) {
	t.Helper()
	l, _ := openKeeping(t, path, "0s")
	return l, run(t, l)
}

// openKeeping returns a ledger in a file that forgets what is older than
// retention, not running yet, and its metrics.
func openKeeping(t *testing.T, path, retention string) (*store.Ledger, *prometheus.Registry) {
	t.Helper()
	reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	g, s := pool.NewGate(pool.Declare(reg, 2), metrics), store.Declare(reg)
	keep(t, reg, retention)
	l, err := store.OpenSQLite(t.Context(), s, path, g, metrics, told(t))
	if err != nil {
		t.Fatal(err)
	}
	return l, metrics
}

func keep(t *testing.T, reg *settings.Registry, retention string) {
	t.Helper()
	if _, err := reg.Apply([]settings.Change{{Key: "store.retention", Value: retention}}); err != nil {
		t.Fatal(err)
	}
}

// told writes what an operator would be told to the test's log.
func told(t *testing.T) func(severity, text string) {
	return func(severity, text string) { t.Log(severity+":", text) }
}

// run lets a ledger work until the returned function is called.
func run(t *testing.T, l *store.Ledger) (shut func()) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(l.Run)
	var once sync.Once
	shut = func() {
		once.Do(func() {
			l.Stop()
			wg.Wait()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(shut)
	return shut
}

func record(i int) store.Record {
	outcome := "valid"
	if i%10 == 0 {
		outcome = "invalid"
	}
	return store.Record{ID: fmt.Sprintf("id-%06d", i), Kind: "transaction", Subject: fmt.Sprintf("0x%d", i%7), Outcome: outcome,
		ChainID: 1337, At: time.Unix(1_800_000_000+int64(i), 0), Body: fmt.Appendf(nil, `{"n": %d}`, i)}
}

func write(t *testing.T, l *store.Ledger, from, to int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := from; i < to; i++ {
		wg.Go(func() {
			if err := l.Write(t.Context(), record(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func find(t *testing.T, l *store.Ledger, q store.Query) []store.Record {
	t.Helper()
	records, err := l.Find(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestWhatWasWrittenIsThereAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, shut := open(t, path)
	write(t, l, 0, 500)
	shut()
	l, _ = open(t, path)
	if got := find(t, l, store.Query{}); len(got) != 500 {
		t.Fatalf("%d records", len(got))
	}
}

func TestFind(t *testing.T) {
	l, _ := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	write(t, l, 0, 100)
	for _, c := range []struct {
		name  string
		query store.Query
		want  int
		first string
	}{
		{"all, newest first", store.Query{}, 100, "id-000099"},
		{"limit", store.Query{Limit: 3}, 3, "id-000099"},
		{"subject", store.Query{Subject: "0x3"}, 14, "id-000094"},
		{"outcome", store.Query{Outcome: "invalid"}, 10, "id-000090"},
		{"kind", store.Query{Kind: "block"}, 0, ""},
		{"span", store.Query{Since: time.Unix(1_800_000_010, 0), Until: time.Unix(1_800_000_020, 0)}, 10, "id-000019"},
		{"hostile", store.Query{Subject: "' OR 1=1 --"}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := find(t, l, c.query)
			if len(got) != c.want || (c.want > 0 && got[0].ID != c.first) {
				t.Fatalf("%d records, want %d from %s", len(got), c.want, c.first)
			}
		})
	}
	if r := find(t, l, store.Query{Limit: 1})[0]; string(r.Body) != `{"n": 99}` || !r.At.Equal(record(99).At) || r.ChainID != 1337 {
		t.Fatalf("%+v", r)
	}
}

func TestAKnownIdIsNotStoredAgain(t *testing.T) {
	l, _ := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	for range 3 {
		write(t, l, 0, 5)
	}
	if got := find(t, l, store.Query{}); len(got) != 5 {
		t.Fatalf("%d records", len(got))
	}
}

func TestWritersAfterTheEndAreRefused(t *testing.T) {
	l, shut := open(t, filepath.Join(t.TempDir(), "ledger.db"))
	shut()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := l.Write(ctx, record(1)); !errors.Is(err, store.ErrClosed) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
