package upstream

import (
	"context"
	"sync"
)

// minimumExtra is how many retries and hedges are always allowed at once.
const minimumExtra = 3

// budget bounds the retries and hedges under way by a share of the calls under
// way. Who finds it spent waits for one that ends: when one of two providers dies
// under load, all its calls are made again, but not all at once on the other.
type budget struct {
	mu      sync.Mutex
	used    int64
	waiting []chan struct{} // in the order they came
}

// take takes one, and waits for it until ctx ends. waited says that it was not to
// be had at once.
func (b *budget) take(ctx context.Context, allowed int64) (ok, waited bool) {
	b.mu.Lock()
	if b.used < allowed && len(b.waiting) == 0 {
		b.used++
		b.mu.Unlock()
		return true, false
	}
	turn := make(chan struct{})
	b.waiting = append(b.waiting, turn)
	b.mu.Unlock()
	select {
	case <-turn:
		return true, true
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.waiting {
		if other == turn {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			return false, true
		}
	}
	return true, true // its turn came in the same moment
}

// release gives one back, to whoever waits.
func (b *budget) release(allowed int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used--
	for len(b.waiting) > 0 && b.used < allowed {
		b.used++
		close(b.waiting[0])
		b.waiting = b.waiting[1:]
	}
}

func (b *budget) inUse() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return float64(b.used)
}

// allowed is how many retries and hedges may be under way now.
func (s *Set) allowed() int64 {
	return max(minimumExtra, int64(s.settings.RetryBudget.Get()*float64(s.active.Load())))
}

// spend takes one retry or hedge from the budget.
func (s *Set) spend(ctx context.Context) bool {
	ok, waited := s.budget.take(ctx, s.allowed())
	if waited {
		s.metrics.budgetSpent.Inc()
	}
	return ok
}

func (s *Set) refund() { s.budget.release(s.allowed()) }
