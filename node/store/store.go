// Package store is the verdict ledger: a verdict that was answered is on disk.
//
// [Ledger] groups concurrent verdicts into one commit. It writes to embedded
// SQLite or to PostgreSQL; while PostgreSQL does not take them verdicts go to a
// local SQLite outbox and are shipped when it does, exactly once by their id.
//
// # Age
//
// Verdicts older than store.retention are deleted in small batches, each a
// transaction of its own with a pause behind it, so that no lock is held for
// long and writers get most of the time. Partitions by time, which PostgreSQL
// could drop whole, were weighed and left: the id alone is the key that makes
// shipping exact, and a partitioned table can only be unique by id and time
// together; somebody with the right to create tables would have to make
// partitions ahead of time, or the first verdict of a day is refused; several
// nodes on one database would race to do it; and the retention, a live setting,
// would act by the width of a partition. What batches cost is dead rows, so the
// table's own autovacuum settings collect them when one row in a hundred is
// dead instead of one in five. The rows are never updated, deleted oldest first
// and therefore beside each other, which lets vacuum free whole pages.
//
// # Indexes
//
// Every index ends in the time, because every query asks for the newest first:
// a B-tree hands rows out in that order and stops at the limit. BRIN, a thousand
// times smaller on a column that grows, cannot: PostgreSQL would have to read
// and sort all that matches.
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
	// append stores records in one transaction, ignoring known ids, and returns
	// how many were new.
	append(ctx context.Context, records []Record) (int64, error)
	// find returns the newest records first.
	find(ctx context.Context, q Query) ([]Record, error)
	// prune deletes at most limit records older than before, oldest first, in one
	// transaction, and returns how many.
	prune(ctx context.Context, before time.Time, limit int) (int64, error)
	// oldestAt returns the time of the oldest record, or the zero time.
	oldestAt(ctx context.Context) (time.Time, error)
	// checkReads and checkWrites run a statement as find and append do, on the same
	// table, that neither reads much nor writes anything.
	checkReads(ctx context.Context) error
	checkWrites(ctx context.Context) error
	name() string
}

//go:embed migrations
var migrations embed.FS

// migrate brings a database to the newest version of the schema. One that has it is only
// read: whoever uses it may not be allowed to create tables, a locker's included.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, folder string, options ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files, append(options, goose.WithDisableGlobalRegistry(true))...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	pending, err := provider.HasPending(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the ledger's schema: %w", err)
	}
	if !pending {
		return nil
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the ledger: %w", err)
	}
	return nil
}

const columns = "id, kind, subject, outcome, chain_id, at, body"

// dialect is how a database writes the n-th parameter and a time, and how it is told
// which index to use, where it does not know by itself.
type dialect struct {
	placeholder func(n int) string
	at          func(time.Time) any
	indexed     func(name string) string
}

// statement returns the query in SQL, and its parameters.
func (q Query) statement(d dialect) (string, []any) {
	where, args := q.conditions(d)
	args = append(args, q.limit())
	return "SELECT " + columns + " FROM verdicts" + d.indexed(q.index()) + where + " ORDER BY at DESC LIMIT " + d.placeholder(len(args)), args
}

// index names the index that has what a query asks for in the order of time.
func (q Query) index() string {
	switch {
	case q.Subject != "":
		return "verdicts_subject_at"
	case q.Kind != "" && q.Outcome != "":
		return "verdicts_kind_outcome_at"
	case q.Kind != "":
		return "verdicts_kind_at"
	case q.Outcome != "":
		return "verdicts_outcome_at"
	}
	return "verdicts_at"
}

// conditions builds the WHERE of a query.
func (q Query) conditions(d dialect) (string, []any) {
	where, args := "", []any(nil)
	add := func(expr string, arg any) {
		args = append(args, arg)
		if where == "" {
			where = " WHERE "
		} else {
			where += " AND "
		}
		where += expr + d.placeholder(len(args))
	}
	for _, c := range []struct{ column, value string }{{"kind", q.Kind}, {"subject", q.Subject}, {"outcome", q.Outcome}} {
		if c.value != "" {
			add(c.column+" = ", c.value)
		}
	}
	if !q.Since.IsZero() {
		add("at >= ", d.at(q.Since))
	}
	if !q.Until.IsZero() {
		add("at < ", d.at(q.Until))
	}
	return where, args
}

// Settings are the tunables of the ledger.
type Settings struct {
	DSN       *settings.Value[string]
	Retention *settings.Value[time.Duration] // 0 keeps everything
}

// shortestRetention is the least that store.retention can be, so that a slip of
// the hand does not delete what an incident of today needs.
const shortestRetention = time.Hour

// Declare declares the tunables of the ledger. Ninety days is how long the
// node's own history is kept, so that a verdict and the metrics of its moment
// can be seen together.
func Declare(r *settings.Registry) Settings {
	return Settings{
		DSN: settings.String(r, settings.Spec{Key: "store.dsn", Restart: true, Secret: true,
			Doc: "PostgreSQL address, such as postgres://user:password@host:5432/database; empty keeps the ledger in an embedded SQLite file."}, ""),
		Retention: settings.Duration(r, settings.Spec{Key: "store.retention", Min: 0, Max: 100 * 365 * 86400, Step: 86400, Risk: settings.RiskHigh,
			Doc: "Verdicts older than this are deleted from the ledger for good, ten minutes after a change; 0s keeps everything.",
			Check: func(text string) error {
				if v, err := settings.ParseNumber(settings.KindDuration, text); err != nil || v != 0 && v < shortestRetention.Seconds() {
					return fmt.Errorf("%s is neither 0s, which keeps everything, nor at least %s", text, shortestRetention)
				}
				return nil
			}}, 90*24*time.Hour),
	}
}
