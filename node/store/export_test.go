package store

import "time"

// Tests that wait for the ledger's own statements wait less.
func init() { checkEvery = 300 * time.Millisecond }

// What the ledger asks its databases, for tests of their plans.
var (
	SQLiteStatement   = func(q Query) (string, []any) { return q.statement(sqliteDialect) }
	PostgresStatement = func(q Query) (string, []any) { return q.statement(postgresDialect) }
)

const (
	SQLitePrune   = sqlitePrune
	PostgresPrune = postgresPrune
)

// HoldQueries takes every place for queries, until release.
func (l *Ledger) HoldQueries() (release func()) {
	for range maxQueries {
		l.queries <- struct{}{}
	}
	return func() {
		for range maxQueries {
			<-l.queries
		}
	}
}
