package api

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/upstream/head"
)

const (
	// tries bounds how many providers are asked until their answers fit together.
	tries = 4
	// hashlessFor is how long a method is asked by number after the providers did not
	// understand a hash.
	hashlessFor = 10 * time.Minute
)

// obtained is an answer that fits what is known of the chain.
type obtained struct {
	upstream.Answer
	rests head.Block // the block that it names itself
	mined bool       // it names one
	early bool       // a quorum has not reached its block: it is not what the provider sent
	trust cache.Trust
}

// fit is how an answer goes together with what is known of the chain.
type fit uint8

const (
	fits        fit = iota
	absent          // null, or no logs: another provider may know more
	contradicts     // it rests on a block that is not canonical
	early           // it rests on a block that a quorum has not reached
	unheard         // it rests on a block, and no head is known
)

// errContradicts is returned where every provider that could be asked answers from a chain
// that a quorum does not have.
var errContradicts = errors.New("no provider's answer fits the blocks that a quorum has")

// obtain asks for what a call means, until an answer fits.
func (g *gateway) obtain(ctx context.Context, m *method, a *asked) (obtained, error) {
	var nothing *obtained // what was absent at the first
	var last error
	witnesses := 0
	for range tries {
		answer, err := g.ask(ctx, a)
		if err != nil && a.plain != nil && notUnderstood(err) {
			g.plain.Store(a.plainMethod(), monotonic.Now()+int64(hashlessFor))
			a.Method, a.Params, a.plain = a.plainMethod(), a.plain, nil
			continue
		}
		if err != nil {
			if last == nil || len(a.Except) == 0 {
				last = err
			}
			break
		}
		o := obtained{Answer: answer, trust: cache.Single}
		switch g.fit(ctx, m, a, &o) {
		case fits:
			if !g.proveNow(ctx, a, &o) {
				last = errContradicts
				break
			}
			return o, nil
		case early:
			o.Result, o.mined, o.early = unmined(o.Result), false, true
			return o, nil
		case absent:
			// A provider that is behind, or on another fork, does not know what is there.
			if g.upstreams.Stands(answer.Provider) {
				if witnesses++; witnesses >= g.quorum() {
					return nothing.with(o, witnesses >= g.upstreams.Heads().Quorum()), nil
				}
			}
			if nothing == nil {
				a.Except = append(a.Except, g.upstreams.Apart()...)
			}
			o = nothing.with(o, false)
			nothing = &o
		case unheard:
			return obtained{}, errNoHead
		case contradicts:
			last = errContradicts
		}
		a.Except = append(a.Except, answer.Provider)
	}
	switch {
	case nothing != nil && g.upstreams.Heads().Now() == nil:
		return obtained{}, errNoHead // who knows nothing may be the one that is wrong
	case nothing != nil:
		return *nothing, nil
	}
	return obtained{}, last
}

// proveNow proves an answer where that is to be done before it goes out; false for one that
// was found to be false.
func (g *gateway) proveNow(ctx context.Context, a *asked, o *obtained) bool {
	if g.prover == nil || g.prover.When(a.Method) != verify.Before {
		return true
	}
	switch g.prover.Prove(ctx, g.answerOf(a, *o)).Status {
	case verify.Proved:
		o.trust = cache.Proof
		if class, ok := verify.ClassOf(a.Method); ok && class == verify.Constants {
			o.trust = cache.Agreed
		}
	case verify.Refuted:
		return false
	}
	return true
}

// plainMethod is the method that goes with the parameters without a hash.
func (a *asked) plainMethod() string {
	if a.method != "" {
		return a.method
	}
	return a.Method
}

func (g *gateway) ask(ctx context.Context, a *asked) (upstream.Answer, error) {
	return g.upstreams.Call(ctx, a.Question)
}

// hashless says whether a method is asked by number, since hashes were not understood.
func (g *gateway) hashless(method string) bool {
	until, ok := g.plain.Load(method)
	return ok && monotonic.Now() < until.(int64)
}

// notUnderstood says whether a provider may have been asked in a form it does not know.
func notUnderstood(err error) bool {
	var rpc *upstream.RPCError
	return errors.As(err, &rpc) && rpc.Code == codeParams
}

// fit compares an answer with the moment.
func (g *gateway) fit(ctx context.Context, m *method, a *asked, o *obtained) fit {
	heads := g.upstreams.Heads()
	switch {
	case m.exists && nothingIn(o.Result):
		switch {
		case a.pending:
			return fits
		case m.class == cache.Block && a.names && a.block.Hash != (head.Hash{}) && o.Result[0] == 'n':
			return contradicts // a quorum has the block
		}
		return absent
	case m.subject:
		o.rests, o.mined = blockIn(o.Result, "blockHash", "blockNumber")
	case m.whole || m.names == hashOnly && a.byHash:
		o.rests, o.mined = blockIn(o.Result, "hash", "number")
		if !o.mined {
			o.rests, o.mined = blockIn(o.Result, "blockHash", "blockNumber")
		}
		if o.mined && (a.block.Hash != head.Hash{}) && o.rests.Hash != a.block.Hash || m.whole && a.names && (!o.mined || o.rests.Number != a.block.Number) {
			return contradicts
		}
		if a.byHash {
			return fits
		}
	case m.names == byFilter && a.names:
		return g.fitLogs(o.Result, a)
	default:
		return fits
	}
	switch {
	case !o.mined && a.Method == "eth_getTransactionByHash":
		if !isPending(a.Params, o.Result) {
			g.upstreams.Distrust(o.Provider, "the pending transaction has another hash")
			return contradicts
		}
		return absent // of another provider's blocks it may not be
	case !o.mined:
		return fits
	}
	if heads.Now() == nil {
		return unheard
	}
	if o.rests.Number > heads.Number() && !g.upstreams.Reach(ctx, o.rests.Number) {
		return early
	}
	if hash, known := heads.Canonical(o.rests.Number); known && hash != o.rests.Hash {
		return contradicts
	}
	return fits
}

// fitLogs says whether logs are from canonical blocks of the range that was asked for.
func (g *gateway) fitLogs(result json.RawMessage, a *asked) fit {
	parser := answers.Get()
	defer answers.Put(parser)
	v, err := parser.ParseBytes(result)
	if err != nil {
		return contradicts
	}
	heads := g.upstreams.Heads()
	for _, log := range v.GetArray() {
		b, ok := blockOf(log, "blockHash", "blockNumber")
		if !ok || b.Number > a.block.Number || b.Number+a.Span <= a.block.Number {
			return contradicts
		}
		if hash, known := heads.Canonical(b.Number); known && hash != b.Hash {
			return contradicts
		}
	}
	return fits
}

// nothingIn says whether an answer is null or an empty list.
func nothingIn(result json.RawMessage) bool {
	text := strings.TrimSpace(string(result[:min(len(result), 8)]))
	return text == "null" || strings.ReplaceAll(text, " ", "") == "[]"
}

// unmined is what is said of a transaction whose block a quorum has not reached: its
// receipt is not there yet, and it is in no block.
func unmined(result json.RawMessage) json.RawMessage {
	null := json.RawMessage("null")
	parser := answers.Get()
	defer answers.Put(parser)
	v, err := parser.ParseBytes(result)
	if err != nil || v.Get("input") == nil { // a receipt has none
		return null
	}
	var arena fastjson.Arena
	for _, name := range []string{"blockHash", "blockNumber", "transactionIndex", "blockTimestamp"} {
		if v.Get(name) != nil {
			v.Set(name, arena.NewNull())
		}
	}
	return v.MarshalTo(nil)
}

// blockIn reads which block an answer names in two of its members.
func blockIn(result json.RawMessage, hash, number string) (head.Block, bool) {
	parser := answers.Get()
	defer answers.Put(parser)
	v, err := parser.ParseBytes(result)
	if err != nil {
		return head.Block{}, false
	}
	return blockOf(v, hash, number)
}

func blockOf(v *fastjson.Value, hash, number string) (b head.Block, ok bool) {
	if b.Hash, ok = hashOf(string(v.GetStringBytes(hash))); !ok {
		return head.Block{}, false
	}
	digits, ok := strings.CutPrefix(string(v.GetStringBytes(number)), "0x")
	var err error
	b.Number, err = strconv.ParseUint(digits, 16, 64)
	return b, ok && err == nil
}

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
