package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/bizra/bizra-top/node/pool"
)

// sqlite keeps records in one file, in WAL mode: one writer, many readers.
type sqlite struct {
	db   *sql.DB
	gate *pool.Gate // nil for the outbox, which must not wait behind the ledger
}

// openSQLite opens or creates the file. synchronous=FULL makes a commit
// survive a loss of power; group commit pays for it.
func openSQLite(ctx context.Context, path string, gate *pool.Gate) (*sqlite, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create folder for the ledger: %w", err)
	}
	options := url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(1)"},
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

func (s *sqlite) append(ctx context.Context, records []Record) error {
	return s.do(ctx, func(ctx context.Context) error {
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
			if _, err := insert.ExecContext(ctx, r.ID, r.Kind, r.Subject, r.Outcome, int64(r.ChainID), r.At.UnixMicro(), r.Body); err != nil {
				return fmt.Errorf("write to the ledger: %w", err)
			}
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit to the ledger: %w", err)
		}
		return nil
	})
}

const columns = "id, kind, subject, outcome, chain_id, at, body"

func (s *sqlite) find(ctx context.Context, q Query) ([]Record, error) {
	where, args := q.conditions(func(int) string { return "?" }, func(t time.Time) any { return t.UnixMicro() })
	var out []Record
	err := s.do(ctx, func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, "SELECT "+columns+" FROM verdicts"+where+" ORDER BY at DESC LIMIT ?", append(args, q.limit())...)
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

func (s *sqlite) remove(ctx context.Context, records []Record) error {
	ids := make([]any, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	_, err := s.db.ExecContext(ctx, "DELETE FROM verdicts WHERE id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", ids...)
	return err
}

func (s *sqlite) count(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM verdicts").Scan(&n)
	return n, err
}

func (s *sqlite) close() error { return s.db.Close() }
