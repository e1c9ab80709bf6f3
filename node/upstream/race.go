package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// race is an attempt that may be hedged. The first runs in the caller's
// goroutine: most answer before a hedge is due, and a goroutine, two channels and
// what goes with them cost more than the rest of a call. The hedge, if it comes to
// that, is run by a timer, and cancels the first when it wins.
type race struct {
	set    *Set
	call   *call
	second *provider
	ctx    context.Context // of the first; cancelled when the race is over
	over   context.CancelFunc
	ended  sync.WaitGroup // of the hedge

	mu     sync.Mutex
	winner racer
	hedged bool
	stop   context.CancelFunc // of the hedge, while it is under way
	result json.RawMessage
	err    error
}

type racer uint8

const (
	nobody racer = iota
	firstWon
	hedgeWon
)

// race asks first, and second too once first takes longer than it usually does.
// The first answer wins and the other call is cancelled. Both have ended when it
// returns, but for the closing of their connections.
func (s *Set) race(ctx context.Context, c *call, first, second *provider) (Answer, error) {
	limited, cancel := context.WithDeadline(ctx, s.limit(c.deadline))
	defer cancel()
	c.tried.add(first.index)
	c.attempts++
	after := s.hedgeAfter(first)
	if second == nil || after == 0 {
		result, err := s.attempt(limited, first, &c.q, nil)
		if !final(err) {
			c.note(first, err)
		}
		return Answer{Provider: first.name, Result: result}, err
	}
	r := &race{set: s, call: c, second: second, ctx: ctx, over: cancel}
	r.ended.Add(1)
	hedge := time.AfterFunc(after, r.hedge)
	result, err := s.attempt(limited, first, &c.q, r.lost)
	r.mu.Lock()
	if final(err) && r.winner == nobody {
		r.winner = firstWon
		if r.stop != nil {
			r.stop()
		}
	}
	r.mu.Unlock()
	if hedge.Stop() {
		if !final(err) {
			c.note(first, err)
		}
		return Answer{Provider: first.name, Result: result}, err
	}
	r.ended.Wait()
	if r.hedged {
		c.tried.add(second.index)
		c.attempts++
	}
	if !final(err) && r.winner != hedgeWon || suspicious(err) {
		c.note(first, err)
	}
	// A first that has failed is not the end while the hedge is under way.
	if r.winner == hedgeWon {
		s.metrics.hedgeWins.Inc()
		return Answer{Provider: second.name, Result: r.result}, r.err
	}
	if r.hedged && !final(r.err) && !errors.Is(r.err, context.Canceled) {
		failed := c.failed
		c.note(second, r.err)
		c.failed = failed // upstream.attempts does not count hedges
	}
	return Answer{Provider: first.name, Result: result}, err
}

// lost says that the first was cancelled because the hedge has won.
func (r *race) lost() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.winner == hedgeWon
}

// hedge asks the second.
func (r *race) hedge() {
	defer r.ended.Done()
	s, c := r.set, r.call
	ctx, cancel := context.WithDeadline(r.ctx, s.limit(c.deadline))
	defer cancel()
	r.mu.Lock()
	r.stop = cancel
	over := r.winner != nobody
	r.mu.Unlock()
	if over || !s.spend(ctx) {
		return
	}
	defer s.refund()
	s.metrics.hedges.Inc()
	// One that loses was begun later: that says nothing about it.
	result, err := s.attempt(ctx, r.second, &c.q, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hedged, r.err = true, err
	if r.winner == nobody && final(err) {
		r.winner, r.result = hedgeWon, result
		r.over()
	}
}
