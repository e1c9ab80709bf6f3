package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/bizra/bizra-top/node/upstream/refusal"
)

// Once asks the best provider once, without retry or hedge: for writes that may not be made
// twice. Another is asked only where one has refused, or could not be reached, before it took
// the question in.
func (s *Set) Once(ctx context.Context, q Question) (Answer, error) {
	s.pace.used()
	s.active.Add(1)
	defer s.active.Add(-1)
	ctx, cancel := context.WithDeadline(ctx, s.limit(time.Now().Add(s.settings.Deadline.Get())))
	defer cancel()
	var bad refusals
	for _, p := range s.candidates(&q) {
		result, err := s.attempt(ctx, p, &q, nil)
		if err == nil || !untaken(err) {
			return Answer{Provider: p.name, Result: result}, err
		}
		bad.add(err)
	}
	if bad.best == nil {
		return Answer{}, s.cannot(&q)
	}
	return Answer{}, bad.error(&q)
}

// untaken says whether a provider has certainly not done what it was asked.
func untaken(err error) bool {
	if f := failureOf(err); f != nil && (f.unsent || f.Kind == KindBreaker) {
		return true
	}
	switch classOf(err) {
	case refusal.Quota, refusal.Auth, refusal.Method:
		return true
	}
	return errors.Is(err, ErrOverload)
}
