package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/bizra/bizra-top/node/pool"
)

// postgresql keeps records in PostgreSQL.
type postgresql struct {
	pool      *pool.Postgres
	migrating chan struct{} // holds a token while somebody migrates
	migrated  atomic.Bool
}

func (p *postgresql) name() string { return "postgresql" }

// do is pool.Do on a database that has the newest schema: the first use that
// reaches the server migrates.
func (p *postgresql) do(ctx context.Context, use func(context.Context, *pgxpool.Conn) error) error {
	return p.pool.Do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		if err := p.migrate(ctx); err != nil {
			return err
		}
		return use(ctx, conn)
	})
}

// migrate brings the schema up to date, once. Of several nodes on one database
// one does and the others wait.
func (p *postgresql) migrate(ctx context.Context) error {
	if p.migrated.Load() {
		return nil
	}
	select {
	case p.migrating <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.migrating }()
	if p.migrated.Load() {
		return nil
	}
	db := stdlib.OpenDBFromPool(p.pool.Pool())
	defer db.Close()
	one, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return fmt.Errorf("prepare the lock of migrations: %w", err)
	}
	if err := migrate(ctx, db, goose.DialectPostgres, "postgresql", goose.WithSessionLocker(one)); err != nil {
		return err
	}
	p.migrated.Store(true)
	return nil
}

func (p *postgresql) append(ctx context.Context, records []Record) (added int64, err error) {
	n := len(records)
	ids, kinds, subjects, outcomes := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	chains, times, bodies := make([]int64, n), make([]time.Time, n), make([]string, n)
	for i, r := range records {
		ids[i], kinds[i], subjects[i], outcomes[i] = r.ID, r.Kind, r.Subject, r.Outcome
		chains[i], times[i], bodies[i] = int64(r.ChainID), r.At, string(r.Body)
	}
	err = p.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, `INSERT INTO verdicts (id, kind, subject, outcome, chain_id, at, body)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::jsonb[])
			ON CONFLICT (id) DO NOTHING`, ids, kinds, subjects, outcomes, chains, times, bodies)
		if err != nil {
			return fmt.Errorf("write to the ledger: %w", err)
		}
		added = tag.RowsAffected()
		return nil
	})
	return added, explainServerFull(err)
}

const postgresPrune = `DELETE FROM verdicts WHERE ctid = ANY (ARRAY(
	SELECT ctid FROM verdicts WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))`

// prune leaves alone what another node on the same database is pruning.
func (p *postgresql) prune(ctx context.Context, before time.Time, limit int) (n int64, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		tag, err := conn.Exec(ctx, postgresPrune, before, limit)
		if err != nil {
			return fmt.Errorf("prune the ledger: %w", err)
		}
		n = tag.RowsAffected()
		return nil
	})
	return n, explainServerFull(err)
}

func (p *postgresql) oldestAt(ctx context.Context) (at time.Time, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		var oldest *time.Time
		if err := conn.QueryRow(ctx, "SELECT min(at) FROM verdicts").Scan(&oldest); err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		if oldest != nil {
			at = oldest.UTC()
		}
		return nil
	})
	return at, err
}

// explainServerFull says of SQLSTATE 53100 what it means.
func explainServerFull(err error) error {
	var failed *pgconn.PgError
	if errors.As(err, &failed) && failed.Code == pool.DiskFull {
		return fmt.Errorf("%w: free space on PostgreSQL's disk: %w", ErrDiskFull, err)
	}
	return err
}

var postgresDialect = dialect{func(n int) string { return "$" + strconv.Itoa(n) }, func(t time.Time) any { return t }}

func (p *postgresql) find(ctx context.Context, q Query) ([]Record, error) {
	statement, args := q.statement(postgresDialect)
	var out []Record
	err := p.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, statement, args...)
		if err != nil {
			return fmt.Errorf("read the ledger: %w", err)
		}
		out, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Record, error) {
			var r Record
			var chain int64
			err := row.Scan(&r.ID, &r.Kind, &r.Subject, &r.Outcome, &chain, &r.At, &r.Body)
			r.ChainID, r.At = uint64(chain), r.At.UTC()
			return r, err
		})
		return err
	})
	return out, err
}
