package api_test

import (
	"context"
	"errors"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/upstream/head"
	"github.com/bizra/bizra-top/node/validation"
)

// source is what the node puts between validation and the providers.
type source struct{ set *upstream.Set }

func (s source) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	a, err := s.set.Call(ctx, upstream.Question{Method: method, Params: encode(params)})
	return validation.Answer{Provider: a.Provider, Result: a.Result}, err
}

func (s source) CallEach(ctx context.Context, n int, method string, params ...any) []validation.Answer {
	var out []validation.Answer
	for _, a := range s.set.CallEach(ctx, n, upstream.Question{Method: method, Params: encode(params)}) {
		out = append(out, validation.Answer{Provider: a.Provider, Result: a.Result, Err: a.Err})
	}
	return out
}

// chain is what the node knows of the chain.
type chain struct{ heads *head.Tracker }

func (c chain) Canonical(number uint64) (common.Hash, bool) { return c.heads.Canonical(number) }

func (chain) Header(context.Context, common.Hash) (*types.Header, error) {
	return nil, errors.New("not kept")
}

func (s source) Providers() int                { return s.set.Len() }
func (s source) Distrust(provider, lie string) { s.set.Distrust(provider, lie) }
