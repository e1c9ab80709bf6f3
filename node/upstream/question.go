package upstream

import "encoding/json"

// Question is what providers are asked, and what one must have to be asked first.
type Question struct {
	Method string
	Params json.RawMessage // a JSON array
	// Height is the block that a provider must have reached; 0 for any.
	Height uint64
	// State says that the state at Height is needed, which not everybody keeps.
	State bool
	// Span is how many blocks of logs are asked for; 0 for none.
	Span uint64
	// Except names providers that are not to be asked.
	Except []string
	// Sound says whether a result is of the kind that the method answers; nil for no matter.
	// Another is a failure of the provider.
	Sound func(result json.RawMessage) bool
}

// excepted are those that a question is not for.
func (s *Set) excepted(q *Question) (set providerSet) {
	for _, name := range q.Except {
		for _, p := range s.providers {
			if p.name == name {
				set.add(p.index)
			}
		}
	}
	return set
}

// has says whether the provider has the block that is asked for, and the state of it as
// far as the operator has said who keeps states. It runs with every call.
func (p *provider) has(q *Question, head uint64) bool {
	if q.Height == 0 {
		return true
	}
	if p.behind(q.Height) {
		return false
	}
	return !q.State || !p.abilities.shallow || depth(head, q.Height) < shallowest
}

// behind says whether the provider is known not to have reached a height.
func (p *provider) behind(height uint64) bool {
	own := p.head.Load()
	return own != 0 && own < height
}

// depth is how far below the head a block is.
func depth(head, height uint64) uint64 {
	if head < height {
		return 0
	}
	return head - height
}
