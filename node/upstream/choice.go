package upstream

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/monotonic"
)

// ErrUnavailable is returned, at once, when no provider can be asked.
var ErrUnavailable = errors.New("no provider can be asked")

// Unavailable is ErrUnavailable with why each provider cannot be asked: its name and state,
// in words of this package.
type Unavailable struct{ Reasons []string }

func (u *Unavailable) Error() string {
	return ErrUnavailable.Error() + ": " + strings.Join(u.Reasons, ", ")
}

// Is makes it an ErrUnavailable.
func (u *Unavailable) Is(target error) bool { return target == ErrUnavailable }

// Exhausted says that every provider that could be asked refuses for its quota. It is an
// ErrUnavailable.
type Exhausted struct{ Wait time.Duration } // until one of them may be asked again

func (e *Exhausted) Error() string {
	return fmt.Sprintf("every provider refuses for its quota; try again in %s", e.Wait.Round(time.Second)+time.Second)
}

// Is makes it an ErrUnavailable.
func (e *Exhausted) Is(target error) bool { return target == ErrUnavailable }

// ErrHeight is returned when no provider that can be asked has reached the block that a
// question needs.
var ErrHeight = errors.New("no provider has reached the block")

// HeightError is ErrHeight with the block.
type HeightError struct{ Height uint64 }

func (e *HeightError) Error() string {
	return fmt.Sprintf("no provider has reached block %d", e.Height)
}

// Is makes it an ErrHeight.
func (e *HeightError) Is(target error) bool { return target == ErrHeight }

// pick returns whom to ask and whom to hedge with, untried ones first. It runs with every
// call, and allocates nothing.
func (s *Set) pick(c *call) (first, second *provider) {
	chain, head, lag := s.chain.Load(), s.Head(), s.settings.MaxLag.Get()
	var least, next float64
	for _, p := range s.providers {
		if c.except.has(p.index) {
			continue
		}
		if ok, _ := p.usable(chain); !ok || p.full() || !p.has(&c.q, head) {
			continue
		}
		cost := s.cost(p, &c.q, head, lag)
		if c.tried.has(p.index) {
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

// cost is what a question is expected to cost at a provider. One that is on another fork is
// asked behind all that are well.
func (s *Set) cost(p *provider, q *Question, head uint64, lag int) float64 {
	cost := p.cost(head, lag)
	if s.heads.Strays(p.index) {
		cost += lastCost
	}
	if p.abilities.lacks(q, head) {
		cost += lackCost
	}
	return cost
}

// candidates returns the providers that can be asked, best first.
func (s *Set) candidates(q *Question) []*provider {
	type ranked struct {
		*provider
		cost float64 // read once: it moves while calls end
	}
	chain, head, lag := s.chain.Load(), s.Head(), s.settings.MaxLag.Get()
	except := s.excepted(q)
	list := make([]ranked, 0, len(s.providers))
	for _, p := range s.providers {
		if ok, _ := p.usable(chain); !ok || p.full() || except.has(p.index) || !p.has(q, head) {
			continue
		}
		list = append(list, ranked{p, s.cost(p, q, head, lag)})
	}
	slices.SortStableFunc(list, func(a, b ranked) int { return cmp.Compare(a.cost, b.cost) })
	out := make([]*provider, len(list))
	for i, r := range list {
		out[i] = r.provider
	}
	return out
}

// cannot says why nobody can be asked a question: no provider has reached the block,
// everybody who could be asked is at a limit of this node or refuses for a quota, or else
// for each provider a reason of its own.
func (s *Set) cannot(q *Question) error {
	head, except := s.Head(), s.excepted(q)
	reasons := make([]string, 0, len(s.providers))
	resting, broken, behind, reached := time.Duration(0), false, false, false
	for _, p := range s.providers {
		if except.has(p.index) {
			reasons = append(reasons, p.name+" not wanted")
			continue
		}
		ok, why := p.usable(s.chain.Load())
		late := p.behind(q.Height)
		reached = reached || !late
		switch {
		case ok && late:
			behind, why = true, "behind"
		case ok && !p.has(q, head):
			why = "does not keep the state"
		case ok:
			s.metrics.shed.Inc()
			return fmt.Errorf("every provider has upstream.max_calls under way: %w", ErrOverload)
		case why == stateResting:
			if left := time.Duration(p.rests.until.Load() - monotonic.Now()); resting == 0 || left < resting {
				resting = max(left, time.Millisecond)
			}
		case why != stateDrained && why != stateWrongChain:
			broken = true
		}
		reasons = append(reasons, p.name+" "+why)
	}
	switch {
	case behind && !reached:
		return &HeightError{q.Height}
	case resting > 0 && !broken:
		return &Exhausted{resting}
	}
	return &Unavailable{reasons}
}
