//go:build integration

package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
)

// openTellingPostgres is openPostgres that keeps what was told.
func openTellingPostgres(t *testing.T, dsn string) (*store.Ledger, *prometheus.Registry, *notes) {
	t.Helper()
	reg, metrics, n := settings.NewRegistry(), prometheus.NewRegistry(), &notes{}
	s, bs := pool.Declare(reg, 2), breaker.Declare(reg, "database")
	db, err := pool.OpenPostgres(dsn, s, pool.NewGate(s, metrics), breaker.New("database", "database", bs, breaker.WithProber()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	l, err := store.OpenPostgres(t.Context(), store.Declare(reg), db, filepath.Join(t.TempDir(), "outbox.db"), metrics, n.tell)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { db.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	run(t, l)
	return l, metrics, n
}

// A verdict that PostgreSQL refuses for what it says, between others: the others are in
// PostgreSQL, it stays in the outbox, can be read, and it is said which it is and why.
func TestARefusedVerdictBlocksNothingBehindIt(t *testing.T) {
	for name, spoil := range map[string]func(*store.Record){
		"a NUL in its JSON":       func(r *store.Record) { r.Body = []byte(`{"n": "\u0000"}`) },
		"no JSON":                 func(r *store.Record) { r.Body = []byte(`{`) },
		"bytes that are no UTF-8": func(r *store.Record) { r.Kind = "a\xffb" },
		"a NUL":                   func(r *store.Record) { r.Outcome = "a\x00b" },
		"too long for an index":   func(r *store.Record) { r.Subject = strings.Repeat(fmt.Sprint(time.Now().UnixNano()), 100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			dsn := database(t)
			l, metrics, n := openTellingPostgres(t, dsn)
			write(t, l, 0, 1)
			bad := record(5)
			spoil(&bad)
			records := []store.Record{record(3), record(4), bad, record(6), record(7)}
			writeAll(t, l, records)
			shipped(t, l)
			write(t, l, 8, 11)
			shipped(t, l)
			var there int
			scan(t, dsn, "SELECT count(*) FROM verdicts", &there)
			if there != 1+4+3 {
				t.Errorf("%d verdicts are in PostgreSQL", there)
			}
			all := find(t, l, store.Query{})
			if len(all) != 1+5+3 {
				t.Errorf("%d verdicts can be read", len(all))
			}
			if !n.has("refuses the verdict id-000005") || metric(t, metrics, "bizra_ledger_outbox_refused_verdicts") != 1 || metric(t, metrics, "bizra_ledger_outbox_verdicts") != 0 {
				t.Errorf("told %v", n.all)
			}
			if w := l.Writes(); w.Error != "" {
				t.Errorf("one bad verdict is no bad database: %+v", w)
			}
		})
	}
}

// The count of what waits is never negative, also while records are shipped as they come.
func TestTheCountOfWaitingVerdictsIsNeverNegative(t *testing.T) {
	dsn := database(t)
	l, metrics, _ := openTellingPostgres(t, dsn)
	write(t, l, 0, 1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if w := metric(t, metrics, "bizra_ledger_outbox_verdicts"); w < 0 || l.Outbox() < 0 {
				t.Errorf("%v wait", w)
				return
			}
		}
	})
	for round := range 6 {
		bad := record(1000 + round)
		bad.Body = []byte(`{`) // the whole group goes to the outbox, and is shipped at once
		records := []store.Record{bad}
		for i := range 40 {
			records = append(records, record(2000+40*round+i))
		}
		writeAll(t, l, records)
	}
	shipped(t, l)
	close(stop)
	wg.Wait()
	if n := len(find(t, l, store.Query{})); n != 1+6*41 {
		t.Errorf("%d verdicts", n)
	}
}

// What is wrong with statements is known without a client's statement, with why.
func TestStatementsThatFailAreKnown(t *testing.T) {
	for _, test := range []struct {
		name, do, undo string
		text           string
		reads, writes  bool
	}{
		{"a read-only role", "ALTER ROLE ROLE_NAME SET default_transaction_read_only = on", "ALTER ROLE ROLE_NAME RESET default_transaction_read_only", "read-only transaction", false, true},
		{"a read-only database", "ALTER DATABASE DATABASE_NAME SET default_transaction_read_only = on", "ALTER DATABASE DATABASE_NAME RESET default_transaction_read_only", "read-only transaction", false, true},
		{"no right to write", "REVOKE INSERT ON verdicts FROM ROLE_NAME", "GRANT INSERT ON verdicts TO ROLE_NAME", "permission denied", false, true},
		{"no right to read", "REVOKE SELECT ON verdicts FROM ROLE_NAME", "GRANT SELECT ON verdicts TO ROLE_NAME", "permission denied", true, true},
		{"no table", "ALTER TABLE verdicts RENAME TO hidden", "ALTER TABLE hidden RENAME TO verdicts", "does not exist", true, true},
		{"another column", "ALTER TABLE verdicts RENAME COLUMN subject TO about", "ALTER TABLE verdicts RENAME COLUMN about TO subject", "does not exist", true, true},
		{"a millisecond", "ALTER ROLE ROLE_NAME SET statement_timeout = '1ms'", "ALTER ROLE ROLE_NAME RESET statement_timeout", "statement", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dsn, role := database(t), fmt.Sprintf("role_%d", time.Now().UnixNano())
			config, err := pgx.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			names := strings.NewReplacer("DATABASE_NAME", config.Database, "ROLE_NAME", role)
			execute(t, dsn, "CREATE ROLE "+role+" LOGIN; GRANT ALL ON SCHEMA public TO "+role)
			own := strings.Replace(dsn, config.User+"@", role+"@", 1)
			l, _, n := openTellingPostgres(t, own)
			write(t, l, 0, 1)
			shipped(t, l)
			if r, w := l.Reads(), l.Writes(); r.Error != "" || w.Error != "" || w.LastSuccess.IsZero() {
				t.Fatalf("before: %+v %+v", r, w)
			}
			execute(t, dsn, "ALTER TABLE verdicts OWNER TO "+config.User+"; GRANT ALL ON verdicts TO "+role)
			execute(t, dsn, names.Replace(test.do))
			// Settings of a role are those of sessions that begin after it.
			execute(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
			eventually(t, "it is known", func() bool {
				r, w := l.Reads(), l.Writes()
				return (w.Refused && strings.Contains(w.Error, test.text)) == test.writes && (r.Refused && strings.Contains(r.Error, test.text)) == test.reads
			})
			eventually(t, "it is told", func() bool { return n.has("PostgreSQL is there, and the ledger cannot be written") })
			write(t, l, 1, 1) // into the outbox
			execute(t, dsn, "BEGIN READ WRITE; "+names.Replace(test.undo)+"; COMMIT")
			execute(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
			eventually(t, "it is known to be over", func() bool { return l.Reads().Error == "" && l.Writes().Error == "" })
			shipped(t, l)
		})
	}
}

// A migration that takes longer than a caller waits is not cut off with the caller: the
// verdict is in the outbox, and the migration ends.
func TestAMigrationOutlivesItsCaller(t *testing.T) {
	dsn := database(t)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The migration waits for this to end.
	if _, err := tx.Exec(t.Context(), "CREATE TABLE verdicts (id text)"); err != nil {
		t.Fatal(err)
	}
	l, _, _ := openTellingPostgres(t, dsn)
	if err := l.Write(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	if l.Outbox() != 1 {
		t.Errorf("%d in the outbox", l.Outbox())
	}
	limited, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Find(limited, store.Query{}); err == nil || !strings.Contains(err.Error(), "brought up to date") {
		t.Errorf("%v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	shipped(t, l)
	if n := len(find(t, l, store.Query{})); n != 1 {
		t.Errorf("%d verdicts", n)
	}
}
