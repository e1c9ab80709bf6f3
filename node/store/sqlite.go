package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	sqlitedriver "modernc.org/sqlite" // also the driver "sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

func (s *sqlite) name() string { return "sqlite" }

// do calls use with the database, within the bounds of the gate where there is one.
func (s *sqlite) do(ctx context.Context, use func(context.Context, *sql.DB) error) error {
	do := func(ctx context.Context) error {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if s.db == nil {
			return fmt.Errorf("%s could not be made anew after it was lost; it is tried again", s.path)
		}
		return use(ctx, s.db)
	}
	if s.gate == nil {
		return do(ctx)
	}
	return s.gate.Do(ctx, do)
}

// append stores records, and returns when they are in the file that is at its path: one
// that was removed or damaged meanwhile is made anew first.
func (s *sqlite) append(ctx context.Context, records []Record) (added int64, err error) {
	added, err = s.insert(ctx, records)
	switch {
	case err == nil:
		// What was committed is in the file that is open: it must be the one that the
		// next start reads.
		if moved := s.moved(); moved != nil {
			return added, s.renew(moved)
		}
		return added, nil
	case isDamaged(err):
		if err := s.replace(err); err != nil {
			return 0, err
		}
		return s.insert(ctx, records)
	}
	if moved := s.moved(); moved != nil { // it may be why
		if err := s.renew(moved); err != nil {
			return 0, err
		}
		return s.insert(ctx, records)
	}
	return 0, err
}

func (s *sqlite) insert(ctx context.Context, records []Record) (added int64, err error) {
	err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		added = 0
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("write to the ledger: %w", explainFull(err))
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

// SQLite chooses by rules alone, and takes the wrong one of two indexes that fit alike.
var sqliteDialect = dialect{func(int) string { return "?" }, func(t time.Time) any { return t.UnixMicro() },
	func(name string) string { return " INDEXED BY " + name }}

// What a file is checked with: what find and append need, without reading or writing
// much.
const (
	sqliteCheckRead  = "SELECT " + columns + " FROM verdicts ORDER BY at DESC LIMIT 1"
	sqliteCheckWrite = "INSERT INTO verdicts (" + columns + ") SELECT " + columns + " FROM verdicts WHERE 0"
)

func (s *sqlite) checkReads(ctx context.Context) error { return s.check(ctx, sqliteCheckRead) }

// checkWrites also finds out whether the file is the one at its path.
func (s *sqlite) checkWrites(ctx context.Context) error {
	if err := s.check(ctx, sqliteCheckWrite); err != nil {
		return err
	}
	return s.moved()
}

func (s *sqlite) check(ctx context.Context, statement string) error {
	return s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement)
		return explainFull(err)
	})
}

func (s *sqlite) find(ctx context.Context, q Query) ([]Record, error) {
	statement, args := q.statement(sqliteDialect)
	var out []Record
	err := s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, statement, args...)
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		out, err = scan(rows)
		return err
	})
	return out, err
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

const sqlitePrune = "DELETE FROM verdicts WHERE id IN (SELECT id FROM verdicts WHERE at < ? ORDER BY at LIMIT ?)"

func (s *sqlite) prune(ctx context.Context, before time.Time, limit int) (n int64, err error) {
	err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		result, err := db.ExecContext(ctx, sqlitePrune, before.UnixMicro(), limit)
		if err != nil {
			return fmt.Errorf("prune the ledger: %w", explainFull(err))
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

func (s *sqlite) oldestAt(ctx context.Context) (at time.Time, err error) {
	err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		var micros sql.NullInt64
		if err := db.QueryRowContext(ctx, "SELECT min(at) FROM verdicts").Scan(&micros); err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		if micros.Valid {
			at = time.UnixMicro(micros.Int64).UTC()
		}
		return nil
	})
	return at, err
}

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
