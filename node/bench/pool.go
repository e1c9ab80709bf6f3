package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	ledger "github.com/bizra/bizra-top/node/store"
)

// places is the limit of every gate, and writers how many write to a ledger at
// once.
const (
	places  = 8
	writers = 64
)

// poolScenes compares the gate with what else holds callers back, none of which
// measures, and the ledger's group commit with a transaction for each verdict.
func poolScenes() []scene {
	gate := []contender{
		{"bizra, gate with its metrics", func() func(int) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			ends = append(ends, cancel)
			return gated(ctx)
		}},
		{"x/sync semaphore", func() func(int) {
			s := semaphore.NewWeighted(places)
			return func(times int) {
				for range times {
					if s.Acquire(context.Background(), 1) == nil {
						s.Release(1)
					}
				}
			}
		}},
		{"buffered channel", func() func(int) {
			slots := make(chan struct{}, places)
			done := context.Background().Done()
			return func(times int) {
				for range times {
					select {
					case slots <- struct{}{}:
						<-slots
					case <-done:
					}
				}
			}
		}},
		{"puddle, acquire and release", func() func(int) {
			p, err := puddle.NewPool(&puddle.Config[int]{MaxSize: places,
				Constructor: func(context.Context) (int, error) { return 0, nil }, Destructor: func(int) {}})
			must(err)
			return func(times int) {
				for range times {
					if r, err := p.Acquire(context.Background()); err == nil {
						r.Release()
					}
				}
			}
		}},
		{"(two time.Since)", func() func(int) {
			start := time.Now()
			return func(times int) {
				for range times {
					_, _ = time.Since(start), time.Since(start)
				}
			}
		}},
	}
	deadline := []contender{
		{"bizra, gate with its metrics", func() func(int) { return gated(context.Background()) }},
		{"x/sync semaphore, context.WithTimeout", func() func(int) {
			s := semaphore.NewWeighted(places)
			return func(times int) {
				for range times {
					if s.Acquire(context.Background(), 1) == nil {
						_, cancel := context.WithTimeout(context.Background(), time.Minute)
						cancel()
						s.Release(1)
					}
				}
			}
		}},
	}
	scenes := []scene{
		{"gate, free", false, gate, 0},
		{"gate, parallel", true, gate, 0},
		{"gate, statement deadline", false, deadline, 0},
		{"ledger, SQLite, 64 writers", false, []contender{
			{"bizra, group commit", func() func(int) { return written(sqliteLedger()) }},
			{"a transaction each", singlySQLite},
		}, 4 * writers},
	}
	if dsn := os.Getenv("BIZRA_TEST_POSTGRES_URL"); dsn != "" {
		scenes = append(scenes, scene{"ledger, PostgreSQL, 64 writers", false, []contender{
			{"bizra, group commit", func() func(int) { return written(postgresLedger(dsn)) }},
			{"a transaction each", func() func(int) { return singlyPostgres(dsn) }},
		}, 16 * writers})
	}
	return scenes
}

func gated(ctx context.Context) func(int) {
	registry := settings.NewRegistry()
	g := pool.NewGate(pool.Declare(registry, 2), prometheus.NewRegistry())
	must(registry.Load(settings.SourceFlag, []settings.Change{{Key: "pool.statement_timeout", Value: "10m"}}))
	use := func(context.Context) error { return nil }
	return func(times int) {
		for range times {
			_ = g.Do(ctx, use) // nothing fails
		}
	}
}

var serial atomic.Int64

// verdict returns a record of a usual size.
func verdict() ledger.Record {
	n := serial.Add(1)
	return ledger.Record{ID: fmt.Sprintf("%d-%d", os.Getpid(), n), Kind: "transaction", Subject: fmt.Sprintf("0x%064x", n%1000), Outcome: "valid",
		ChainID: 1, At: time.Now(), Body: fmt.Appendf(nil, `{"n":%d,"checks":"%0900d"}`, n, n)}
}

// spread lets 64 goroutines do one thing n times between them.
func spread(do func() error) func(int) {
	return func(times int) {
		var wg sync.WaitGroup
		var left atomic.Int64
		left.Store(int64(times))
		for range writers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					must(do())
				}
			})
		}
		wg.Wait()
	}
}

func written(l *ledger.Ledger) func(int) {
	go l.Run() // ends with the program
	return spread(func() error { return l.Write(context.Background(), verdict()) })
}

func sqliteLedger() *ledger.Ledger {
	registry, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	g := pool.NewGate(pool.Declare(registry, 2), metrics)
	l, err := ledger.OpenSQLite(context.Background(), ledger.Declare(registry), scratch("ledger.db"), g, metrics, tell)
	must(err)
	return l
}

func postgresLedger(dsn string) *ledger.Ledger {
	registry, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	s := pool.Declare(registry, 2)
	b := breaker.New("database", "database", breaker.Declare(registry, "database"), breaker.WithProber())
	db, err := pool.OpenPostgres(dsn, s, pool.NewGate(s, metrics), b)
	must(err)
	l, err := ledger.OpenPostgres(context.Background(), ledger.Declare(registry), db, scratch("outbox.db"), metrics, tell)
	must(err)
	return l
}

// tell makes trouble of a ledger end the run: its figures would mean nothing.
func tell(_, text string) { must(fmt.Errorf("ledger: %s", text)) }

const insert = "INSERT INTO single (id, kind, subject, outcome, chain_id, at, body) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING"

// singlySQLite writes each record on its own, through the one connection that
// SQLite lets write, with the ledger's own durability.
func singlySQLite() func(int) {
	options := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+scratch("single.db")+"?"+options.Encode())
	must(err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE single (id TEXT PRIMARY KEY, kind TEXT, subject TEXT, outcome TEXT, chain_id INTEGER, at INTEGER, body BLOB) WITHOUT ROWID;
		CREATE INDEX single_at ON single (at); CREATE INDEX single_subject_at ON single (subject, at); CREATE INDEX single_outcome_at ON single (outcome, at)`)
	must(err)
	statement, err := db.Prepare(insert)
	must(err)
	return spread(func() error {
		r := verdict()
		_, err := statement.Exec(r.ID, r.Kind, r.Subject, r.Outcome, int64(r.ChainID), r.At.UnixMicro(), r.Body)
		return err
	})
}

func singlyPostgres(dsn string) func(int) {
	config, err := pgxpool.ParseConfig(dsn)
	must(err)
	config.MaxConns = places
	db, err := pgxpool.NewWithConfig(context.Background(), config)
	must(err)
	_, err = db.Exec(context.Background(), `DROP TABLE IF EXISTS single;
		CREATE TABLE single (id text PRIMARY KEY, kind text, subject text, outcome text, chain_id bigint, at timestamptz, body jsonb);
		CREATE INDEX ON single (at); CREATE INDEX ON single (subject, at); CREATE INDEX ON single (outcome, at)`)
	must(err)
	return spread(func() error {
		r := verdict()
		_, err := db.Exec(context.Background(), insert, r.ID, r.Kind, r.Subject, r.Outcome, int64(r.ChainID), r.At, string(r.Body))
		return err
	})
}

// ends are called when the run is over.
var ends []func()

func tidy() {
	for _, end := range ends {
		end()
	}
}

var folder = sync.OnceValue(func() string {
	dir, remove, err := temporary()
	must(err)
	ends = append(ends, remove)
	return dir
})

// scratch returns the path of a new file that goes when the run is over.
func scratch(name string) string {
	return filepath.Join(folder(), fmt.Sprintf("%d-%s", serial.Add(1), name))
}

// must ends the run: a comparison in which something fails is none.
func must(err error) {
	if err != nil {
		tidy()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
