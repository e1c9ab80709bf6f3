package before

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"runtime"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/bizra/bizra-top/node/store"
)

// connectionsPerCore is how many connections the pool has for each core.
const connectionsPerCore = 8

const columns = "id, kind, subject, outcome, chain_id, at, body"

// Pool is a database with the ledger's table and no gate in front of it.
type Pool struct {
	DB     *sql.DB
	insert string
	find   string
	at     func(store.Record) any
}

// OpenPool opens the database of a ledger that exists: a PostgreSQL address, or the
// path of an SQLite file, which is opened as durable as the ledger has it.
func OpenPool(address string) (*Pool, error) {
	driver, mark := "pgx", "$%d"
	p := &Pool{at: func(r store.Record) any { return r.At }}
	if !IsPostgres(address) {
		driver, mark = "sqlite", "?%d"
		options := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)"}, "_txlock": {"immediate"}}
		address = "file:" + address + "?" + options.Encode()
		p.at = func(r store.Record) any { return r.At.UnixMicro() }
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	db.SetMaxOpenConns(connectionsPerCore * runtime.NumCPU())
	db.SetMaxIdleConns(connectionsPerCore * runtime.NumCPU())
	var marks []string
	for n := range strings.Count(columns, ",") + 1 {
		marks = append(marks, fmt.Sprintf(mark, n+1))
	}
	p.DB = db
	p.insert = "INSERT INTO verdicts (" + columns + ") VALUES (" + strings.Join(marks, ", ") + ") ON CONFLICT (id) DO NOTHING"
	p.find = "SELECT id, body FROM verdicts WHERE subject = " + marks[0] + " ORDER BY at DESC LIMIT 10"
	return p, nil
}

// IsPostgres says whether an address is one of PostgreSQL, and no path.
func IsPostgres(address string) bool {
	return strings.Contains(address, "://") || strings.Contains(address, "=")
}

// Write stores a record, in a transaction of its own.
func (p *Pool) Write(ctx context.Context, r store.Record) error {
	_, err := p.DB.ExecContext(ctx, p.insert, r.ID, r.Kind, r.Subject, r.Outcome, int64(r.ChainID), p.at(r), r.Body)
	return err
}

// querier is a pool or one of its connections.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Find reads the newest records on a subject, from any connection or the one given.
func (p *Pool) Find(ctx context.Context, on querier, subject string) error {
	rows, err := on.QueryContext(ctx, p.find, subject)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
	}
	return rows.Err()
}
