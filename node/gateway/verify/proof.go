package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/validation"
)

// proof is the work on one answer. What it returns as an error is a lie, as
// [validation.Lie] tells it, or the reason why nothing is proved.
type proof struct {
	*Prover
	ctx    context.Context
	answer Answer
	params []json.RawMessage
	on     Block
	waited time.Duration // for providers
}

var errNull = errors.New("nothing proves that something does not exist")

func (w *proof) read() error {
	if err := json.Unmarshal(w.answer.Params, &w.params); err != nil && len(w.answer.Params) > 0 {
		return fmt.Errorf("the parameters are not a list: %w", err)
	}
	return nil
}

// trim takes the white space of JSON away, and no other.
func trim(raw json.RawMessage) string { return string(bytes.Trim(raw, " \t\r\n")) }

func isNull(raw json.RawMessage) bool {
	text := trim(raw)
	return text == "" || text == "null"
}

// param reads a parameter, which must be there.
func param[T any](w *proof, i int) (v T, err error) {
	if i >= len(w.params) || isNull(w.params[i]) {
		return v, fmt.Errorf("parameter %d is missing", i)
	}
	if err := json.Unmarshal(w.params[i], &v); err != nil {
		return v, fmt.Errorf("parameter %d: %w", i, err)
	}
	return v, nil
}

// where resolves a parameter that names a block to the hash of the block it means.
func (w *proof) where(i int) (Block, error) {
	var named struct {
		Hash      *common.Hash    `json:"blockHash"`
		Number    *hexutil.Uint64 `json:"blockNumber"`
		Canonical bool            `json:"requireCanonical"`
	}
	var text string
	if i >= len(w.params) || isNull(w.params[i]) {
		return Block{}, errors.New("the question names no block")
	}
	if err := json.Unmarshal(w.params[i], &text); err == nil {
		var hash common.Hash
		var number hexutil.Uint64
		switch {
		case len(text) == 2+2*common.HashLength && hash.UnmarshalText([]byte(text)) == nil:
			return w.byHash(hash)
		case text == "earliest":
			return w.byNumber(0)
		case number.UnmarshalText([]byte(text)) == nil:
			return w.byNumber(uint64(number))
		}
		return Block{}, errors.New("the question names no block, but the moment it is answered at")
	}
	if err := json.Unmarshal(w.params[i], &named); err != nil || (named.Hash == nil) == (named.Number == nil) {
		return Block{}, fmt.Errorf("parameter %d names no block", i)
	}
	if named.Number != nil {
		return w.byNumber(uint64(*named.Number))
	}
	b, err := w.byHash(*named.Hash)
	if err != nil || !named.Canonical {
		return b, err
	}
	return b, w.mustBeCanonical(b)
}

// byHash is the block with a hash, whose number its header tells.
func (w *proof) byHash(hash common.Hash) (Block, error) {
	h, err := w.header(hash)
	if err != nil {
		return Block{}, err
	}
	return Block{h.Number.Uint64(), hash}, nil
}

func (w *proof) byNumber(number uint64) (Block, error) {
	hash, err := w.canonical(number)
	return Block{number, hash}, err
}

// header is the header with a hash, from what is proved, the chain, or any provider.
func (w *proof) header(hash common.Hash) (*types.Header, error) {
	if b := w.known.block(hash); b != nil {
		return b.Header, nil
	}
	start := time.Now()
	h, err := w.chain.Header(w.ctx, hash)
	w.waited += time.Since(start)
	if err == nil && h != nil && h.Hash() == hash {
		return h, nil
	}
	err = w.fetch(func(raw json.RawMessage) (err error) {
		h, err = w.judge.Header(raw, hash)
		return err
	}, "eth_getBlockByHash", hash, false)
	return h, err
}

// canonical is the hash of the canonical block at a height, by the chain or else by a
// quorum of providers.
func (w *proof) canonical(number uint64) (common.Hash, error) {
	if hash, known := w.chain.Canonical(number); known {
		return hash, nil
	}
	if hash, known := w.known.voted(number); known {
		return hash, nil
	}
	quorum, votes := w.quorum(), map[common.Hash]int{}
	for _, a := range w.each("eth_getBlockByNumber", hexutil.EncodeUint64(number), false) {
		h, err := w.judge.Header(a.Result, common.Hash{})
		if err == nil && h.Number.Uint64() == number {
			votes[h.Hash()]++
		}
	}
	var best common.Hash
	tie := false
	for hash, n := range votes {
		switch {
		case n > votes[best]:
			best, tie = hash, false
		case n == votes[best]:
			tie = true
		}
	}
	if votes[best] < quorum || tie {
		return common.Hash{}, fmt.Errorf("no quorum names the block at height %d", number)
	}
	w.known.vote(number, best)
	return best, nil
}

// mustBeCanonical says, as unproved, that a block is not canonical: it may have been when
// the provider answered.
func (w *proof) mustBeCanonical(b Block) error {
	hash, err := w.canonical(b.Number)
	if err != nil {
		return err
	}
	if hash != b.Hash {
		return fmt.Errorf("the block %s at height %d is not canonical, %s is", b.Hash, b.Number, hash)
	}
	return nil
}

// each asks as many providers as a quorum needs.
func (w *proof) each(method string, params ...any) []validation.Answer {
	start := time.Now()
	defer func() { w.waited += time.Since(start) }()
	var answers []validation.Answer
	seen := map[string]bool{}
	for _, a := range w.src.CallEach(w.ctx, max(w.set.Validation.Witnesses.Get(), w.quorum()), method, params...) {
		if a.Err == nil && !seen[a.Provider] && !isNull(a.Result) {
			answers = append(answers, a)
		}
		seen[a.Provider] = true
	}
	return answers
}

// fetch asks any provider, and others when its answer does not hold. Who sent a false one
// is reported.
func (w *proof) fetch(holds func(json.RawMessage) error, method string, params ...any) error {
	var last error
	try := func(a validation.Answer) bool {
		if isNull(a.Result) {
			last = errors.New("no provider knows of it")
			return false
		}
		err := holds(a.Result)
		if reason, lie := validation.Lie(err); lie {
			asked, encoded := json.Marshal(params)
			if encoded == nil {
				w.denounce(Answer{method, asked, a.Result, a.Provider}, reason)
			}
			err = errors.New(reason)
		}
		last = err
		return err == nil
	}
	start := time.Now()
	a, err := w.src.Call(w.ctx, method, params...)
	w.waited += time.Since(start)
	if last = err; err == nil && try(a) {
		return nil
	}
	for _, other := range w.each(method, params...) {
		if other.Provider != a.Provider && try(other) {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", method, last)
}

// block is the block with a hash, proved.
func (w *proof) block(hash common.Hash) (*validation.Block, error) {
	if b := w.known.block(hash); b != nil {
		return b, nil
	}
	var b *validation.Block
	err := w.fetch(func(raw json.RawMessage) (err error) {
		if b, err = w.judge.Block(raw, hash); err == nil {
			w.known.addBlock(b, len(raw))
		}
		return err
	}, "eth_getBlockByHash", hash, true)
	return b, err
}

// receipts are the receipts of a block, proved.
func (w *proof) receipts(hash common.Hash) (*validation.Receipts, error) {
	if r := w.known.receipts(hash); r != nil {
		return r, nil
	}
	b, err := w.block(hash)
	if err != nil {
		return nil, err
	}
	if b.Count() == 0 {
		return b.Receipts(json.RawMessage("[]"))
	}
	var r *validation.Receipts
	err = w.fetch(func(raw json.RawMessage) (err error) {
		if r, err = b.Receipts(raw); err == nil {
			w.known.addReceipts(hash, r, len(raw))
		}
		return err
	}, "eth_getBlockReceipts", hash)
	return r, err
}

// witnessed takes the members of a block that nothing proves, such as totalDifficulty, from
// a quorum of providers. Those of its transactions it does not: they are not asked for.
func (w *proof) witnessed(err error) error {
	var stray *validation.Stray
	if !errors.As(err, &stray) || methods[w.answer.Method].class != Blocks {
		return err
	}
	var claimed map[string]json.RawMessage
	if json.Unmarshal(w.answer.Result, &claimed) != nil {
		return err
	}
	witnesses := map[string]bool{w.answer.Provider: true}
	for _, a := range w.each("eth_getBlockByHash", w.on.Hash, false) {
		var sent map[string]json.RawMessage
		agrees := json.Unmarshal(a.Result, &sent) == nil
		for _, name := range stray.Members {
			agrees = agrees && claimed[name] != nil && trim(claimed[name]) == trim(sent[name])
		}
		if agrees {
			witnesses[a.Provider] = true
		}
	}
	if len(witnesses) < w.quorum() {
		return err
	}
	return nil
}

// maxUncles is how many uncles a block has at most.
const maxUncles = 2

// withUncles is a block with its uncles, where the providers have them. Their headers count
// in its size.
func (w *proof) withUncles(b *validation.Block) *validation.Block {
	if n := len(b.Uncles()); n == 0 || n > maxUncles {
		return b
	}
	var headers []json.RawMessage
	for i := range b.Uncles() {
		if err := w.fetch(func(raw json.RawMessage) error {
			headers = append(headers, raw)
			return nil
		}, "eth_getUncleByBlockHashAndIndex", b.Hash(), hexutil.EncodeUint64(uint64(i))); err != nil {
			return b
		}
	}
	whole, err := b.WithUncles(headers)
	if err != nil {
		return b // whose word was false is not known
	}
	return whole
}
