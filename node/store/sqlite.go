package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	sqlitedriver "modernc.org/sqlite" // also the driver "sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/bizra/bizra-top/node/pool"
)

// sqlite keeps records in one file, in WAL mode: one writer, many readers.
type sqlite struct {
	db   *sql.DB
	gate *pool.Gate // nil for the outbox, which must not wait behind the ledger
}

// openSQLite opens or creates the file. synchronous=FULL makes a commit
// survive a loss of power; group commit pays for it. The log shrinks to twice what
// is checkpointed at once after a long reader made it grow.
func openSQLite(ctx context.Context, path string, gate *pool.Gate) (*sqlite, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create folder for the ledger: %w", err)
	}
	options := url.Values{
		"_pragma": {"auto_vacuum(incremental)", "journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "journal_size_limit(8388608)"},
		"_txlock": {"immediate"},
	}
	db, err := sql.Open("sqlite", "file:"+path+"?"+options.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(16)
	if err := migrate(ctx, db, goose.DialectSQLite3, "sqlite"); err != nil {
		return nil, fmt.Errorf("%s: %w", path, closeAfter(db, err))
	}
	return &sqlite{db: db, gate: gate}, nil
}

func closeAfter(db *sql.DB, err error) error {
	_ = db.Close() // the first error is the one that matters
	return err
}

func (s *sqlite) name() string { return "sqlite" }

func (s *sqlite) do(ctx context.Context, use func(context.Context) error) error {
	if s.gate == nil {
		return use(ctx)
	}
	return s.gate.Do(ctx, use)
}

func (s *sqlite) append(ctx context.Context, records []Record) (added int64, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		added = 0
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("write to the ledger: %w", err)
		}
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		insert, err := tx.PrepareContext(ctx, `INSERT INTO verdicts (id, kind, subject, outcome, chain_id, at, body)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`)
		if err != nil {
			return fmt.Errorf("write to the ledger: %w", err)
		}
		defer insert.Close()
		for _, r := range records {
			result, err := insert.ExecContext(ctx, r.ID, r.Kind, r.Subject, r.Outcome, int64(r.ChainID), r.At.UnixMicro(), r.Body)
			if err != nil {
				return fmt.Errorf("write to the ledger: %w", explainFull(err))
			}
			n, _ := result.RowsAffected() // this driver always knows
			added += n
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit to the ledger: %w", explainFull(err))
		}
		return nil
	})
	return added, err
}

var sqliteDialect = dialect{func(int) string { return "?" }, func(t time.Time) any { return t.UnixMicro() }}

func (s *sqlite) find(ctx context.Context, q Query) ([]Record, error) {
	statement, args := q.statement(sqliteDialect)
	var out []Record
	err := s.do(ctx, func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, statement, args...)
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		out, err = scan(rows)
		return err
	})
	return out, err
}

// oldest returns the records that came first, for the outbox to ship.
func (s *sqlite) oldest(ctx context.Context, limit int) ([]Record, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT "+columns+" FROM verdicts ORDER BY at LIMIT ?", limit)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return scan(rows)
}

// scan reads and closes rows.
func scan(rows *sql.Rows) ([]Record, error) {
	defer rows.Close()
	var out []Record
	for rows.Next() {
		var r Record
		var chain, at int64
		if err := rows.Scan(&r.ID, &r.Kind, &r.Subject, &r.Outcome, &chain, &at, &r.Body); err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		r.ChainID, r.At = uint64(chain), time.UnixMicro(at).UTC()
		out = append(out, r)
	}
	return out, rows.Err()
}

func (s *sqlite) remove(ctx context.Context, records []Record) (int64, error) {
	ids := make([]any, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	result, err := s.db.ExecContext(ctx, "DELETE FROM verdicts WHERE id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", ids...)
	if err != nil {
		return 0, fmt.Errorf("remove from the outbox: %w", explainFull(err))
	}
	return result.RowsAffected()
}

const sqlitePrune = "DELETE FROM verdicts WHERE id IN (SELECT id FROM verdicts WHERE at < ? ORDER BY at LIMIT ?)"

func (s *sqlite) prune(ctx context.Context, before time.Time, limit int) (n int64, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		result, err := s.db.ExecContext(ctx, sqlitePrune, before.UnixMicro(), limit)
		if err != nil {
			return fmt.Errorf("prune the ledger: %w", explainFull(err))
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

// giveBack returns a megabyte of free pages to the file system when more than a
// tenth of the file is free, and says whether it did. What remains is for the
// verdicts to come. A file made without auto_vacuum keeps its pages.
func (s *sqlite) giveBack(ctx context.Context) (given bool, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		free, pages, err := s.pages(ctx)
		if err != nil || free <= max(pages/10, freePages) {
			return err
		}
		if _, err := s.db.ExecContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", freePages)); err != nil {
			return err
		}
		left, _, err := s.pages(ctx)
		given = left < free
		return err
	})
	if err != nil {
		return false, fmt.Errorf("give free pages back: %w", err)
	}
	return given, nil
}

func (s *sqlite) pages(ctx context.Context) (free, all int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT f.freelist_count, p.page_count FROM pragma_freelist_count f, pragma_page_count p").Scan(&free, &all)
	return free, all, err
}

// checkpoint moves the log to the file, which gets as short as it can be then.
func (s *sqlite) checkpoint(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
		return err
	})
}

// freePages is a megabyte of SQLite's pages of 4 KiB.
const freePages = 256

func (s *sqlite) oldestAt(ctx context.Context) (at time.Time, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		var micros sql.NullInt64
		if err := s.db.QueryRowContext(ctx, "SELECT min(at) FROM verdicts").Scan(&micros); err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		if micros.Valid {
			at = time.UnixMicro(micros.Int64).UTC()
		}
		return nil
	})
	return at, err
}

func (s *sqlite) count(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM verdicts").Scan(&n)
	return n, err
}

func (s *sqlite) close() error { return s.db.Close() }

// explainFull says of an error of the disk what it means.
func explainFull(err error) error {
	var failed *sqlitedriver.Error
	if !errors.As(err, &failed) {
		return err
	}
	switch failed.Code() & 0xff { // the primary code
	case sqlitelib.SQLITE_FULL:
		return fmt.Errorf("%w: free space on the disk of the state folder: %w", ErrDiskFull, err)
	case sqlitelib.SQLITE_IOERR:
		return fmt.Errorf("the disk of the state folder refuses it: %w", err)
	}
	return err
}
