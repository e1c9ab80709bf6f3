package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	sqlitedriver "modernc.org/sqlite"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/printable"
)

// checkEvery is how often the ledger runs a statement of its own, so that what is wrong is
// known before a client's statement fails.
var checkEvery = 5 * time.Second

// checkTimeout bounds one such statement.
const checkTimeout = 3 * time.Second

// Statements is how the newest statements of a kind went.
type Statements struct {
	LastSuccess time.Time // zero before the first
	LastFailure time.Time // zero before the first
	// Error is what the newest one failed with; empty after one that worked.
	Error string
	// Refused says that the database answered, with an error: it is there, and does not
	// do what is asked of it.
	Refused bool
}

// statements keeps Statements up to date.
type statements struct {
	mu sync.Mutex
	is Statements
}

func (s *statements) now() Statements {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is
}

// saw takes note of a statement. What says nothing about the database is passed over: a
// caller that left, a record that is refused for what it says, a breaker that is open and
// a pool without a free place.
func (s *statements) saw(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, breaker.ErrOpen) || errors.Is(err, pool.ErrSaturated) || isContent(err) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.is.LastSuccess, s.is.Error, s.is.Refused = time.Now(), "", false
		return
	}
	s.is.LastFailure, s.is.Error, s.is.Refused = time.Now(), printable.Clean(err.Error(), 160), isRefused(err)
}

// isRefused says whether a database that is there has refused a statement.
func isRefused(err error) bool {
	var answered *pgconn.PgError
	if errors.As(err, &answered) {
		// A limit of the session for its statements comes as "operator intervention".
		return answered.Code == "57014" || !pool.IsServerFault(answered.Code)
	}
	var file *sqlitedriver.Error
	var short *shortTimeout
	return errors.As(err, &file) || errors.As(err, &short)
}

// observed is a backend whose statements are taken note of, reads and writes apart.
type observed struct {
	backend
	reads, writes *statements
}

func observe(b backend) observed { return observed{b, &statements{}, &statements{}} }

func (o observed) append(ctx context.Context, records []Record) (int64, error) {
	n, err := o.backend.append(ctx, records)
	o.writes.saw(err)
	return n, err
}

func (o observed) find(ctx context.Context, q Query) ([]Record, error) {
	records, err := o.backend.find(ctx, q)
	o.reads.saw(err)
	return records, err
}

func (o observed) checkReads(ctx context.Context) error {
	err := o.backend.checkReads(ctx)
	o.reads.saw(err)
	return err
}

func (o observed) checkWrites(ctx context.Context) error {
	err := o.backend.checkWrites(ctx)
	o.writes.saw(err)
	return err
}

// check runs a statement of each kind now and then until the ledger stops. Each failure
// is told of once, until statements of the kind work again.
func (l *Ledger) check() {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	told := map[string]bool{}
	for {
		for _, kind := range []struct {
			name string
			run  func(context.Context) error
			is   *statements
		}{{"written", l.primary.checkWrites, l.primary.writes}, {"read", l.primary.checkReads, l.primary.reads}} {
			ctx, cancel := context.WithTimeout(l.working, checkTimeout)
			_ = kind.run(ctx) // taken note of
			cancel()
			is := kind.is.now()
			if failing := is.Refused && l.outbox != nil; failing != told[kind.name] {
				told[kind.name] = failing
				if failing {
					l.notify("bad", "PostgreSQL is there, and the ledger cannot be "+kind.name+" in it: "+is.Error)
				} else {
					l.notify("good", "the ledger can be "+kind.name+" in PostgreSQL again")
				}
			}
		}
		select {
		case <-l.working.Done():
			return
		case <-tick.C:
		}
	}
}

// Reads is how the ledger's newest queries went, Writes how its newest commits did. Both
// include statements that the ledger runs by itself every five seconds.
func (l *Ledger) Reads() Statements { return l.primary.reads.now() }

// Writes is told of with Reads.
func (l *Ledger) Writes() Statements { return l.primary.writes.now() }

// lookEvery is how often the files of the ledger are looked for at their paths.
const lookEvery = time.Second

// watchFile makes the ledger's file anew when it was removed, also while nobody writes.
func (l *Ledger) watchFile() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	failing := ""
	for {
		select {
		case <-l.working.Done():
			return
		case <-tick.C:
		}
		moved := l.file.moved()
		if moved == nil {
			failing = ""
			continue
		}
		err := l.file.renew(moved)
		if l.outbox == nil {
			l.primary.writes.saw(err)
		}
		if err != nil {
			// The same text once, whatever numbers are in it.
			if text := printable.Clean(err.Error(), 200); !strings.EqualFold(text, failing) {
				failing = text
				l.notify("bad", "verdicts may not be answered: "+text)
			}
		}
	}
}
