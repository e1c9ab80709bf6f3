//go:build integration

package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/smalldisk"
	"github.com/bizra/bizra-top/node/store"
)

// PostgreSQL's disk gets full (SQLSTATE 53100): verdicts are answered from the
// outbox, the reason is told, the ledger can be read all the time, and with room
// again everything is in PostgreSQL once. The table is in a tablespace on the
// small disk; where a test cannot mount, a trigger raises the same error.
func TestAFullDiskOfPostgres(t *testing.T) {
	smalldisk.Run(t, 24<<20, func(t *testing.T, dir string, mounted bool, grow func()) {
		s := newServer(t)
		dsn := s.dsn()
		if mounted {
			s.own(dir)
			execute(t, dsn, fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", dir))
			execute(t, dsn, "CREATE DATABASE small TABLESPACE small")
			dsn = strings.Replace(dsn, "/postgres?", "/small?", 1)
		} else {
			t.Log("no small disk: the error is raised by a trigger")
		}
		l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
		find(t, l, store.Query{}) // migrates
		if !mounted {
			execute(t, dsn, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`)
			execute(t, dsn, "CREATE TRIGGER full_disk BEFORE INSERT ON verdicts EXECUTE FUNCTION full_disk()")
			grow = func() { execute(t, dsn, "DROP TRIGGER full_disk ON verdicts") }
		}
		written := 0
		for ; l.Outbox() == 0; written += 20 {
			if written > 20_000 {
				t.Fatal("the disk does not get full")
			}
			writeBig(t, l, written, written+20)
		}
		before := written
		for range 30 { // more failures than open a breaker
			writeBig(t, l, written, written+20)
			written += 20
			if got := find(t, l, store.Query{Limit: 1}); len(got) != 1 || got[0].ID != record(written-1).ID {
				t.Fatalf("the newest verdict is not found: %+v", got)
			}
		}
		if l.Outbox() < 300 {
			t.Errorf("%d in the outbox", l.Outbox())
		}
		grow()
		shipped(t, l)
		var there int
		scan(t, dsn, "SELECT count(*) FROM verdicts", &there)
		if there != written {
			t.Errorf("%d of %d verdicts in PostgreSQL", there, written)
		}
		t.Logf("%d verdicts, %d of them before PostgreSQL's disk was full, all there after it", there, before)
	})
}

// writeBig writes records with bodies that PostgreSQL cannot compress away.
func writeBig(t *testing.T, l *store.Ledger, from, to int) {
	t.Helper()
	var records []store.Record
	for i := from; i < to; i++ {
		r := record(i)
		var body strings.Builder
		for n := range 300 {
			fmt.Fprintf(&body, "%x", i*2654435761+n*n*40503)
		}
		r.Body = fmt.Appendf(nil, `{"pad":"%s"}`, body.String())
		records = append(records, r)
	}
	writeAll(t, l, records)
}
