package head

import "time"

// seat is what one provider has said.
type seat struct {
	newest   uint64
	heard    time.Time // when it last said anything
	advanced time.Time // when its newest block last became higher
	view     map[uint64]Hash
	missing  map[uint64]bool // heights that it was asked for, and did not tell
	hashless bool            // it tells numbers alone
	safe     Block
	final    Block
	tags     tagState
	asking   bool // a question of the tracker's is under way
	ahead    bool // it was reported as far ahead
}

type tagState uint8

const (
	tagUnknown tagState = iota
	tagKnown
	tagMissing
)

// learn takes a header into the provider's view of the chain. What contradicts it is
// forgotten: the provider has changed to another fork.
func (s *seat) learn(h Header) {
	if s.view == nil {
		s.view, s.missing = map[uint64]Hash{}, map[uint64]bool{}
	}
	before, ok := s.view[h.Number]
	if ok && before != h.Hash {
		clear(s.view)
	}
	if h.Number > 0 {
		if parent, ok := s.view[h.Number-1]; ok && parent != h.Parent {
			clear(s.view)
		}
		s.view[h.Number-1] = h.Parent
	}
	s.view[h.Number] = h.Hash
}

// reach notes the provider's newest block.
func (s *seat) reach(number uint64, now time.Time) {
	if number > s.newest || s.heard.IsZero() {
		s.advanced = now
	}
	if number != s.newest {
		clear(s.missing)
		for n := range s.view {
			if n > number || n+2*steps < number {
				delete(s.view, n)
			}
		}
	}
	s.newest, s.heard = number, now
}
