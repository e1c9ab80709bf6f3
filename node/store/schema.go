package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/bizra/bizra-top/node/pool"
)

const (
	// migrateFor bounds one attempt to bring the schema up to date: an index on a
	// hundred million verdicts is made in less.
	migrateFor = time.Hour
	// migratePause is the least between two attempts.
	migratePause = 250 * time.Millisecond
	// lockTries is how often one attempt asks for the right to migrate, with migratePause
	// between: another node has it, or had it and died.
	lockTries = 20
)

// schema is whether the database has the newest schema, and what brings it there: a
// goroutine of its own, so that no caller's deadline cuts a migration off.
type schema struct {
	newest atomic.Bool
	wanted chan struct{} // somebody waits

	mu      sync.Mutex
	attempt chan struct{} // closed at the end of the attempt that runs or comes
	err     error         // of the attempt before it
}

func newSchema() *schema {
	return &schema{wanted: make(chan struct{}, 1), attempt: make(chan struct{})}
}

// ready waits until the schema is the newest, or one attempt to bring it there has
// failed, or ctx ends.
func (s *schema) ready(ctx context.Context) error {
	if s.newest.Load() {
		return nil
	}
	s.mu.Lock()
	attempt := s.attempt
	s.mu.Unlock()
	select {
	case s.wanted <- struct{}{}:
	default: // it is known
	}
	select {
	case <-attempt:
	case <-ctx.Done():
		return fmt.Errorf("PostgreSQL: the tables of the ledger are being brought up to date: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// keep brings the schema up to date when somebody wants to use it, until it is or ctx
// ends.
func (s *schema) keep(ctx context.Context, db *pool.Postgres) {
	for !s.newest.Load() {
		select {
		case <-ctx.Done():
			s.ended(errors.New("the ledger is closing"))
			return
		case <-s.wanted:
		}
		err := bringUpToDate(ctx, db)
		s.newest.Store(err == nil)
		s.ended(err)
		pause := time.NewTimer(migratePause)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// ended lets those go who wait for an attempt.
func (s *schema) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.attempt)
	s.attempt = make(chan struct{})
}

// bringUpToDate runs the migrations. Of several nodes on one database one does it, and the
// others wait for it: whoever migrates holds a row of the table goose_lock, with a lease
// that others take over when its holder has died. A lock held by a session would not hold
// behind a pooler.
func bringUpToDate(ctx context.Context, db *pool.Postgres) error {
	// What is wrong with the connection is for the breaker to know.
	reached, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := db.Do(reached, func(ctx context.Context, c *pgxpool.Conn) error { return c.Ping(ctx) }); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, migrateFor)
	defer stop()
	over := stdlib.OpenDBFromPool(db.Pool())
	defer over.Close()
	alone, err := lock.NewPostgresTableLocker(
		lock.WithTableLockTimeout(migratePause, lockTries),
		// A row that cannot be given back is given back by its lease.
		lock.WithTableUnlockTimeout(migratePause, lockTries),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}
	if err := migrate(ctx, over, goose.DialectPostgres, "postgresql", goose.WithLocker(alone)); err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	return nil
}
