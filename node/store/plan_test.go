package store_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/store"
)

// planned is a query and the index that must answer it.
type planned struct {
	name  string
	query store.Query
	index string
}

var plans = []planned{
	{"everything", store.Query{}, "verdicts_at"},
	{"subject", store.Query{Subject: "0x5"}, "verdicts_subject_at"},
	{"subject and time", store.Query{Subject: "0x5", Since: day(40), Until: day(41)}, "verdicts_subject_at"},
	{"time", store.Query{Since: day(40), Until: day(41)}, "verdicts_at"},
	{"until", store.Query{Until: day(3)}, "verdicts_at"},
	{"outcome", store.Query{Outcome: "invalid"}, "verdicts_outcome_at"},
	{"outcome and time", store.Query{Outcome: "invalid", Since: day(10), Until: day(80)}, "verdicts_outcome_at"},
	{"a page of 100", store.Query{Outcome: "invalid", Limit: 100}, "verdicts_outcome_at"},
}

// day is n days after the first record of a plan's table.
func day(n int) time.Time { return time.Unix(1_750_000_000, 0).Add(time.Duration(n) * 24 * time.Hour) }

// SQLite answers every query from an index, in order, without sorting.
func TestSQLiteUsesItsIndexes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	open(t, path)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	explain := func(t *testing.T, statement string, args []any) string {
		t.Helper()
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var lines []string
		for rows.Next() {
			var id, parent, unused int
			var line string
			if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n")
	}
	for _, p := range plans {
		t.Run(p.name, func(t *testing.T) {
			statement, args := store.SQLiteStatement(p.query)
			plan := explain(t, statement, args)
			if !strings.Contains(plan, "USING INDEX "+p.index+" ") && !strings.HasSuffix(plan, "USING INDEX "+p.index) || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%s\n%s", statement, plan)
			}
		})
	}
	t.Run("prune", func(t *testing.T) {
		plan := explain(t, store.SQLitePrune, []any{day(1).UnixMicro(), 500})
		if !strings.Contains(plan, "USING COVERING INDEX verdicts_at (at<?)") || strings.Contains(plan, "SCAN verdicts") || strings.Contains(plan, "TEMP B-TREE FOR ORDER") {
			t.Error(plan)
		}
	})
}
