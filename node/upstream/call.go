package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/bizra/bizra-top/node/breaker"
)

// Answer is a result and who gave it.
type Answer struct {
	Provider string
	Result   json.RawMessage
	Err      error // set by CallEach only
}

// minimumExtra is how many retries and hedges are always allowed at once.
const minimumExtra = 3

// Call asks for a result, with retries and hedging. Use it for reads only: the
// same call may reach several providers. params is a JSON array. The error is an
// *RPCError, ErrUnavailable, the last *Failure, or the context's.
func (s *Set) Call(ctx context.Context, method string, params json.RawMessage) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.settings.Deadline.Get(), ErrDeadline)
	defer cancel()
	s.active.Add(1)
	defer s.active.Add(-1)

	// 50, 200, 800 ms, each give or take a fifth.
	wait := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 4,
		RandomizationFactor: 0.2, MaxInterval: 800 * time.Millisecond}
	wait.Reset()

	tried := map[*provider]bool{}
	var last error
	for attempt := range s.settings.Attempts.Get() {
		first, second := s.pick(tried)
		if first == nil {
			if last != nil {
				return Answer{}, last // who has just failed has opened its breaker
			}
			return Answer{}, s.unavailable()
		}
		if attempt > 0 {
			release, ok := s.spend()
			if !ok {
				s.metrics.budgetSpent.Inc()
				return Answer{}, last
			}
			s.metrics.retries.Inc()
			defer release()
			// Another provider is asked at once; only going back to one that
			// has failed calls for a pause.
			if tried[first] && !sleep(ctx, wait.NextBackOff()) {
				return Answer{}, errors.Join(last, context.Cause(ctx))
			}
		}
		tried[first] = true
		a, err := s.race(ctx, first, second, method, params, tried)
		if err == nil || isAnswer(err) {
			return a, err
		}
		if ctx.Err() != nil {
			return Answer{}, deadlineError(ctx, err)
		}
		last = err
	}
	return Answer{}, last
}

// ErrDeadline is returned when the time for a call is over, with all its attempts.
var ErrDeadline = errors.New("the deadline of the call has passed")

func deadlineError(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrDeadline) {
		return fmt.Errorf("%w: %w", ErrDeadline, err)
	}
	return ctx.Err()
}

func isAnswer(err error) bool {
	var rpc *RPCError
	return errors.As(err, &rpc)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pick returns whom to ask and whom to hedge with, untried ones first.
func (s *Set) pick(tried map[*provider]bool) (first, second *provider) {
	c := s.candidates()
	for _, fresh := range []bool{true, false} {
		for _, p := range c {
			if tried[p] == fresh {
				continue
			}
			if first == nil {
				first = p
			} else if second == nil && p != first {
				second = p
			}
		}
	}
	return first, second
}

// spend takes one retry or hedge from the budget.
func (s *Set) spend() (release func(), ok bool) {
	allowed := max(minimumExtra, int64(s.settings.RetryBudget.Get()*float64(s.active.Load())))
	if s.extra.Add(1) > allowed {
		s.extra.Add(-1)
		return nil, false
	}
	return func() { s.extra.Add(-1) }, true
}

// race asks first, and second too once first takes longer than it usually does.
// The first answer wins and the other call is cancelled. Both have ended when it
// returns, but for the closing of their connections.
func (s *Set) race(ctx context.Context, first, second *provider, method string, params json.RawMessage, tried map[*provider]bool) (Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		from *provider
		Answer
		err error
	}
	results := make(chan outcome, 2)
	won := make(chan struct{})
	var wg sync.WaitGroup
	// The loser reports to its breaker before race returns.
	defer wg.Wait()
	defer cancel()
	start := func(p *provider) {
		wg.Go(func() {
			result, err := s.attempt(ctx, p, method, params, won)
			results <- outcome{p, Answer{Provider: p.name, Result: result}, err}
		})
	}
	start(first)
	under := 1

	var hedge <-chan time.Time
	if after := s.hedgeAfter(first); second != nil && after > 0 {
		t := time.NewTimer(after)
		defer t.Stop()
		hedge = t.C
	}
	for {
		select {
		case o := <-results:
			if under--; o.err != nil && !isAnswer(o.err) && under > 0 {
				continue // the other one is still at it
			}
			if under > 0 {
				close(won)
				if o.from == second {
					s.metrics.hedgeWins.Inc()
				}
			}
			return o.Answer, o.err
		case <-hedge:
			hedge = nil
			if release, ok := s.spend(); ok {
				defer release()
				s.metrics.hedges.Inc()
				tried[second] = true
				start(second)
				under++
			}
		}
	}
}

// hedgeAfter returns how long p may take before it is hedged; 0 means never.
func (s *Set) hedgeAfter(p *provider) time.Duration {
	if s.settings.HedgeAfter.Get() >= 1 {
		return 0
	}
	return max(time.Duration(p.hedge.Load()), s.settings.HedgeFloor.Get())
}

// attempt asks one provider once, under its breaker and the attempt's limit, and
// tells both breaker and metrics how it went. won is closed when the answer is
// no longer needed.
func (s *Set) attempt(ctx context.Context, p *provider, method string, params json.RawMessage, won <-chan struct{}) (json.RawMessage, error) {
	permit, err := p.breaker.Acquire()
	if err != nil {
		return nil, &Failure{p.name, "breaker", err.Error()}
	}
	limited, cancel := context.WithTimeout(ctx, s.settings.AttemptLimit.Get())
	defer cancel()
	began := time.Now()
	result, err := p.ask(limited, method, params)
	s.settle(ctx, p, permit, time.Since(began), err, won)
	return result, err
}

func (s *Set) settle(ctx context.Context, p *provider, permit breaker.Permit, took time.Duration, err error, won <-chan struct{}) {
	p.calls.Add(1)
	outcome := "success"
	switch {
	case err == nil:
		permit.Success()
		p.observe(took)
	case isAnswer(err):
		outcome = "rpc_error"
		permit.Success()
		p.observe(took)
	case errors.Is(err, context.Canceled):
		outcome = "cancelled"
		select {
		case <-won:
			// Slower than its own usual and than the other: whoever keeps
			// losing is asked later, and a hung one trips by slowness.
			permit.Slow()
			p.observe(4 * took)
		default:
			permit.Ignore()
		}
	default:
		outcome = "failure"
		p.failures.Add(1)
		p.remember(err)
		permit.Failure(err)
		if ctx.Err() == nil {
			p.observe(took)
		}
	}
	s.metrics.requests.WithLabelValues(p.name, outcome).Inc()
	if outcome != "cancelled" {
		s.metrics.latency.WithLabelValues(p.name).Observe(took.Seconds())
	}
}

// Once asks the best provider exactly once, without retry or hedge: for writes.
func (s *Set) Once(ctx context.Context, method string, params json.RawMessage) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Deadline.Get())
	defer cancel()
	s.active.Add(1)
	defer s.active.Add(-1)
	p, _ := s.pick(nil)
	if p == nil {
		return Answer{}, s.unavailable()
	}
	result, err := s.attempt(ctx, p, method, params, nil)
	return Answer{Provider: p.name, Result: result}, err
}
