//go:build integration

package store_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/bizra/bizra-top/node/store"
)

// PostgreSQL answers every query from an index, on 200,000 verdicts of 90 days,
// 20,000 subjects, one in a hundred invalid and as many of a rare kind, which is enough
// that it would read the whole table if that were cheaper.
func TestPostgresUsesItsIndexes(t *testing.T) {
	dsn := database(t)
	l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
	write(t, l, 0, 1) // migrates
	execute(t, dsn, `INSERT INTO verdicts (id, kind, subject, outcome, chain_id, at, body)
		SELECT 'plan-' || n, CASE WHEN n % 97 = 0 THEN 'address' WHEN n % 3 = 0 THEN 'block' ELSE 'transaction' END, '0x' || to_hex(n * 7919 % 20000),
			CASE WHEN n % 100 = 0 THEN 'invalid' WHEN n % 20 = 1 THEN 'not_found' ELSE 'valid' END, 1,
			to_timestamp(1750000000 + n * 38.88), jsonb_build_object('checks', repeat('x', 200))
		FROM generate_series(1, 200000) n`)
	execute(t, dsn, "VACUUM ANALYZE verdicts")
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	explain := func(t *testing.T, statement string, args []any) string {
		t.Helper()
		rows, err := conn.Query(t.Context(), "EXPLAIN "+statement, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n")
	}
	for _, p := range plans() {
		t.Run(p.name, func(t *testing.T) {
			statement, args := store.PostgresStatement(p.query)
			plan := explain(t, statement, args)
			right := strings.Contains(plan, " using "+p.index+" ") || strings.Contains(plan, " on "+p.index+" ")
			if p.query.Kind != "" && p.query.Subject != "" && p.query.Outcome != "" {
				// By what it knows of the values either may be the one with fewer rows.
				right = right || strings.Contains(plan, " using verdicts_kind_outcome_at ")
			}
			if !right || strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s\n%s", statement, plan)
			}
		})
	}
	t.Run("prune", func(t *testing.T) {
		plan := explain(t, store.PostgresPrune, []any{day(1), 500})
		if !strings.Contains(plan, "Tid Scan") || !strings.Contains(plan, " using verdicts_at ") || strings.Contains(plan, "Seq Scan") {
			t.Error(plan)
		}
	})
	// Why the index on time is no BRIN: it is not in order, so that the newest
	// thousand need everything read and sorted.
	t.Run("BRIN sorts", func(t *testing.T) {
		execute(t, dsn, "CREATE TABLE brin AS SELECT * FROM verdicts; CREATE INDEX ON brin USING brin (at); ANALYZE brin")
		statement, args := store.PostgresStatement(store.Query{Until: day(80)})
		if plan := explain(t, strings.Replace(statement, "FROM verdicts", "FROM brin", 1), args); !strings.Contains(plan, "Sort Key: at DESC") {
			t.Errorf("a BRIN index would do:\n%s", plan)
		}
	})
	t.Run("autovacuum", func(t *testing.T) {
		var options []string
		if err := conn.QueryRow(t.Context(), "SELECT reloptions FROM pg_class WHERE oid = 'verdicts'::regclass").Scan(&options); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(options, " "), "autovacuum_vacuum_scale_factor=0.01") {
			t.Error(options)
		}
	})
}
