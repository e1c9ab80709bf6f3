package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/latency"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/printable"
)

// ErrClosed is returned by a ledger that is shutting down.
var ErrClosed = errors.New("the ledger is closed")

const (
	// groupMax bounds one commit; more verdicts wait for the next.
	groupMax = 256
	// queueMax bounds the verdicts that wait for a commit; a further writer
	// waits for its context.
	queueMax = 4096
	// commitTimeout bounds one commit of a group.
	commitTimeout = 20 * time.Second
	// shipEvery is how often the outbox looks whether it has something to ship.
	shipEvery = 250 * time.Millisecond
)

// Ledger keeps verdicts. Run must be running for Write to return.
type Ledger struct {
	primary backend
	// postgres and outbox are nil when the primary is embedded.
	postgres *postgresql
	outbox   *sqlite
	files    []*sqlite
	migrated atomic.Bool
	waiting  atomic.Int64 // records in the outbox

	queue chan pending
	stop  chan struct{}
	once  sync.Once

	written *prometheus.CounterVec
	commit  prometheus.Histogram
	group   prometheus.Histogram
	lastErr atomic.Pointer[string]
	notify  func(severity, text string)
}

type pending struct {
	record Record
	done   chan error
}

// OpenSQLite returns a ledger in one SQLite file, created when missing.
func OpenSQLite(ctx context.Context, path string, gate *pool.Gate, reg prometheus.Registerer) (*Ledger, error) {
	db, err := openSQLite(ctx, path, gate)
	if err != nil {
		return nil, err
	}
	l := newLedger(db, reg)
	l.files = []*sqlite{db}
	return l, nil
}

// OpenPostgres returns a ledger in PostgreSQL with an outbox in the SQLite file
// outboxPath. It succeeds while PostgreSQL is away. notify is told, once each
// time, when PostgreSQL goes away and when the outbox has been shipped.
func OpenPostgres(ctx context.Context, db *pool.Postgres, outboxPath string, reg prometheus.Registerer, notify func(severity, text string)) (*Ledger, error) {
	outbox, err := openSQLite(ctx, outboxPath, nil)
	if err != nil {
		return nil, err
	}
	n, err := outbox.count(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the outbox %s: %w", outboxPath, err)
	}
	p := &postgresql{db}
	l := newLedger(p, reg)
	l.postgres, l.outbox, l.files, l.notify = p, outbox, []*sqlite{outbox}, notify
	l.waiting.Store(n)
	return l, nil
}

func newLedger(primary backend, reg prometheus.Registerer) *Ledger {
	l := &Ledger{
		primary: primary,
		queue:   make(chan pending, queueMax),
		stop:    make(chan struct{}),
		written: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_ledger_verdicts_total",
			Help: "Verdicts committed to disk, by where."}, []string{"store"}),
		commit: prometheus.NewHistogram(latency.Options("bizra_ledger_commit_seconds", "Time of one group commit.")),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bizra_ledger_group_verdicts",
			Help: "Verdicts in one group commit.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}}),
		notify: func(string, string) {},
	}
	reg.MustRegister(l.written, l.commit, l.group,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_ledger_outbox_verdicts",
			Help: "Verdicts on local disk that PostgreSQL does not have yet."},
			func() float64 { return float64(l.waiting.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_ledger_queue_verdicts",
			Help: "Verdicts waiting for a group commit."},
			func() float64 { return float64(len(l.queue)) }))
	return l
}

// Write stores one record and returns when it is on disk: in PostgreSQL, in the
// outbox, or in the embedded file. It may be called from any goroutine.
func (l *Ledger) Write(ctx context.Context, r Record) error {
	r.At = r.At.UTC().Truncate(time.Microsecond)
	p := pending{r, make(chan error, 1)}
	select {
	case l.queue <- p:
	case <-l.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Find returns the newest records that match, newest first. Records in the
// outbox are part of the ledger.
func (l *Ledger) Find(ctx context.Context, q Query) ([]Record, error) {
	if l.outbox == nil {
		return l.primary.find(ctx, q)
	}
	local, err := l.outbox.find(ctx, q)
	if err != nil {
		return nil, err
	}
	records, err := l.primary.find(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(local) == 0 {
		return records, nil
	}
	return merge(local, records, q.limit()), nil
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

// Run commits and ships until Close is called, then commits what is queued.
func (l *Ledger) Run() {
	var wg sync.WaitGroup
	if l.outbox != nil {
		wg.Go(l.ship)
	}
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
		case <-l.stop:
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
	where, err := l.store(ctx, records)
	l.commit.Observe(time.Since(began).Seconds())
	l.group.Observe(float64(len(records)))
	if err == nil {
		l.written.WithLabelValues(where).Add(float64(len(records)))
	}
	for _, p := range group {
		p.done <- err
	}
}

func (l *Ledger) store(ctx context.Context, records []Record) (string, error) {
	if l.outbox == nil {
		return l.primary.name(), l.remember(l.primary.append(ctx, records))
	}
	// While the outbox holds something, new records queue behind it, so that
	// one slow attempt a group is not added to every answer.
	if l.waiting.Load() == 0 {
		err := l.toPostgres(ctx, records)
		if err == nil {
			return l.primary.name(), nil
		}
		l.notify("bad", "PostgreSQL is away, verdicts go to the outbox: "+printable.Clean(err.Error(), 160))
	}
	if err := l.remember(l.outbox.append(ctx, records)); err != nil {
		return "", err
	}
	l.waiting.Add(int64(len(records)))
	return "outbox", nil
}

func (l *Ledger) toPostgres(ctx context.Context, records []Record) error {
	// A wedged server must not hold answers longer than a healthy one would.
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if !l.migrated.Load() {
		if err := l.postgres.migrate(ctx); err != nil {
			return err
		}
		l.migrated.Store(true)
	}
	return l.primary.append(ctx, records)
}

// ship moves records from the outbox to PostgreSQL, oldest first. A record is
// removed only after PostgreSQL has it; one sent twice is ignored by its id.
func (l *Ledger) ship() {
	tick := time.NewTicker(shipEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		for l.waiting.Load() > 0 && l.shipGroup() {
			select {
			case <-l.stop:
				return
			default:
			}
		}
	}
}

func (l *Ledger) shipGroup() bool {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	records, err := l.outbox.oldest(ctx, groupMax)
	if err != nil || len(records) == 0 {
		return false
	}
	if l.toPostgres(ctx, records) != nil {
		return false
	}
	if err := l.outbox.remove(ctx, records); err != nil {
		return false
	}
	l.written.WithLabelValues("shipped").Add(float64(len(records)))
	if l.waiting.Add(-int64(len(records))) == 0 {
		l.notify("good", "PostgreSQL is back, the outbox is shipped")
	}
	return true
}

func (l *Ledger) remember(err error) error {
	if err == nil {
		l.lastErr.Store(nil)
		return nil
	}
	text := printable.Clean(err.Error(), 160)
	l.lastErr.Store(&text)
	return err
}

// Outbox returns the number of verdicts PostgreSQL does not have yet.
func (l *Ledger) Outbox() int64 { return l.waiting.Load() }

// Backend says where the ledger is: "sqlite" or "postgresql".
func (l *Ledger) Backend() string { return l.primary.name() }

// LastError returns what the newest write to local disk failed with, or "".
func (l *Ledger) LastError() string {
	if s := l.lastErr.Load(); s != nil {
		return *s
	}
	return ""
}

// Stop refuses further writes and lets Run commit what is queued and return.
func (l *Ledger) Stop() { l.once.Do(func() { close(l.stop) }) }

// Close closes the files; call it after Run has returned.
func (l *Ledger) Close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}
