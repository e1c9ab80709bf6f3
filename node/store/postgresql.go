package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bizra/bizra-top/node/pool"
)

// postgresql keeps records in PostgreSQL. No statement relies on the one before it having
// run in the same session, so that a pooler such as PgBouncer may stand in between.
type postgresql struct {
	pool   *pool.Postgres
	schema *schema
}

func (p *postgresql) name() string { return "postgresql" }

// do is pool.Do on a database that has the newest schema.
func (p *postgresql) do(ctx context.Context, use func(context.Context, *pgxpool.Conn) error) error {
	if err := p.schema.ready(ctx); err != nil {
		return err
	}
	return p.pool.Do(ctx, use)
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

var postgresDialect = dialect{func(n int) string { return "$" + strconv.Itoa(n) }, func(t time.Time) any { return t },
	func(string) string { return "" }}

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

// shortestTimeout is the least statement_timeout that commits and queries get along with.
const shortestTimeout = 100 * time.Millisecond

func (p *postgresql) checkReads(ctx context.Context) error {
	return p.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		return useful(ctx, conn, "SELECT "+columns+" FROM verdicts ORDER BY at DESC LIMIT 1")
	})
}

// checkWrites writes no row, but needs what a row would: the right to, the columns, and
// a transaction that may write.
func (p *postgresql) checkWrites(ctx context.Context) error {
	return p.do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		return useful(ctx, conn, "INSERT INTO verdicts ("+columns+") SELECT "+columns+" FROM verdicts WHERE false ON CONFLICT (id) DO NOTHING")
	})
}

// useful runs a statement, and says whether the session gives statements time enough.
func useful(ctx context.Context, conn *pgxpool.Conn, statement string) error {
	if _, err := conn.Exec(ctx, statement); err != nil {
		return err
	}
	var milliseconds int64
	if err := conn.QueryRow(ctx, "SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout'").Scan(&milliseconds); err != nil {
		return err
	}
	if limit := time.Duration(milliseconds) * time.Millisecond; limit > 0 && limit < shortestTimeout {
		return &shortTimeout{limit}
	}
	return nil
}

// shortTimeout says that a session gives statements too little time.
type shortTimeout struct{ limit time.Duration }

func (e *shortTimeout) Error() string {
	return fmt.Sprintf("statement_timeout of the role or database is %s, and a commit may need %s: raise it with ALTER ROLE or ALTER DATABASE … SET statement_timeout", e.limit, shortestTimeout)
}
