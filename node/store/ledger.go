package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
)

// ErrClosed is returned by a ledger that is shutting down.
var ErrClosed = errors.New("the ledger is closed")

// ErrDiskFull is returned while a verdict cannot be written because a disk is
// full. What was written before can be read.
var ErrDiskFull = errors.New("the disk is full")

const (
	// groupMax bounds one commit; more verdicts wait for the next.
	groupMax = 256
	// queueMax bounds the verdicts that wait for a commit; a further writer
	// waits for its context.
	queueMax = 4096
	// commitTimeout bounds one commit of a group.
	commitTimeout = 20 * time.Second
	// maxQueries bounds the queries that run at once, and queryWait how long one more
	// waits. Each has an index, so that this many are hundreds a second; more would only
	// take processor and memory from verdicts.
	maxQueries = 4
	queryWait  = time.Second
)

// ErrBusy is returned by Find while as many queries run as may.
var ErrBusy = errors.New("the ledger answers as many queries as it may at once; try again")

// Ledger keeps verdicts. Run must be running for Write to return.
type Ledger struct {
	primary   observed
	outbox    *outbox     // nil when the primary is embedded
	server    *postgresql // likewise
	file      *sqlite     // the embedded primary or the outbox's
	retention *settings.Value[time.Duration]

	queue   chan pending
	queries chan struct{}   // holds a token for each query that runs
	working context.Context // ends with Stop
	stop    context.CancelFunc
	stopped chan struct{} // closed when Run has returned

	metrics metrics
	lastErr atomic.Pointer[string] // of writing
	notify  func(severity, text string)
}

type pending struct {
	record Record
	done   chan error
}

// OpenSQLite returns a ledger in one SQLite file, created when missing. notify
// is told, once each time, when verdicts cannot be written and when they can
// again.
func OpenSQLite(ctx context.Context, s Settings, path string, gate *pool.Gate, reg prometheus.Registerer, notify func(severity, text string)) (*Ledger, error) {
	db, renewed, err := openSQLite(ctx, path, gate, notify)
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	return newLedger(s, observe(db), nil, db, renewed, reg, notify), nil
}

// OpenPostgres returns a ledger in PostgreSQL with an outbox in the SQLite file
// outboxPath. It succeeds while PostgreSQL is away. notify is told, once each
// time, when verdicts go to the outbox and when it has been shipped, and as by
// OpenSQLite.
func OpenPostgres(ctx context.Context, s Settings, db *pool.Postgres, outboxPath string, reg prometheus.Registerer, notify func(severity, text string)) (*Ledger, error) {
	file, renewed, err := openSQLite(ctx, outboxPath, nil, notify)
	if err != nil {
		return nil, fmt.Errorf("the outbox: %w", err)
	}
	server := &postgresql{pool: db, schema: newSchema()}
	primary := observe(server)
	o := &outbox{file: file, server: primary}
	if err := o.recount(ctx); err != nil {
		return nil, fmt.Errorf("read the outbox %s: %w", outboxPath, errors.Join(err, file.close()))
	}
	l := newLedger(s, primary, o, file, renewed, reg, notify)
	l.server = server
	return l, nil
}

func newLedger(s Settings, primary observed, o *outbox, file *sqlite, renewed []string, reg prometheus.Registerer, notify func(severity, text string)) *Ledger {
	l := &Ledger{
		primary: primary, outbox: o, file: file, retention: s.Retention, notify: notify,
		queue: make(chan pending, queueMax), queries: make(chan struct{}, maxQueries), stopped: make(chan struct{}),
	}
	l.working, l.stop = context.WithCancel(context.Background())
	l.metrics = newMetrics(reg, func() float64 { return float64(l.Outbox()) }, l.refusedRecords, func() float64 { return float64(len(l.queue)) })
	file.renewed = func(why string) {
		l.metrics.renewed.WithLabelValues(why).Inc()
		if o != nil {
			o.uncertain.Store(true)
		}
	}
	for _, why := range renewed {
		l.metrics.renewed.WithLabelValues(why).Inc()
	}
	// Rates need the series before the first event.
	l.metrics.written.WithLabelValues(primary.name())
	if o != nil {
		l.metrics.written.WithLabelValues(inOutbox)
		l.metrics.written.WithLabelValues(shippedOn)
	}
	return l
}

// Write stores one record and returns when it is on disk: in PostgreSQL, in the
// outbox, or in the embedded file. It may be called from any goroutine.
func (l *Ledger) Write(ctx context.Context, r Record) error {
	r.At = r.At.UTC().Truncate(time.Microsecond)
	p := pending{r, make(chan error, 1)}
	select {
	case <-l.working.Done():
		return ErrClosed
	default:
	}
	select {
	case l.queue <- p:
	case <-l.working.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stopped:
	}
	select {
	case err := <-p.done: // it was in the last group
		return err
	default:
		return ErrClosed
	}
}

// Find returns the newest records that match, newest first. Records in the
// outbox are part of the ledger. While PostgreSQL cannot be read Find fails, at
// once when that is known and at the latest when ctx ends: what the outbox alone
// holds would look like a whole answer, and an operator who looks for a verdict
// of yesterday would conclude that there was none.
//
// While as many queries run as may, the error is [ErrBusy].
func (l *Ledger) Find(ctx context.Context, q Query) ([]Record, error) {
	if err := l.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-l.queries }()
	if l.outbox == nil {
		return l.primary.find(ctx, q)
	}
	// The outbox first: a record that is shipped in between is then seen twice,
	// not missed.
	var local []Record
	if l.outbox.some() || l.outbox.refused.Load() > 0 {
		var err error
		if local, err = l.outbox.file.find(ctx, q); err != nil {
			return nil, err
		}
	}
	records, err := l.primary.find(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("the ledger cannot be read (%d verdicts wait in the outbox): %w", l.Outbox(), err)
	}
	if len(local) == 0 {
		return records, nil
	}
	return merge(local, records, q.limit()), nil
}

// enter waits a moment for one of the places for queries.
func (l *Ledger) enter(ctx context.Context) error {
	select {
	case l.queries <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(queryWait)
	defer timer.Stop()
	select {
	case l.queries <- struct{}{}:
		return nil
	case <-timer.C:
		l.metrics.busy.Inc()
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// merge joins two lists sorted newest first, without repeating an id that is
// being shipped just now.
func merge(a, b []Record, limit int) []Record {
	out, seen := make([]Record, 0, len(a)+len(b)), map[string]bool{}
	for len(out) < limit && len(a)+len(b) > 0 {
		var next Record
		if len(b) == 0 || len(a) > 0 && !a[0].At.Before(b[0].At) {
			next, a = a[0], a[1:]
		} else {
			next, b = b[0], b[1:]
		}
		if !seen[next.ID] {
			seen[next.ID] = true
			out = append(out, next)
		}
	}
	return out
}

// Run commits, ships and prunes until Stop is called, then commits what is
// queued.
func (l *Ledger) Run() {
	defer close(l.stopped)
	var wg sync.WaitGroup
	if l.outbox != nil {
		supervise.Essential(&wg, "schema of the ledger", func() { l.server.schema.keep(l.working, l.server.pool) })
		supervise.Essential(&wg, "outbox", l.ship)
	}
	supervise.Essential(&wg, "pruning of the ledger", l.pruneLoop)
	supervise.Essential(&wg, "check of the ledger", l.check)
	supervise.Essential(&wg, "watch of the ledger's file", l.watchFile)
	l.commitLoop()
	wg.Wait()
}

// commitLoop takes what has queued up while the last commit ran as one group.
func (l *Ledger) commitLoop() {
	for {
		var group []pending
		select {
		case p := <-l.queue:
			group = append(group, p)
		case <-l.working.Done():
			if len(l.queue) == 0 {
				return
			}
		}
	fill:
		for len(group) < groupMax {
			select {
			case p := <-l.queue:
				group = append(group, p)
			default:
				break fill
			}
		}
		l.commitGroup(group)
	}
}

func (l *Ledger) commitGroup(group []pending) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	records := make([]Record, len(group))
	for i, p := range group {
		records[i] = p.record
	}
	began := time.Now()
	where, added, err := l.store(ctx, records)
	l.metrics.commit.Observe(time.Since(began))
	l.metrics.group.Observe(float64(len(records)))
	if err == nil {
		l.metrics.written.WithLabelValues(where).Add(float64(added))
	} else {
		l.metrics.refused.Add(float64(len(records)))
	}
	l.remember(err)
	for _, p := range group {
		p.done <- err
	}
}

// store returns where the records are now and how many of them were new.
func (l *Ledger) store(ctx context.Context, records []Record) (where string, added int64, err error) {
	if l.outbox == nil {
		added, err = l.primary.append(ctx, records)
		return l.primary.name(), added, err
	}
	return l.outbox.store(ctx, records, l.notify)
}

// remember keeps what writing failed with, and tells of the first failure and of
// the first success after it.
func (l *Ledger) remember(err error) {
	before := l.lastErr.Load()
	if err == nil {
		if before != nil {
			l.lastErr.Store(nil)
			l.notify("good", "verdicts can be written again")
		}
		return
	}
	text := printable.Clean(err.Error(), 160)
	l.lastErr.Store(&text)
	if before == nil {
		l.notify("bad", "verdicts cannot be written and are not answered: "+text)
	}
}

// Outbox returns the number of verdicts PostgreSQL does not have yet.
func (l *Ledger) Outbox() int64 {
	if l.outbox == nil {
		return 0
	}
	return l.outbox.Waiting()
}

// refusedRecords is how many verdicts of the outbox PostgreSQL refused for what they say.
func (l *Ledger) refusedRecords() float64 {
	if l.outbox == nil {
		return 0
	}
	return float64(l.outbox.refused.Load())
}

// Backend says where the ledger is: "sqlite" or "postgresql".
func (l *Ledger) Backend() string { return l.primary.name() }

// LastError returns what the newest write failed with, or "" after one that
// worked.
func (l *Ledger) LastError() string {
	if s := l.lastErr.Load(); s != nil {
		return *s
	}
	return ""
}

// Stop refuses further writes and lets Run commit what is queued and return.
func (l *Ledger) Stop() { l.stop() }

// Close closes the file; call it after Run has returned.
func (l *Ledger) Close() error { return l.file.close() }
