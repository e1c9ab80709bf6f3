package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

const (
	// shipEvery is how often the outbox looks whether it has something to ship,
	// and shipPause the longest wait after attempts that failed.
	shipEvery = 250 * time.Millisecond
	shipPause = 2 * time.Second
	// serverTimeout bounds one write to PostgreSQL: a wedged server must not hold
	// answers longer than a healthy one would.
	serverTimeout = 3 * time.Second
)

// outbox keeps verdicts on local disk while PostgreSQL does not take them.
type outbox struct {
	file    *sqlite
	server  *postgresql
	waiting atomic.Int64 // records in the file
	// turn is held while a group is stored, and by the shipping of the last few
	// records: under load there would always be new ones behind them otherwise,
	// and the ledger would never write to PostgreSQL directly again.
	turn sync.Mutex
}

// store writes to PostgreSQL or, when that fails or records wait already, to the
// file. Behind waiting records there is no attempt, so that a server that is
// slow to fail does not add its timeout to every answer.
func (o *outbox) store(ctx context.Context, records []Record, notify func(severity, text string)) (where string, added int64, err error) {
	o.turn.Lock()
	defer o.turn.Unlock()
	direct := o.waiting.Load() == 0
	var refused error
	if direct {
		if added, refused = o.toServer(ctx, records); refused == nil {
			return o.server.name(), added, nil
		}
	}
	added, err = o.file.append(ctx, records)
	if err == nil {
		o.waiting.Add(added)
		if direct {
			notify("bad", "PostgreSQL does not take verdicts, they go to the outbox: "+printable.Clean(refused.Error(), 160))
		}
		return "outbox", added, nil
	}
	if !direct {
		// The file takes no more; PostgreSQL may be back.
		if added, refused = o.toServer(ctx, records); refused == nil {
			return o.server.name(), added, nil
		}
	}
	return "", 0, errors.Join(err, refused)
}

func (o *outbox) toServer(ctx context.Context, records []Record) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	return o.server.append(ctx, records)
}

// ship moves records from the outbox to PostgreSQL, oldest first. A record is
// removed only after PostgreSQL has it; one sent twice is ignored by its id.
func (l *Ledger) ship() {
	pause := shipEvery
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-timer.C:
		}
		pause = min(2*pause, shipPause)
		for l.Outbox() > 0 && l.shipGroup() {
			pause = shipEvery
			select {
			case <-l.stop:
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
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	shipped, err := l.outbox.shipGroup(ctx)
	if err != nil {
		return false
	}
	l.metrics.written.WithLabelValues("shipped").Add(float64(shipped))
	if l.Outbox() > 0 {
		return true
	}
	l.notify("good", "PostgreSQL takes verdicts again, the outbox is shipped")
	l.giveBack(ctx)
	return false
}

func (o *outbox) shipGroup(ctx context.Context) (shipped int64, err error) {
	if o.waiting.Load() <= groupMax {
		o.turn.Lock()
		defer o.turn.Unlock()
	}
	records, err := o.file.oldest(ctx, groupMax)
	if err != nil || len(records) == 0 {
		return 0, err
	}
	if _, err := o.toServer(ctx, records); err != nil {
		return 0, err
	}
	shipped, err = o.file.remove(ctx, records)
	o.waiting.Add(-shipped)
	return shipped, err
}
