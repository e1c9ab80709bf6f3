package pool

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/secret"
)

// DiskFull is the SQLSTATE of a server whose disk is full.
const DiskFull = "53100"

// Postgres is a PostgreSQL connection pool behind a gate and a circuit breaker.
type Postgres struct {
	pool    *pgxpool.Pool
	gate    *Gate
	breaker *breaker.Breaker
	lastErr atomic.Pointer[string] // of the database, redacted
	secrets *secret.Mask           // the password, in every form
}

// OpenPostgres prepares a pool; it does not connect, so a node starts while its
// database is away. dsn is a PostgreSQL URL or keyword string; its errors never
// show the password.
func OpenPostgres(dsn string, s Settings, gate *Gate, b *breaker.Breaker) (*Postgres, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("store.dsn is not a PostgreSQL address: %s", redact(err.Error()))
	}
	// One above the gate's most for the probe, which must not wait behind those
	// who wait for the database, and one for migrations.
	config.MaxConns = int32(s.Ceiling.Get()) + 2
	config.MinConns = 0
	config.MaxConnIdleTime = s.IdleTimeout.Get()
	config.MaxConnLifetimeJitter = time.Minute
	config.HealthCheckPeriod = min(s.IdleTimeout.Get(), 10*time.Second)
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	// A statement that was prepared in one session is unknown in another, and a pooler
	// such as PgBouncer gives each transaction another: so none is prepared. Parsing
	// anew is a tenth of a millisecond in a commit of some.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.StatementCacheCapacity, config.ConnConfig.DescriptionCacheCapacity = 0, 0
	// A connection that has idled for a second is pinged before use.
	config.PingTimeout = time.Second
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "bizra-top"
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("prepare PostgreSQL pool: %s", redact(err.Error()))
	}
	return &Postgres{pool: pool, gate: gate, breaker: b, secrets: secret.Of(config.ConnConfig.Password)}, nil
}

// Do calls use with a connection, within the bounds of [Gate.Do]. It returns
// breaker.ErrOpen at once while the database is known to be away.
func (p *Postgres) Do(ctx context.Context, use func(context.Context, *pgxpool.Conn) error) error {
	// The breaker is asked at once, so that nobody stands in line for a database
	// that is away, and again at the head of the line: the wait there says nothing
	// about the database, and must not count as a slow call.
	first, err := p.breaker.Acquire()
	if err == nil {
		first.Ignore()
		err = p.gate.Do(ctx, func(statement context.Context) error { return p.use(ctx, statement, use) })
	}
	if err != nil {
		err = fmt.Errorf("PostgreSQL: %w", err)
		return &publicError{p.redact(err.Error()), err}
	}
	return nil
}

// use is Do at the head of the line. caller is the context Do was given,
// statement the same with the statement's deadline.
func (p *Postgres) use(caller, statement context.Context, use func(context.Context, *pgxpool.Conn) error) error {
	permit, err := p.breaker.Acquire()
	if err != nil {
		return err
	}
	defer permit.Ignore() // after a panic in use; otherwise it has reported
	conn, err := p.pool.Acquire(statement)
	if err != nil {
		err = fmt.Errorf("connect: %w", err)
	} else {
		defer conn.Release()
		err = use(statement, conn)
	}
	p.report(caller, &permit, err)
	return err
}

// report tells the breaker what happened. Only what is wrong with the database
// counts, a deadline that passed included: not a caller that left, nor an error
// in the statement.
func (p *Postgres) report(caller context.Context, permit *breaker.Permit, err error) {
	var statement *pgconn.PgError
	switch {
	case err == nil:
		permit.Success()
		p.lastErr.Store(nil)
	case errors.Is(caller.Err(), context.Canceled):
		permit.Ignore()
	case errors.As(err, &statement) && !IsServerFault(statement.Code):
		permit.Success()
	default:
		text := p.redact(err.Error())
		p.lastErr.Store(&text)
		permit.Failure(errors.New(text))
	}
}

// IsServerFault says whether a SQLSTATE, such as 57P01, means trouble with the server: classes
// 08 connection, 53 resources, 57 operator intervention, 58 system, XX internal.
// A full disk is none: the server answers, and must still be asked what it has.
func IsServerFault(code string) bool {
	if len(code) < 2 {
		return true
	}
	if code == DiskFull {
		return false
	}
	switch code[:2] {
	case "08", "53", "57", "58", "XX":
		return true
	}
	return false
}

// Run probes the database while its breaker is open, until ctx ends.
func (p *Postgres) Run(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		permit, ok := p.breaker.Probe()
		if !ok {
			continue
		}
		probe, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := p.pool.Ping(probe)
		cancel()
		if err != nil {
			permit.Failure(errors.New(p.redact(err.Error())))
		} else {
			permit.Success()
			p.lastErr.Store(nil)
		}
	}
}

// Idle returns the number of open connections that nobody uses.
func (p *Postgres) Idle() int { return int(p.pool.Stat().IdleConns()) }

// LastError returns the newest failure, or "" after a success.
func (p *Postgres) LastError() string {
	if s := p.lastErr.Load(); s != nil {
		return *s
	}
	return ""
}

// Reset closes every connection as soon as it is given back; new ones are
// opened on demand.
func (p *Postgres) Reset() { p.pool.Reset() }

// Pool returns the pgx pool, for migrations at start.
func (p *Postgres) Pool() *pgxpool.Pool { return p.pool }

// Close waits for connections in use and closes all.
func (p *Postgres) Close() { p.pool.Close() }

// publicError shows a cleaned text and keeps the chain for errors.Is.
type publicError struct {
	text string
	err  error
}

func (e *publicError) Error() string { return e.text }
func (e *publicError) Unwrap() error { return e.err }

var secretInDSN = regexp.MustCompile(`(?i)(://[^:@/\s]*):[^@/\s]*@|(password=)(?:'[^']*'|\S+)`)

// redact takes the password out of what the server or the driver says.
func (p *Postgres) redact(s string) string { return redact(p.secrets.Text(s)) }

// redact takes passwords out of texts that quote an address, of which nothing is known yet.
func redact(s string) string {
	return secretInDSN.ReplaceAllStringFunc(s, func(m string) string {
		if i := len("password="); len(m) >= i && (m[0] == 'p' || m[0] == 'P') {
			return m[:i] + "***"
		}
		return secretInDSN.FindStringSubmatch(m)[1] + ":***@"
	})
}
