package store

// What the ledger asks its databases, for tests of their plans.
var (
	SQLiteStatement   = func(q Query) (string, []any) { return q.statement(sqliteDialect) }
	PostgresStatement = func(q Query) (string, []any) { return q.statement(postgresDialect) }
)

const (
	SQLitePrune   = sqlitePrune
	PostgresPrune = postgresPrune
)
