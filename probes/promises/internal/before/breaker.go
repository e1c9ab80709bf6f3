package before

import (
	"errors"
	"sync"
	"time"
)

// ErrOpen is returned while the breaker is open.
var ErrOpen = errors.New("the circuit breaker is open")

// outcome is one call.
type outcome struct {
	at     time.Time
	took   time.Duration
	failed bool
}

// Breaker opens when half of the calls in its window have failed. Its methods may be
// called from any goroutine.
type Breaker struct {
	mu      sync.Mutex
	window  []outcome
	next    int
	opened  time.Time
	openFor time.Duration
}

// NewBreaker returns a breaker with a window of so many calls.
func NewBreaker(calls int, openFor time.Duration) *Breaker {
	return &Breaker{window: make([]outcome, calls), openFor: openFor}
}

// Allow returns ErrOpen while the breaker is open.
func (b *Breaker) Allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.opened) < b.openFor {
		return ErrOpen
	}
	return nil
}

// Done records a call, and scans the window.
func (b *Breaker) Done(began time.Time, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.window[b.next] = outcome{began, time.Since(began), failed}
	b.next = (b.next + 1) % len(b.window)
	calls, failures := 0, 0
	for i := range b.window {
		if b.window[i].at.IsZero() {
			continue
		}
		calls++
		if b.window[i].failed {
			failures++
		}
	}
	if failed && calls >= 10 && 2*failures >= calls {
		b.opened = time.Now()
	}
}
