package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/bizra/bizra-top/node/pool"
)

// postgresql keeps records in PostgreSQL.
type postgresql struct {
	pool *pool.Postgres
}

func (p *postgresql) name() string { return "postgresql" }

// migrate is called before the first write that reaches the server.
func (p *postgresql) migrate(ctx context.Context) error {
	db := stdlib.OpenDBFromPool(p.pool.Pool())
	defer db.Close()
	return migrate(ctx, db, goose.DialectPostgres, "postgresql")
}

func (p *postgresql) append(ctx context.Context, records []Record) error {
	n := len(records)
	ids, kinds, subjects, outcomes := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	chains, times, bodies := make([]int64, n), make([]time.Time, n), make([]string, n)
	for i, r := range records {
		ids[i], kinds[i], subjects[i], outcomes[i] = r.ID, r.Kind, r.Subject, r.Outcome
		chains[i], times[i], bodies[i] = int64(r.ChainID), r.At, string(r.Body)
	}
	return p.pool.Do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, `INSERT INTO verdicts (id, kind, subject, outcome, chain_id, at, body)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::jsonb[])
			ON CONFLICT (id) DO NOTHING`, ids, kinds, subjects, outcomes, chains, times, bodies)
		if err != nil {
			return fmt.Errorf("write to the ledger: %w", err)
		}
		return nil
	})
}

func (p *postgresql) find(ctx context.Context, q Query) ([]Record, error) {
	where, args := q.conditions(func(n int) string { return "$" + strconv.Itoa(n) }, func(t time.Time) any { return t })
	args = append(args, q.limit())
	var out []Record
	err := p.pool.Do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, "SELECT "+columns+" FROM verdicts"+where+" ORDER BY at DESC LIMIT $"+strconv.Itoa(len(args)), args...)
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
