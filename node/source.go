package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/upstream/head"
	"github.com/bizra/bizra-top/node/validation"
)

// NewSource lets a validator ask the providers of a set.
func NewSource(set *upstream.Set) validation.Source { return source{set} }

type source struct{ set *upstream.Set }

func (s source) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	raw, err := encode(params)
	if err != nil {
		return validation.Answer{}, err
	}
	a, err := s.set.Call(ctx, upstream.Question{Method: method, Params: raw})
	return validation.Answer{Provider: a.Provider, Result: a.Result}, err
}

func (s source) CallEach(ctx context.Context, count int, method string, params ...any) []validation.Answer {
	raw, err := encode(params)
	if err != nil {
		return []validation.Answer{{Err: err}}
	}
	answers := s.set.CallEach(ctx, count, upstream.Question{Method: method, Params: raw})
	out := make([]validation.Answer, len(answers))
	for i, a := range answers {
		out[i] = validation.Answer{Provider: a.Provider, Result: a.Result, Err: a.Err}
	}
	return out
}

func (s source) Providers() int { return s.set.Len() }

func (s source) Distrust(provider, lie string) { s.set.Distrust(provider, lie) }

// trusted is the trusted chain, for proofs.
type trusted struct{ heads *head.Tracker }

func (t trusted) Canonical(number uint64) (common.Hash, bool) { return t.heads.Canonical(number) }

func (trusted) Header(context.Context, common.Hash) (*types.Header, error) {
	return nil, errNoHeaders
}

var errNoHeaders = errors.New("the trusted chain keeps hashes alone")

// lied is told of an answer that was found to be false: nothing that rests on one
// provider's word is used again.
func (n *Node) lied(provider, reason string, a verify.Answer) {
	n.upstreams.Distrust(provider, printable.Clean(a.Method+": "+reason, 200))
	if c := n.cached.Load(); c != nil {
		c.Moved()
	}
}

func encode(params []any) (json.RawMessage, error) {
	if len(params) == 0 {
		return json.RawMessage("[]"), nil
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	return raw, nil
}
