package store

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

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
	file    *sqlite
	server  *postgresql
	waiting atomic.Int64 // records in the file
	// down says that the newest attempt to write to PostgreSQL failed. Shipping
	// tries again; who waits for an answer does not. Once it worked new verdicts
	// go to PostgreSQL directly, beside what is still being shipped, which
	// therefore ends however heavy the load is.
	down atomic.Bool
}

// store writes to PostgreSQL or, while that is down, to the file.
func (o *outbox) store(ctx context.Context, records []Record, notify func(severity, text string)) (where string, added int64, err error) {
	up := !o.down.Load() || o.waiting.Load() == 0
	var refused error
	if up {
		if added, refused = o.toServer(ctx, records); refused == nil {
			return o.server.name(), added, nil
		}
	}
	added, err = o.file.append(ctx, records)
	if err == nil {
		o.waiting.Add(added)
		if up {
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

// toServer is called by the commits and by shipping at once.
func (o *outbox) toServer(ctx context.Context, records []Record) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	added, err := o.server.append(ctx, records)
	o.down.Store(err != nil)
	return added, err
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
		for l.Outbox() > 0 && l.shipGroup() {
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

// shipGroup says whether there may be more to ship.
func (l *Ledger) shipGroup() bool {
	ctx, cancel := context.WithTimeout(l.working, commitTimeout)
	defer cancel()
	shipped, err := l.outbox.shipGroup(ctx)
	if err != nil || shipped == 0 {
		return false
	}
	l.metrics.written.WithLabelValues(shippedOn).Add(float64(shipped))
	if l.Outbox() > 0 {
		return true
	}
	l.notify("good", "PostgreSQL takes verdicts again, the outbox is shipped")
	l.giveBack(ctx)
	return false
}

func (o *outbox) shipGroup(ctx context.Context) (shipped int64, err error) {
	waiting := o.waiting.Load()
	records, err := o.file.oldest(ctx, groupMax)
	if err != nil {
		return 0, err
	}
	if len(records) == 0 { // the count is off, after an error whose commit went through
		n, err := o.file.count(ctx)
		if err == nil {
			o.waiting.CompareAndSwap(waiting, n)
		}
		return 0, err
	}
	if _, err := o.toServer(ctx, records); err != nil {
		return 0, err
	}
	shipped, err = o.file.remove(ctx, records)
	o.waiting.Add(-shipped)
	return shipped, err
}
