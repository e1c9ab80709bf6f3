// Package store is the verdict ledger: a verdict that was answered is on disk.
//
// [Ledger] groups concurrent verdicts into one commit. It writes to embedded
// SQLite or to PostgreSQL; while PostgreSQL is away verdicts go to a local
// SQLite outbox and are shipped when it returns, exactly once by their id.
package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/bizra/bizra-top/node/settings"
)

// Record is one verdict as the ledger keeps it.
type Record struct {
	ID      string // unique; a record with a known id is not stored again
	Kind    string // transaction, block, address
	Subject string
	Outcome string // valid, invalid, not_found, undecided
	ChainID uint64
	At      time.Time // to the microsecond
	Body    []byte    // the whole verdict as JSON
}

// Query selects records. Zero fields select everything.
type Query struct {
	Kind, Subject, Outcome string
	Since, Until           time.Time // Since included, Until not
	Limit                  int       // at most MaxFind, which is also the default
}

// MaxFind bounds the answer of Find.
const MaxFind = 1000

func (q Query) limit() int {
	if q.Limit <= 0 || q.Limit > MaxFind {
		return MaxFind
	}
	return q.Limit
}

// backend is a place that keeps records.
type backend interface {
	// append stores records in one transaction, ignoring known ids.
	append(ctx context.Context, records []Record) error
	// find returns the newest records first.
	find(ctx context.Context, q Query) ([]Record, error)
	name() string
}

//go:embed migrations
var migrations embed.FS

// migrate brings a database to the newest version of the schema.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, folder string) error {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the ledger: %w", err)
	}
	return nil
}

// conditions builds the WHERE of a query; placeholder writes the n-th
// parameter, at converts a time to the column's type.
func (q Query) conditions(placeholder func(n int) string, at func(time.Time) any) (string, []any) {
	where, args := "", []any(nil)
	add := func(expr string, arg any) {
		args = append(args, arg)
		if where == "" {
			where = " WHERE "
		} else {
			where += " AND "
		}
		where += expr + placeholder(len(args))
	}
	for _, c := range []struct{ column, value string }{{"kind", q.Kind}, {"subject", q.Subject}, {"outcome", q.Outcome}} {
		if c.value != "" {
			add(c.column+" = ", c.value)
		}
	}
	if !q.Since.IsZero() {
		add("at >= ", at(q.Since))
	}
	if !q.Until.IsZero() {
		add("at < ", at(q.Until))
	}
	return where, args
}

// Settings are the tunables of the ledger.
type Settings struct {
	DSN *settings.Value[string]
}

// Declare declares the tunables of the ledger.
func Declare(r *settings.Registry) Settings {
	return Settings{DSN: settings.String(r, settings.Spec{Key: "store.dsn", Restart: true, Secret: true,
		Doc: "PostgreSQL address, such as postgres://user:password@host:5432/database; empty keeps the ledger in an embedded SQLite file."}, "")}
}
