package api

import (
	"context"
	"encoding/json"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/upstream/head"
)

// loader returns what asks the providers, and says what is known of the answer.
func (g *gateway) loader(m *method, name string, params json.RawMessage) cache.Loader {
	return counted(g.bodies, answerFactor, func(ctx context.Context) (cache.Loaded, error) {
		epoch := g.cache.Epoch()
		a, done, err := g.at(ctx, m, name, params)
		if err != nil {
			return cache.Loaded{}, err
		}
		if done != nil {
			return cache.Loaded{Body: done, Class: cache.NotFound, WithHead: true, Trust: cache.Agreed}, nil
		}
		o, err := g.obtain(ctx, m, &a)
		if err != nil {
			return cache.Loaded{}, err
		}
		l := g.kept(m, &a, o)
		if o.trust == cache.Single && !l.NoStore && g.prover != nil {
			g.proveLater(m, name+string(params), &a, o, l, epoch)
		}
		return l, nil
	})
}

// proveLater has an answer that went out on one provider's word proved. Proved, it is kept
// for as long as it is true; found false, it is forgotten.
func (g *gateway) proveLater(m *method, key string, a *asked, o obtained, l cache.Loaded, epoch uint64) {
	if when := g.prover.When(a.Method); when != verify.After || o.early {
		return
	}
	l.Trust = cache.Proof
	g.prover.Later(g.answerOf(a, o), func(f verify.Finding) {
		switch f.Status {
		case verify.Proved:
			g.cache.Keep(m.class, key, l, epoch)
		case verify.Refuted:
			g.cache.Drop(key)
		}
	})
}

func (g *gateway) answerOf(a *asked, o obtained) verify.Answer {
	return verify.Answer{Method: a.Method, Params: a.Params, Result: o.Result, Provider: o.Provider}
}

// kept says how long an answer is true.
func (g *gateway) kept(m *method, a *asked, o obtained) cache.Loaded {
	heads := g.upstreams.Heads()
	l := cache.Loaded{Body: o.Result, NoStore: !m.keep || a.pending, Trust: o.trust}
	block := a.block
	if o.mined {
		block = o.rests
	}
	switch {
	case m.exists && nothingIn(o.Result):
		l.WithHead = true
		if string(o.Result) == "null" {
			l.Class = cache.NotFound
		}
	case m.constant:
		l.Immutable = true
	case m.subject && !o.mined:
		l.Class, l.WithHead = cache.RPC, true // the next block may hold it
	case a.byHash:
		l.Immutable = true // by the hash it is asked by
	case m.block == none && !m.subject, a.moving, !a.names && !o.mined:
		if m.block != none {
			l.Class = cache.RPC
		}
		l.WithHead = true
	default:
		if (block.Hash == head.Hash{}) {
			block.Hash, _ = heads.Canonical(block.Number)
		}
		l.Block = cache.BlockRef{Number: block.Number, Hash: block.Hash}
		l.Immutable = heads.Final(block.Number)
		if (block.Hash == head.Hash{}) && !l.Immutable {
			l.Class, l.WithHead = cache.RPC, true
		}
	}
	return l
}

// knownNow is what the node knows itself, if it does at once.
func (g *gateway) knownNow(m *method) (json.RawMessage, cache.Trust) {
	if m.local == localChain {
		if id := g.upstreams.ChainID(); id != 0 {
			return head.Quantity(id), cache.Agreed
		}
		return nil, cache.Single
	}
	now := g.upstreams.Moment()
	switch {
	case now == nil:
		return nil, cache.Single
	case now.Trust == head.Quorum:
		return now.Quantity, cache.Agreed
	}
	return now.Quantity, cache.Single
}

// known is knownNow, after a wait where that is needed.
func (g *gateway) known(ctx context.Context, m *method) (json.RawMessage, cache.Trust, error) {
	if m.local == localHead {
		if _, err := g.moment(ctx); err != nil {
			return nil, cache.Single, err
		}
	}
	if body, trust := g.knownNow(m); body != nil {
		return body, trust, nil
	}
	return nil, cache.Single, errNoHead
}
