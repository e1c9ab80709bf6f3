package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bizra/bizra-top/node/printable"
)

const (
	// shipEvery is how often the outbox looks whether it has something to ship,
	// and shipPause the longest wait after attempts that failed.
	shipEvery = 250 * time.Millisecond
	shipPause = time.Second
	// serverTimeout bounds one write to PostgreSQL: a wedged server must not hold
	// answers longer than a healthy one would.
	serverTimeout = 3 * time.Second
)

// outbox keeps verdicts on local disk while PostgreSQL does not take them.
type outbox struct {
	file   *sqlite
	server observed
	// waiting is how many records of the file are to be shipped: never fewer than there
	// are. uncertain says that it must be counted anew.
	waiting   atomic.Int64
	uncertain atomic.Bool
	counting  sync.Mutex   // of waiting: held while records are added, and while they are counted anew
	refused   atomic.Int64 // records of the file that PostgreSQL refused for what they say
	told      atomic.Bool  // that PostgreSQL takes none
	// down says that the newest attempt to write to PostgreSQL failed. Shipping
	// tries again; who waits for an answer does not. Once it worked new verdicts
	// go to PostgreSQL directly, beside what is still being shipped, which
	// therefore ends however heavy the load is.
	down atomic.Bool
}

// store writes to PostgreSQL or, while that is down, to the file.
func (o *outbox) store(ctx context.Context, records []Record, notify func(severity, text string)) (where string, added int64, err error) {
	up := !o.down.Load() || o.Waiting() == 0
	var refused error
	if up {
		if added, refused = o.toServer(ctx, records); refused == nil {
			return o.server.name(), added, nil
		}
	}
	added, err = o.append(ctx, records)
	if err == nil {
		// What one record says is told of when shipping has found which it is.
		if up && !isContent(refused) {
			o.told.Store(true)
			notify("bad", "PostgreSQL does not take verdicts, they go to the outbox: "+printable.Clean(refused.Error(), 160))
		}
		return inOutbox, added, nil
	}
	if !up {
		// The file takes no more; PostgreSQL may be back.
		if added, refused = o.toServer(ctx, records); refused == nil {
			return o.server.name(), added, nil
		}
	}
	return "", 0, errors.Join(err, refused)
}

// append writes to the file. The records are counted before they are there, so that
// shipping, which runs beside it, never counts one out that was not counted in.
func (o *outbox) append(ctx context.Context, records []Record) (added int64, err error) {
	o.counting.Lock()
	defer o.counting.Unlock()
	all := int64(len(records))
	o.waiting.Add(all)
	added, err = o.file.append(ctx, records)
	if err != nil { // it may have been committed nevertheless
		o.uncertain.Store(o.count(ctx) != nil)
		return 0, err
	}
	o.waiting.Add(added - all)
	return added, nil
}

// Waiting returns how many records are to be shipped.
func (o *outbox) Waiting() int64 { return max(0, o.waiting.Load()) }

// toServer is called by the commits and by shipping at once.
func (o *outbox) toServer(ctx context.Context, records []Record) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	added, err := o.server.append(ctx, records)
	o.down.Store(err != nil && !isContent(err))
	return added, err
}

// isContent says whether PostgreSQL refuses what a record says, as it always will: the
// classes 22 data exception, 23 integrity constraint and 54 program limit exceeded.
func isContent(err error) bool {
	var failed *pgconn.PgError
	if !errors.As(err, &failed) || len(failed.Code) < 2 {
		return false
	}
	switch failed.Code[:2] {
	case "22", "23", "54":
		return true
	}
	return false
}

// ship moves records from the outbox to PostgreSQL, oldest first. A record is
// removed only after PostgreSQL has it; one sent twice is ignored by its id.
func (l *Ledger) ship() {
	pause := shipEvery
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-l.working.Done():
			return
		case <-timer.C:
		}
		pause = min(2*pause, shipPause)
		for l.outbox.some() && l.shipGroup() {
			pause = shipEvery
			select {
			case <-l.working.Done():
				return
			default:
			}
		}
		if l.Outbox() == 0 {
			pause = shipEvery
		}
		timer.Reset(pause)
	}
}

// some says whether there may be something to ship.
func (o *outbox) some() bool { return o.Waiting() > 0 || o.uncertain.Load() }

// shipGroup says whether there may be more to ship.
func (l *Ledger) shipGroup() bool {
	ctx, cancel := context.WithTimeout(l.working, commitTimeout)
	defer cancel()
	shipped, err := l.outbox.shipGroup(ctx, l.notify)
	if shipped > 0 {
		l.metrics.written.WithLabelValues(shippedOn).Add(float64(shipped))
	}
	if err != nil || shipped == 0 {
		return false
	}
	if l.Outbox() > 0 {
		return true
	}
	if l.outbox.told.Swap(false) {
		l.notify("good", "PostgreSQL takes verdicts again, the outbox is shipped")
	}
	l.giveBack(ctx)
	return false
}

func (o *outbox) shipGroup(ctx context.Context, notify func(severity, text string)) (shipped int64, err error) {
	if o.uncertain.Swap(false) {
		if err := o.recount(ctx); err != nil {
			o.uncertain.Store(true)
			return 0, err
		}
	}
	records, err := o.file.oldest(ctx, groupMax)
	if err != nil {
		return 0, err
	}
	if len(records) == 0 { // the count is off
		o.uncertain.Store(true)
		return 0, nil
	}
	_, err = o.toServer(ctx, records)
	if isContent(err) {
		return o.shipEach(ctx, records, notify)
	}
	if err != nil {
		return 0, err
	}
	return o.removed(o.file.remove(ctx, records))
}

// shipEach ships a group that PostgreSQL refuses for what one of its records says, one
// by one. Those that it refuses stay in the file and are not tried again: they would
// hold up all behind them for ever.
func (o *outbox) shipEach(ctx context.Context, records []Record, notify func(severity, text string)) (shipped int64, err error) {
	for _, r := range records {
		one := []Record{r}
		_, err := o.toServer(ctx, one)
		if isContent(err) {
			why := printable.Clean(err.Error(), 160)
			if err := o.file.refuse(ctx, r.ID, why); err != nil {
				return shipped, err
			}
			o.waiting.Add(-1)
			o.refused.Add(1)
			notify("bad", fmt.Sprintf("PostgreSQL refuses the verdict %s on %s for what it says, and it stays in the outbox, where it can be read: %s",
				r.ID, printable.Clean(r.Subject, 80), why))
			shipped++ // there may be more behind it
			continue
		}
		if err != nil {
			return shipped, err
		}
		n, err := o.removed(o.file.remove(ctx, one))
		shipped += n
		if err != nil {
			return shipped, err
		}
	}
	return shipped, nil
}

// removed counts what was removed from the file.
func (o *outbox) removed(n int64, err error) (int64, error) {
	o.waiting.Add(-n)
	if err != nil {
		o.uncertain.Store(true)
	}
	return n, err
}

// recount counts what is in the file.
func (o *outbox) recount(ctx context.Context) error {
	o.counting.Lock()
	defer o.counting.Unlock()
	return o.count(ctx)
}

// count is recount for who holds the lock.
func (o *outbox) count(ctx context.Context) error {
	waiting, refused, err := o.file.count(ctx)
	if err != nil {
		return err
	}
	o.waiting.Store(waiting)
	o.refused.Store(refused)
	return nil
}

// oldest returns the records that came first, for the outbox to ship.
func (s *sqlite) oldest(ctx context.Context, limit int) (out []Record, err error) {
	err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT "+columns+" FROM verdicts WHERE refused IS NULL ORDER BY at LIMIT ?", limit)
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		out, err = scan(rows)
		return err
	})
	return out, err
}

func (s *sqlite) remove(ctx context.Context, records []Record) (n int64, err error) {
	ids := make([]any, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		result, err := db.ExecContext(ctx, "DELETE FROM verdicts WHERE id IN (?"+strings.Repeat(", ?", len(ids)-1)+")", ids...)
		if err != nil {
			return fmt.Errorf("remove from the outbox: %w", explainFull(err))
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

// refuse marks a record as one that is not shipped, with why.
func (s *sqlite) refuse(ctx context.Context, id, why string) error {
	return s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		if _, err := db.ExecContext(ctx, "UPDATE verdicts SET refused = ? WHERE id = ?", why, id); err != nil {
			return fmt.Errorf("set a verdict of the outbox aside: %w", explainFull(err))
		}
		return nil
	})
}

// forgetRefused deletes records that were refused before a moment.
func (s *sqlite) forgetRefused(ctx context.Context, before time.Time) error {
	return s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "DELETE FROM verdicts WHERE refused IS NOT NULL AND at < ?", before.UnixMicro())
		return err
	})
}

// count returns how many records are to be shipped, and how many were refused.
func (s *sqlite) count(ctx context.Context) (waiting, refused int64, err error) {
	err = s.do(ctx, func(ctx context.Context, db *sql.DB) error {
		return db.QueryRowContext(ctx, "SELECT count(*) - count(refused), count(refused) FROM verdicts").Scan(&waiting, &refused)
	})
	return waiting, refused, err
}
