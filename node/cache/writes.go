package cache

import (
	"context"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

// checkWritesEvery is how often a value is written to Redis to see whether it takes any: a
// server that is full and evicts nothing, one that only reads, and one whose disk is full
// answer a ping as ever.
var checkWritesEvery = 5 * time.Second

// lastWrite is how the newest write of the check went.
type lastWrite struct {
	mu     sync.Mutex
	at     time.Time // of the newest that worked
	failed string    // why the newest did not; empty if it did
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
		key := r.prefix + "write-check"
		err := r.client.Set(limited, key, "1", 2*checkWritesEvery).Err()
		if err == nil {
			_ = r.client.Del(limited, key).Err() // else it expires
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		r.written.mu.Lock()
		if err == nil {
			r.written.at, r.written.failed = time.Now(), ""
		} else {
			r.written.failed = printable.Clean(err.Error(), 160)
		}
		r.written.mu.Unlock()
	}
}

// LastWrite returns when Redis took a value last, and why it did not take the newest one,
// or "".
func (r *Redis) LastWrite() (at time.Time, failed string) {
	r.written.mu.Lock()
	defer r.written.mu.Unlock()
	return r.written.at, r.written.failed
}
