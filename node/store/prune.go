package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/bizra/bizra-top/node/printable"
)

const (
	pruneEvery = time.Minute
	// pruneBatch is small enough that a batch takes milliseconds on SQLite, where
	// nobody else can write meanwhile.
	pruneBatch   = 500
	pruneTimeout = 10 * time.Second
	// pruneRest is how many times a batch's own time is left to others after it.
	pruneRest = 3
	// pruneAfter is how long a changed retention must stand before it acts: what
	// is deleted cannot be undone as the change can.
	pruneAfter = 10 * time.Minute
)

// pruneLoop deletes what is older than the retention, at the start and once a
// minute.
func (l *Ledger) pruneLoop() {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	retention, acts := l.retention.Get(), time.Time{}
	failing := false
	for {
		if now := l.retention.Get(); now != retention {
			retention, acts = now, time.Now().Add(pruneAfter)
		}
		if !time.Now().Before(acts) {
			err := l.pruneOld(retention)
			// That PostgreSQL cannot be reached is told by who writes.
			var answered *pgconn.PgError
			if err != nil && !failing && (l.outbox == nil || errors.As(err, &answered)) {
				l.notify("warn", "old verdicts cannot be deleted: "+printable.Clean(err.Error(), 160))
			}
			failing = err != nil
		}
		select {
		case <-l.working.Done():
			return
		case <-tick.C:
		}
	}
}

// pruneOld deletes batch after batch until none is old, the ledger stops or the
// retention is changed.
func (l *Ledger) pruneOld(retention time.Duration) error {
	for retention > 0 && l.retention.Get() == retention {
		began := time.Now()
		n, err := l.pruneBatch(began.Add(-retention))
		if err != nil {
			l.metrics.pruneFailed.Inc()
			return err
		}
		took := time.Since(began)
		if n > 0 {
			l.metrics.pruned.Add(float64(n))
			l.metrics.prune.Observe(took)
		}
		if n < pruneBatch {
			break
		}
		rest := time.NewTimer(pruneRest * took)
		select {
		case <-l.working.Done():
			rest.Stop()
			return nil
		case <-rest.C:
		}
	}
	ctx, cancel := context.WithTimeout(l.working, pruneTimeout)
	defer cancel()
	oldest, err := l.primary.oldestAt(ctx)
	if err != nil {
		return err
	}
	l.metrics.oldest.Set(0)
	if !oldest.IsZero() {
		l.metrics.oldest.Set(float64(oldest.UnixMicro()) / 1e6)
	}
	if l.outbox == nil {
		l.giveBack(ctx)
		return nil
	}
	if retention > 0 && l.outbox.refused.Load() > 0 {
		if err := l.file.forgetRefused(ctx, time.Now().Add(-retention)); err != nil {
			return err
		}
		return l.outbox.recount(ctx)
	}
	return nil
}

func (l *Ledger) pruneBatch(before time.Time) (int64, error) {
	ctx, cancel := context.WithTimeout(l.working, pruneTimeout)
	defer cancel()
	return l.primary.prune(ctx, before, pruneBatch)
}

// giveBack returns free space of the file to the disk, a piece at a time, until
// ctx ends. A failure costs nothing but space, and the next look tries again.
func (l *Ledger) giveBack(ctx context.Context) {
	given := false
	for {
		again, err := l.file.giveBack(ctx)
		if err != nil {
			return
		}
		if !again {
			break
		}
		given = true
	}
	if given {
		_ = l.file.checkpoint(ctx)
	}
}
