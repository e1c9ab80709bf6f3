//go:build integration

package store_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/bizra/bizra-top/node/store"
)

// Several nodes that start on one empty database at once: one migrates it, the others wait.
// They used to try as well and failed ("relation verdicts already exists"), with them the
// reads of their clients.
func TestSeveralNodesMigrateAnEmptyDatabaseAtOnce(t *testing.T) {
	for range 5 {
		dsn, dir := database(t), t.TempDir()
		var nodes sync.WaitGroup
		for i := range 6 {
			l := openPostgres(t, dsn, filepath.Join(dir, fmt.Sprintf("outbox%d.db", i)))
			nodes.Go(func() {
				if _, err := l.Find(t.Context(), store.Query{Limit: 1}); err != nil {
					t.Errorf("node %d: %v", i, err)
				}
				if err := l.Write(t.Context(), record(i)); err != nil {
					t.Errorf("node %d: %v", i, err)
				}
			})
		}
		nodes.Wait()
		if t.Failed() {
			return
		}
	}
}

// A role that may not create tables uses tables that somebody else has made.
func TestARoleThatMayNotCreateTablesUsesAMigratedDatabase(t *testing.T) {
	s, dir := newServer(t), t.TempDir()
	write(t, openPostgres(t, s.dsn(), filepath.Join(dir, "owner.db")), 0, 1)
	execute(t, s.dsn(), "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE writer LOGIN; "+
		"GRANT SELECT, INSERT, DELETE ON verdicts TO writer; GRANT SELECT ON goose_db_version TO writer")
	u, err := url.Parse(s.dsn())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User("writer")
	l := openPostgres(t, u.String(), filepath.Join(dir, "writer.db"))
	shipped(t, l)
	if err := l.Write(t.Context(), record(7)); err != nil {
		t.Error(err)
	}
	shipped(t, l)
	if n := len(find(t, l, store.Query{})); n != 2 {
		t.Errorf("%d verdicts", n)
	}
}
