package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// call is one call with all its attempts.
type call struct {
	method   string
	params   json.RawMessage
	deadline time.Time
	tried    providerSet
	attempts int // hedges included
}

// Call asks for a result, with retries and hedging. Use it for reads only: the
// same call may reach several providers. params is a JSON array. The error is an
// *RPCError, ErrUnavailable, the last *Failure, or the context's.
func (s *Set) Call(ctx context.Context, method string, params json.RawMessage) (Answer, error) {
	s.pace.used()
	return s.call(ctx, method, params)
}

// call is Call for the node's own questions, which are no reason to ask more often.
func (s *Set) call(ctx context.Context, method string, params json.RawMessage) (Answer, error) {
	s.active.Add(1)
	defer s.active.Add(-1)
	c := call{method: method, params: params, deadline: time.Now().Add(s.settings.Deadline.Get())}
	defer func() { s.metrics.attempts.Observe(float64(c.attempts)) }()

	first, second := s.pick(&c.tried)
	if first == nil {
		return Answer{}, s.unavailable()
	}
	a, err := s.race(ctx, &c, first, second)
	if err == nil || isAnswer(err) {
		return a, err
	}
	return s.again(ctx, &c, err)
}

// again makes a call that has failed with last once more, a few times.
func (s *Set) again(ctx context.Context, c *call, last error) (Answer, error) {
	until, cancel := context.WithDeadlineCause(ctx, c.deadline, ErrDeadline)
	defer cancel()
	// 50, 200, 800 ms, each give or take a fifth.
	wait := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 4,
		RandomizationFactor: 0.2, MaxInterval: 800 * time.Millisecond}
	wait.Reset()

	for range s.settings.Attempts.Get() - 1 {
		if until.Err() != nil {
			break
		}
		first, second := s.pick(&c.tried)
		if first == nil {
			return Answer{}, last // who has just failed has opened its breaker
		}
		// Another provider is asked at once; only going back to one that has
		// failed calls for a pause.
		if c.tried.has(first.index) && !sleep(until, wait.NextBackOff()) {
			break
		}
		if !s.spend(until) {
			break
		}
		s.metrics.retries.Inc()
		a, err := s.race(ctx, c, first, second)
		s.refund()
		if err == nil || isAnswer(err) {
			return a, err
		}
		last = err
	}
	switch {
	case ctx.Err() != nil:
		return Answer{}, ctx.Err()
	case until.Err() != nil:
		return Answer{}, fmt.Errorf("%w: %w", ErrDeadline, last)
	}
	return Answer{}, last
}

// ErrDeadline is returned when the time for a call is over, with all its attempts.
var ErrDeadline = errors.New("the deadline of the call has passed")

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

// pick returns whom to ask and whom to hedge with, untried ones first. It runs
// with every call, and allocates nothing.
func (s *Set) pick(tried *providerSet) (first, second *provider) {
	chain, head, lag := s.chain.Load(), s.Head(), s.settings.MaxLag.Get()
	var least, next float64
	for _, p := range s.providers {
		if ok, _ := p.usable(chain); !ok || p.full() {
			continue
		}
		cost := p.cost(head, lag)
		if tried.has(p.index) {
			cost += triedCost
		}
		switch {
		case first == nil || cost < least:
			second, next = first, least
			first, least = p, cost
		case second == nil || cost < next:
			second, next = p, cost
		}
	}
	return first, second
}

// limit is until when an attempt of a call that begins now may last.
func (s *Set) limit(deadline time.Time) time.Time {
	if t := time.Now().Add(s.settings.AttemptLimit.Get()); t.Before(deadline) {
		return t
	}
	return deadline
}

// hedgeAfter returns how long p may take before it is hedged; 0 means never.
func (s *Set) hedgeAfter(p *provider) time.Duration {
	if s.settings.HedgeAfter.Get() >= 1 {
		return 0
	}
	return max(time.Duration(p.hedge.Load()), s.settings.HedgeFloor.Get())
}

// attempt asks one provider once, under its breaker, and tells both breaker and
// metrics how it went. lost says, once the context was cancelled, that it was
// because another was faster.
func (s *Set) attempt(ctx context.Context, p *provider, method string, params json.RawMessage, lost func() bool) (json.RawMessage, error) {
	if !p.begin() {
		s.metrics.shed.Inc()
		return nil, fmt.Errorf("%s has upstream.max_calls under way: %w", p.name, ErrOverload)
	}
	defer p.end()
	permit, err := p.breaker.Acquire()
	if err != nil {
		return nil, &Failure{p.name, KindBreaker, err.Error()}
	}
	began := time.Now()
	result, err := p.ask(ctx, method, params)
	s.settle(p, permit, time.Since(began), err, lost)
	return result, err
}

func (s *Set) settle(p *provider, permit breaker.Permit, took time.Duration, err error, lost func() bool) {
	outcome := s.account(p, took, err)
	switch outcome {
	case outcomeSuccess, outcomeRPCError:
		permit.Success()
		p.observe(took)
	case outcomeShed:
		permit.Ignore()
	case outcomeCancelled:
		if lost == nil || !lost() {
			permit.Ignore()
			return
		}
		// Slower than its own usual and than the other: whoever keeps losing
		// is asked later, and a hung one trips by slowness.
		permit.Slow()
		p.bad()
		p.observe(4 * took)
	default:
		permit.Failure(err)
		p.observe(took)
	}
}

// account counts what came of asking a provider.
func (s *Set) account(p *provider, took time.Duration, err error) outcome {
	p.calls.Add(1)
	o := outcomeSuccess
	var f *Failure
	switch {
	case err == nil:
		p.good()
	case isAnswer(err):
		o = outcomeRPCError
		p.good()
	case errors.Is(err, context.Canceled):
		o = outcomeCancelled
	case errors.Is(err, ErrOverload):
		o = outcomeShed
		s.metrics.shed.Inc()
	default:
		o = outcomeFailure
		p.failures.Add(1)
		p.remember(err)
		if errors.As(err, &f) && f.Kind != KindOversized { // which is the question's doing
			p.bad()
		}
		if errors.As(err, &f) && p.counters.kinds[f.Kind] != nil {
			p.counters.kinds[f.Kind].Inc()
		}
	}
	p.counters.requests[o].Inc()
	if o != outcomeCancelled && o != outcomeShed {
		p.counters.seconds.Observe(took)
	}
	return o
}

// Once asks the best provider exactly once, without retry or hedge: for writes.
func (s *Set) Once(ctx context.Context, method string, params json.RawMessage) (Answer, error) {
	s.pace.used()
	s.active.Add(1)
	defer s.active.Add(-1)
	p, _ := s.pick(&providerSet{})
	if p == nil {
		return Answer{}, s.unavailable()
	}
	ctx, cancel := context.WithDeadline(ctx, s.limit(time.Now().Add(s.settings.Deadline.Get())))
	defer cancel()
	result, err := s.attempt(ctx, p, method, params, nil)
	return Answer{Provider: p.name, Result: result}, err
}
