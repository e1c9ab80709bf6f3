package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/upstream/refusal"
)

// Answer is a result and who gave it.
type Answer struct {
	Provider string
	Result   json.RawMessage
	Err      error // set by CallEach only
}

// call is one call with all its attempts.
type call struct {
	q        Question
	deadline time.Time
	tried    providerSet
	except   providerSet // not to be asked, or not to be asked again: it would refuse again
	suspects providerSet // have failed, or the question cannot be answered
	attempts int         // hedges included
	failed   int         // of them, those that were not refusals
	refusals refusals
}

// Call asks for a result, with retries and hedging. Use it for reads only: the same call
// may reach several providers.
//
// A provider that refuses is not asked again; the others are, until one answers or all that
// can be asked have refused. The error is an *RPCError, an *Exhausted, a *HeightError, an
// *Unavailable, a *Failure, ErrOverload, ErrDeadline, or the context's. Where the errors of
// several providers differ it is the one that tells the client most.
func (s *Set) Call(ctx context.Context, q Question) (Answer, error) {
	s.pace.used()
	s.active.Add(1)
	defer s.active.Add(-1)
	c := call{q: q, deadline: time.Now().Add(s.settings.Deadline.Get())}
	if len(q.Except) > 0 {
		c.except = s.excepted(&c.q)
	}
	defer func() { s.metrics.attempts.Observe(float64(c.attempts)) }()

	first, second := s.pick(&c)
	if first == nil {
		return Answer{}, s.cannot(&c.q)
	}
	a, err := s.race(ctx, &c, first, second)
	if !final(err) {
		a, err = s.again(ctx, &c)
	}
	if final(err) && c.suspects != (providerSet{}) {
		s.blame(c.suspects)
	}
	return a, err
}

// again makes a call that has failed once more, a few times, and asks those who have not
// refused yet.
func (s *Set) again(ctx context.Context, c *call) (Answer, error) {
	until, cancel := context.WithDeadlineCause(ctx, c.deadline, ErrDeadline)
	defer cancel()
	// 50, 200, 800 ms, each give or take a fifth.
	wait := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 4,
		RandomizationFactor: 0.2, MaxInterval: 800 * time.Millisecond}
	wait.Reset()

	for until.Err() == nil && c.failed < s.settings.Attempts.Get() && c.refusals.open() {
		first, second := s.pick(c)
		if first == nil && !isAnswer(c.refusals.best) && s.late(until, c) {
			continue
		}
		if first == nil {
			break // whoever has just failed has opened its breaker
		}
		// Whoever has just said that it does not serve a method is not asked again for
		// every question that a stranger makes up.
		if c.refusals.methods && first.abilities.justMissed(c.q.Method) {
			break
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
		if final(err) {
			return a, err
		}
	}
	err := c.refusals.error(&c.q)
	switch {
	case ctx.Err() != nil:
		return Answer{}, ctx.Err()
	case until.Err() != nil && !isAnswer(err):
		return Answer{}, fmt.Errorf("%w: %w", ErrDeadline, err)
	}
	return Answer{}, err
}

// ErrDeadline is returned when the time for a call is over, with all its attempts.
var ErrDeadline = errors.New("the deadline of the call has passed")

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

// note takes in that p has not answered.
func (c *call) note(p *provider, err error) {
	if suspicious(err) {
		c.suspects.add(p.index)
	}
	switch class := classOf(err); {
	case oversized(err):
		c.except.add(p.index)
		c.refusals.unknown++ // another may send less, but it is hardly worth asking all
	case unsound(err):
		c.except.add(p.index)
	case isAnswer(err), class != refusal.Unknown && class != refusal.Unavailable:
		c.except.add(p.index)
	default:
		c.failed++
	}
	c.refusals.add(err)
}

// blame tells the breakers of those who could not answer what another has answered. Where
// nobody can, it is the question: a stranger must not open breakers with it.
func (s *Set) blame(suspects providerSet) {
	for _, p := range s.providers {
		if !suspects.has(p.index) {
			continue
		}
		p.bad()
		if permit, err := p.breaker.Acquire(); err == nil {
			permit.Failure(errors.New("could not answer what another provider has answered"))
		}
	}
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

// attempt asks one provider once, under its breaker, and tells breaker, metrics and what is
// known of the provider how it went. lost says, once the context was cancelled, that it was
// because another was faster.
func (s *Set) attempt(ctx context.Context, p *provider, q *Question, lost func() bool) (json.RawMessage, error) {
	return s.attemptUpTo(ctx, p, q, p.maxBody(), lost)
}

// attemptUpTo is attempt for an answer of at most limit bytes.
func (s *Set) attemptUpTo(ctx context.Context, p *provider, q *Question, limit int64, lost func() bool) (json.RawMessage, error) {
	if !p.begin() {
		s.metrics.shed.Inc()
		return nil, fmt.Errorf("%s has upstream.max_calls under way: %w", p.name, ErrOverload)
	}
	defer p.end()
	permit, err := p.breaker.Acquire()
	if err != nil {
		return nil, p.failure(KindBreaker, err.Error())
	}
	began := time.Now()
	result, err := p.askUpTo(ctx, q.Method, q.Params, limit)
	took := time.Since(began)
	if err == nil && q.Sound != nil && !q.Sound(result) {
		err = p.failure(KindUnsound, "no answer to "+q.Method+": "+p.text(string(result[:min(len(result), 400)]), 60))
		result = nil
	}
	if err == nil {
		p.abilities.answered(q, s.Head())
	} else if rpc := rpcOf(err); rpc != nil {
		p.abilities.learn(q, s.Head(), rpc.Reading.Teaches)
	}
	if suspicious(err) {
		permit.Ignore() // see blame
		s.count(p, outcomeFailure, took, err)
		return nil, err
	}
	s.settle(p, permit, took, err, lost)
	return result, err
}

func (s *Set) settle(p *provider, permit breaker.Permit, took time.Duration, err error, lost func() bool) {
	switch s.account(p, took, err) {
	case outcomeSuccess:
		permit.Success()
		p.observe(took)
	case outcomeRPCError:
		if !final(err) { // how long it takes to refuse says nothing about the provider
			permit.Ignore()
			return
		}
		permit.Success()
		p.observe(took)
	case outcomeShed, outcomeRefused:
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

// account counts what came of asking a provider, and notes whether it is well.
func (s *Set) account(p *provider, took time.Duration, err error) outcome {
	o := outcomeOf(err)
	s.count(p, o, took, err)
	switch o {
	case outcomeSuccess, outcomeRPCError:
		p.good()
	case outcomeFailure:
		if failureOf(err) != nil || isAnswer(err) { // and not a panic, which is ours
			p.bad()
		}
	}
	return o
}

// outcomeOf says what an error is for the provider: an error of JSON-RPC is an answer,
// unless the provider is ill.
func outcomeOf(err error) outcome {
	class := classOf(err)
	switch {
	case err == nil:
		return outcomeSuccess
	case isAnswer(err) && !class.Ill():
		return outcomeRPCError
	case errors.Is(err, context.Canceled):
		return outcomeCancelled
	case errors.Is(err, ErrOverload):
		return outcomeShed
	case class != refusal.Unknown && !class.Ill():
		return outcomeRefused
	}
	return outcomeFailure
}

// count counts an outcome.
func (s *Set) count(p *provider, o outcome, took time.Duration, err error) {
	p.calls.Add(1)
	if class := classOf(err); isAnswer(err) || class != refusal.Unknown {
		p.counters.classes[class].Inc()
	}
	switch o {
	case outcomeShed:
		s.metrics.shed.Inc()
	case outcomeFailure, outcomeRefused:
		p.failures.Add(1)
		p.remember(err)
		if f := failureOf(err); f != nil && p.counters.kinds[f.Kind] != nil {
			p.counters.kinds[f.Kind].Inc()
		}
	}
	p.counters.requests[o].Inc()
	if o != outcomeCancelled && o != outcomeShed {
		p.counters.seconds.Observe(took)
	}
}
