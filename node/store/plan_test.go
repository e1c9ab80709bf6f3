package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
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

// plans has every combination of the filters that GET /v1/validations offers.
func plans() (all []planned) {
	for _, kind := range []string{"", "address"} {
		for _, subject := range []string{"", "0x5"} {
			for _, outcome := range []string{"", "invalid"} {
				for name, span := range map[string][2]time.Time{"": {}, " since": {day(40)}, " until": {{}, day(3)}, " since until": {day(40), day(41)}} {
					for _, limit := range []int{0, 100} {
						index := "verdicts"
						switch {
						case subject != "":
							index += "_subject"
						case kind != "" && outcome != "":
							index += "_kind_outcome"
						case kind != "":
							index += "_kind"
						case outcome != "":
							index += "_outcome"
						}
						all = append(all, planned{fmt.Sprintf("%s %s %s%s limit %d", kind, subject, outcome, name, limit),
							store.Query{Kind: kind, Subject: subject, Outcome: outcome, Since: span[0], Until: span[1], Limit: limit}, index + "_at"})
					}
				}
			}
		}
	}
	return all
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
	for _, p := range plans() {
		t.Run(p.name, func(t *testing.T) {
			statement, args := store.SQLiteStatement(p.query)
			plan := explain(t, statement, args)
			if !strings.Contains(plan, "USING INDEX "+p.index+" ") && !strings.HasSuffix(plan, "USING INDEX "+p.index) || strings.Contains(plan, "TEMP B-TREE") || p.query.Subject != "" && !strings.Contains(plan, "subject=?") {
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

// otherDatabase puts a database of something else at a path.
func otherDatabase(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	_, err = db.Exec("CREATE TABLE verdicts (name TEXT)")
	return errors.Join(err, db.Close())
}
