package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/supervise"
)

// CallEach asks up to n different providers at once and returns what each said,
// in no particular order. A provider that fails or refuses is replaced by the next that
// has not been asked; failures stay in the answer, with Err set. Where nobody has reached
// the block that is asked for, that is the one answer.
//
// Once more than half have answered, the others are given twice the time that
// those usually take, and are then left behind: one hung provider must not decide
// how long a quorum takes. Whoever is left behind counts as slow, as in a lost
// hedge. Without hedging everyone is waited for.
func (s *Set) CallEach(ctx context.Context, n int, q Question) []Answer {
	s.pace.used()
	deadline := time.Now().Add(s.settings.Deadline.Get())
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	s.active.Add(1)
	defer s.active.Add(-1)
	queue := &candidateQueue{left: s.candidates(&q)}
	if len(queue.left) == 0 {
		if err := s.cannot(&q); errors.Is(err, ErrHeight) {
			return []Answer{{Err: err}}
		}
	}
	n = min(n, len(queue.left))

	type said struct {
		by *provider
		Answer
		last bool // of this worker
	}
	heard := make(chan said)
	left := make(chan struct{}) // closed when whoever is still at it is left behind
	worker := func(p *provider) {
		for {
			limited, done := context.WithDeadline(ctx, s.limit(deadline))
			result, err := s.attempt(limited, p, &q, func() bool { return isClosed(left) })
			done()
			if errors.Is(err, context.Canceled) && isClosed(left) {
				err = p.failure(KindSlow, "slower than the others")
			}
			now := said{by: p, Answer: Answer{p.name, result, err}, last: true}
			if !final(err) && ctx.Err() == nil {
				p = queue.next()
				now.last = p == nil
			}
			heard <- now
			if now.last {
				return
			}
		}
	}
	// Handed out before anyone starts: a worker that fails at once must not take
	// another's first.
	var first []*provider
	for range n {
		first = append(first, queue.next())
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	for _, p := range first {
		supervise.Go(&workers, "question to many providers", func() { worker(p) }, func(err error) {
			heard <- said{by: p, Answer: Answer{p.name, nil, err}, last: true}
		})
	}

	var answers []Answer
	var suspects providerSet
	var usual time.Duration // of the slowest that has answered
	var grace <-chan time.Time
	good := 0
	for working := n; working > 0; {
		select {
		case a := <-heard:
			answers = append(answers, a.Answer)
			if a.last {
				working--
			}
			if suspicious(a.Err) {
				suspects.add(a.by.index)
			}
			if final(a.Err) {
				good++
				usual = max(usual, s.hedgeAfter(a.by))
			}
			if grace == nil && usual > 0 && good > n/2 && working > 0 && !isClosed(left) {
				t := time.NewTimer(2 * usual)
				defer t.Stop()
				grace = t.C
			}
		case <-grace:
			grace = nil
			close(left)
			cancel()
		}
	}
	if good > 0 {
		s.blame(suspects)
	}
	return answers
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// candidateQueue hands out each candidate once.
type candidateQueue struct {
	mu   sync.Mutex
	left []*provider
}

func (q *candidateQueue) next() *provider {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.left) == 0 {
		return nil
	}
	p := q.left[0]
	q.left = q.left[1:]
	return p
}
