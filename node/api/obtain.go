package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/upstream/head"
)

// tries bounds how many providers are asked until their answers fit together.
const tries = 4

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
	var nothing *obtained // what was absent, or in no block yet, at the first
	var last error
	witnesses := 0
	for range tries {
		answer, err := g.ask(ctx, a)
		if err != nil && a.plain != nil && notUnderstood(err) {
			a.Method, a.Params, a.plain = a.plainMethod(), a.plain, nil
			continue
		}
		if err != nil && a.subject && a.Height != 0 && len(a.Except) == 0 && errors.Is(err, upstream.ErrHeight) {
			a.Height = 0 // what it has of older blocks is good all the same
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
			if nothing != nil {
				return o, nil
			}
			nothing = &o
		case absent:
			if a.subject && a.Height == 0 {
				return obtained{}, upstream.ErrHeight // it cannot know
			}
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
		if a.hash != "" && !names(o.Result, a.hash) {
			return contradicts
		}
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
	if at := heads.Number(); o.rests.Number > at {
		if o.rests.Number-at > farAhead {
			return contradicts
		}
		if !g.upstreams.Reach(ctx, o.rests.Number) {
			return early
		}
	}
	hash, known := heads.Canonical(o.rests.Number)
	if known && hash != o.rests.Hash {
		if o.rests.Number+lateBlocks <= heads.Number() {
			g.upstreams.Distrust(o.Provider, fmt.Sprintf("%s: block %d is %x, where a quorum has %x", a.Method, o.rests.Number, o.rests.Hash[:4], hash[:4]))
		}
		return contradicts
	}
	return fits
}

const (
	// farAhead is how many blocks beyond the trusted head nobody can have.
	farAhead = 128
	// lateBlocks is how far below the head a provider that names another block is no more
	// late, as validation.reorg_depth is by default.
	lateBlocks = 3
)

// names says whether a transaction or receipt is the one with a hash.
func names(result json.RawMessage, hash string) bool {
	parser := answers.Get()
	defer answers.Put(parser)
	v, err := parser.ParseBytes(result)
	if err != nil {
		return false
	}
	own := v.GetStringBytes("transactionHash")
	if own == nil {
		own = v.GetStringBytes("hash")
	}
	return strings.EqualFold(string(own), hash)
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
