package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/printable"
)

// checkWritesEvery is how often a value is written to Redis to see whether it takes any: a
// server that is full and evicts nothing, one that only reads, and one whose disk is full
// answer a ping as ever.
var checkWritesEvery = 5 * time.Second

// lastWrite is how the newest write went.
type lastWrite struct {
	mu       sync.Mutex
	at       time.Time // of the newest that worked
	failed   string    // why the newest did not; empty if it did
	refused  bool      // Redis answered it, and did not take the value
	failedAt time.Time
}

// checkWrites writes now and then until ctx ends. It goes past the breaker, which reads
// rely on: what Redis refuses to keep says nothing about what it holds.
func (r *Redis) checkWrites(ctx context.Context) {
	tick := time.NewTicker(checkWritesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, time.Second)
		err := r.client.Set(limited, r.check, "1", 2*checkWritesEvery).Err()
		if err == nil {
			_ = r.client.Del(limited, r.check).Err() // else it expires
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		_ = r.settle(err) // the check is for what it notes
	}
}

// LastWrite returns when Redis took a value last, and why it did not take the newest one,
// or "".
func (r *Redis) LastWrite() (at time.Time, failed string) {
	r.written.mu.Lock()
	defer r.written.mu.Unlock()
	return r.written.at, r.written.failed
}

// refusedRest is the rest between two writes while Redis refuses them.
const refusedRest = time.Second

// resting says that Redis has just refused a write.
func (r *Redis) resting() bool {
	r.written.mu.Lock()
	defer r.written.mu.Unlock()
	return r.written.refused && time.Since(r.written.failedAt) < refusedRest
}

// settle notes how a write went, and tells one that Redis refused, because it is full or
// read-only, from one that did not reach it: the breaker, which reads share, is there for
// the second alone, whose error is returned.
func (r *Redis) settle(err error) error {
	var answered redis.Error
	refused := errors.As(err, &answered) && !errors.Is(err, redis.Nil)
	r.written.mu.Lock()
	defer r.written.mu.Unlock()
	if err == nil {
		r.written.at, r.written.failed, r.written.refused = time.Now(), "", false
		return nil
	}
	r.written.failed, r.written.refused, r.written.failedAt = printable.Clean(err.Error(), 160), refused, time.Now()
	if !refused {
		return err
	}
	r.metrics.l2Errors.WithLabelValues(l2Refused).Inc()
	return nil
}
