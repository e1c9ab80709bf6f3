package promises

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/probes/promises/internal/before"
)

const (
	databaseCallers = 32
	databaseRows    = 2_000
	subjects        = 200 // of those rows
	verdictBody     = 2 << 10
	writeEvery      = 5
)

// How the database is used: by as many queries as a tenth of the promised requests
// that miss the cache bring, evenly spaced, and for the pool all at once.
var (
	evenly = pace{every: databaseCallers * time.Second / (promisedRate / 10)}
	peaks  = pace{every: databaseCallers * time.Second / (promisedRate / 10), together: true}

	databaseHow = fmt.Sprintf("%d queries a second, four of five read the ledger by subject, one writes a verdict; before: a commit each", promisedRate/10)
	poolHow     = fmt.Sprintf("%d callers at once, %d a second, wait for a connection and read with it; limit %d, before: %d", databaseCallers, promisedRate/10,
		runtime.NumCPU()*2+4, runtime.NumCPU()*8)
)

func newRecord() store.Record {
	var subject [32]byte
	_, _ = rand.Read(subject[:]) // it never fails
	return store.Record{ID: uuid.NewString(), Kind: "transaction", Subject: subjectOf(int(subject[0]) % subjects), Outcome: "valid", ChainID: 1, At: time.Now(),
		Body: bodyOf(verdictBody)}
}

func subjectOf(n int) string { return "0x" + hex.EncodeToString([]byte(fmt.Sprintf("%032d", n))) }

// ledger is a ledger of the bench's own beside the configured one: a schema in the
// same PostgreSQL, or a file.
type ledger struct {
	*store.Ledger
	gate     *pool.Gate
	postgres *pool.Postgres // nil for a file
	address  string         // of the same database, for package before
	drop     func(context.Context) error
	running  sync.WaitGroup
	stop     context.CancelFunc
}

// openLedger opens an empty ledger and fills it. Close it.
func (s *stage) openLedger(ctx context.Context, name string) (_ *ledger, err error) {
	registry := settings.NewRegistry()
	poolSettings, storeSettings := pool.Declare(registry, runtime.NumCPU()), store.Declare(registry)
	l := &ledger{drop: func(context.Context) error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close(ctx))
		}
	}()
	metrics := prometheus.NewRegistry()
	l.gate = pool.NewGate(poolSettings, metrics)
	told := func(string, string) {}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	if dsn := s.Settings.Store.DSN.Get(); dsn == "" {
		l.address = filepath.Join(s.Dir, name+".db")
		l.Ledger, err = store.OpenSQLite(ctx, storeSettings, l.address, l.gate, metrics, told)
	} else {
		if l.address, l.drop, err = makeSchema(ctx, dsn); err != nil {
			return nil, err
		}
		if l.postgres, err = pool.OpenPostgres(l.address, poolSettings, l.gate, breaker.New("database", "database", breaker.Declare(registry, "database"))); err != nil {
			return nil, err
		}
		l.running.Go(func() { l.postgres.Run(working) })
		l.Ledger, err = store.OpenPostgres(ctx, storeSettings, l.postgres, filepath.Join(s.Dir, name+"-outbox.db"), metrics, told)
	}
	if err != nil {
		return nil, err
	}
	l.running.Go(l.Ledger.Run)
	_, _, err = callers(ctx, databaseCallers, 0, pace{}, func(ctx context.Context, _, _ int, due time.Time) (time.Duration, error) {
		for range databaseRows / databaseCallers {
			if err := l.Write(ctx, newRecord()); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	if err == nil && l.Outbox() > 0 {
		err = errors.New("PostgreSQL does not take verdicts: they went to the outbox")
	}
	return l, err
}

// Close closes the ledger and drops what it was in.
func (l *ledger) Close(ctx context.Context) error {
	var errs []error
	if l.Ledger != nil {
		l.Ledger.Stop()
	}
	l.stop()
	l.running.Wait()
	if l.Ledger != nil {
		errs = append(errs, l.Ledger.Close())
	}
	if l.postgres != nil {
		l.postgres.Close()
	}
	return errors.Join(append(errs, l.drop(context.WithoutCancel(ctx)))...)
}

// schemaWait bounds making and dropping the bench's schema.
const schemaWait = 15 * time.Second

// makeSchema makes a schema of the bench's own and returns the address of the same
// database in which that is the only one, and what drops it.
func makeSchema(ctx context.Context, dsn string) (address string, drop func(context.Context) error, err error) {
	schema := "bizra_bench_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	run := func(ctx context.Context, statement string) error {
		ctx, cancel := context.WithTimeout(ctx, schemaWait)
		defer cancel()
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_, err = conn.Exec(ctx, statement)
			err = errors.Join(err, conn.Close(ctx))
		}
		if err != nil {
			return fmt.Errorf("%s in the configured PostgreSQL failed", statement) // the library's error may show the address
		}
		return nil
	}
	if err := run(ctx, "CREATE SCHEMA "+schema); err != nil {
		return "", func(context.Context) error { return nil }, err
	}
	address = dsn + " search_path=" + schema
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		address = u.String()
	}
	return address, func(ctx context.Context) error { return run(ctx, "DROP SCHEMA "+schema+" CASCADE") }, nil
}

func (s *stage) databaseBefore(ctx context.Context) (measured, error) {
	return s.onPool(ctx, "database-before", func(p *before.Pool) (measured, error) {
		calls, _, err := callers(ctx, databaseCallers, s.span, evenly, func(ctx context.Context, _, turn int, due time.Time) (time.Duration, error) {
			r := newRecord()
			var err error
			if turn%writeEvery == 0 {
				err = p.Write(ctx, r)
			} else {
				err = p.Find(ctx, p.DB, r.Subject)
			}
			return time.Since(due), err
		})
		return measured{"database.query_mean": calls.mean()}, err
	})
}

func (s *stage) databaseAfter(ctx context.Context) (_ measured, err error) {
	l, err := s.openLedger(ctx, "database-after")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close(ctx)) }()
	calls, _, err := callers(ctx, databaseCallers, s.span, evenly, func(ctx context.Context, _, turn int, due time.Time) (time.Duration, error) {
		r := newRecord()
		var err error
		if turn%writeEvery == 0 {
			err = l.Write(ctx, r)
		} else {
			_, err = l.Find(ctx, store.Query{Subject: r.Subject, Limit: 10})
		}
		return time.Since(due), err
	})
	return measured{"database.query_mean": calls.mean()}, err
}

// onPool measures a pool of package before on the tables of a ledger.
func (s *stage) onPool(ctx context.Context, name string, measure func(*before.Pool) (measured, error)) (_ measured, err error) {
	l, err := s.openLedger(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close(ctx)) }()
	p, err := before.OpenPool(l.address)
	if err != nil {
		return nil, err
	}
	defer p.DB.Close()
	return measure(p)
}

func acquired(t times) measured {
	return measured{"pool.acquire_mean": t.mean(), "pool.acquire_p95": t.quantile(95)}
}

func (s *stage) poolBefore(ctx context.Context) (measured, error) {
	return s.onPool(ctx, "pool-before", func(p *before.Pool) (measured, error) {
		waits, _, err := callers(ctx, databaseCallers, s.span, peaks, func(ctx context.Context, caller, turn int, due time.Time) (time.Duration, error) {
			return useConn(ctx, p, caller+turn, due)
		})
		return acquired(waits), err
	})
}

// useConn takes a connection, reads with it, gives it back, and returns how long the
// connection was waited for.
func useConn(ctx context.Context, p *before.Pool, n int, due time.Time) (time.Duration, error) {
	conn, err := p.DB.Conn(ctx)
	if err != nil {
		return 0, err
	}
	waited := time.Since(due)
	return waited, errors.Join(p.Find(ctx, conn, subjectOf(n%subjects)), conn.Close())
}

func (s *stage) poolAfter(ctx context.Context) (_ measured, err error) {
	l, err := s.openLedger(ctx, "pool-after")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close(ctx)) }()
	if l.postgres != nil {
		waits, _, err := callers(ctx, databaseCallers, s.span, peaks, func(ctx context.Context, caller, turn int, due time.Time) (waited time.Duration, err error) {
			err = l.postgres.Do(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
				waited = time.Since(due)
				rows, err := conn.Query(ctx, "SELECT id, body FROM verdicts WHERE subject = $1 ORDER BY at DESC LIMIT 10", subjectOf((caller+turn)%subjects))
				if err == nil {
					rows.Close()
					err = rows.Err()
				}
				return err
			})
			return waited, err
		})
		return acquired(waits), err
	}
	p, err := before.OpenPool(l.address) // its queries; the gate bounds how many connections are used
	if err != nil {
		return nil, err
	}
	defer p.DB.Close()
	waits, _, err := callers(ctx, databaseCallers, s.span, peaks, func(ctx context.Context, caller, turn int, due time.Time) (waited time.Duration, err error) {
		err = l.gate.Do(ctx, func(ctx context.Context) (err error) {
			waited, err = useConn(ctx, p, caller+turn, due)
			return err
		})
		return waited, err
	})
	return acquired(waits), err
}
