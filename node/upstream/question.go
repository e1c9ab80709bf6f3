package upstream

import (
	"context"
	"encoding/json"
)

// Question is what providers are asked.
type Question struct {
	Method string
	Params json.RawMessage
	Height uint64
	State  bool
	Span   uint64
	Except []string
}

// Ask is Call for a question.
func (s *Set) Ask(ctx context.Context, q Question) (Answer, error) {
	return s.Call(ctx, q.Method, q.Params)
}
