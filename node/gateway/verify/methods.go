package verify

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/validation"
)

// method is how answers to a method are proved.
type method struct {
	class Class
	prove func(*proof) error
}

// methods are the ones whose answers can be proved.
var methods = map[string]method{
	"eth_getBlockByHash":                      {Blocks, (*proof).blockByHash},
	"eth_getBlockByNumber":                    {Blocks, (*proof).blockByNumber},
	"eth_getBlockTransactionCountByHash":      {Blocks, (*proof).transactionCount},
	"eth_getBlockTransactionCountByNumber":    {Blocks, (*proof).transactionCount},
	"eth_getUncleCountByBlockHash":            {Blocks, (*proof).uncleCount},
	"eth_getUncleCountByBlockNumber":          {Blocks, (*proof).uncleCount},
	"eth_getTransactionByBlockHashAndIndex":   {Transactions, (*proof).transactionAt},
	"eth_getTransactionByBlockNumberAndIndex": {Transactions, (*proof).transactionAt},
	"eth_getTransactionByHash":                {Transactions, (*proof).transactionByHash},
	"eth_getTransactionReceipt":               {Receipts, (*proof).receipt},
	"eth_getBlockReceipts":                    {Receipts, (*proof).blockReceipts},
	"eth_getLogs":                             {Logs, (*proof).logs},
	"eth_getBalance":                          {State, (*proof).balance},
	"eth_getTransactionCount":                 {State, (*proof).nonce},
	"eth_getCode":                             {State, (*proof).code},
	"eth_getStorageAt":                        {State, (*proof).storage},
	"eth_getProof":                            {State, (*proof).account},
	"eth_chainId":                             {Constants, (*proof).constant},
	"net_version":                             {Constants, (*proof).constant},
}

// full reads the second parameter of a question about a block.
func (w *proof) full() (bool, error) {
	if len(w.params) < 2 || isNull(w.params[1]) {
		return false, nil
	}
	return param[bool](w, 1)
}

func (w *proof) blockByHash() error {
	hash, err := param[common.Hash](w, 0)
	if err != nil {
		return err
	}
	if isNull(w.answer.Result) {
		return errNull
	}
	return w.proveBlock(hash)
}

func (w *proof) blockByNumber() error {
	if isNull(w.answer.Result) {
		return errNull
	}
	where, err := w.where(0)
	if err != nil {
		return err
	}
	err = w.proveBlock(where.Hash)
	if _, lie := validation.Lie(err); !lie {
		return err
	}
	// Another block of that height is no lie: it may have been canonical then.
	h, other := w.judge.Header(w.answer.Result, common.Hash{})
	switch {
	case other != nil || h.Hash() == where.Hash:
		return err
	case h.Number.Uint64() != where.Number:
		return validation.NewLie("canonical", "asked for block %d, answers with block %d", where.Number, h.Number)
	}
	return fmt.Errorf("the block %s is not canonical, %s is", h.Hash(), where.Hash)
}

// proveBlock proves the answer to be the block with a hash.
func (w *proof) proveBlock(hash common.Hash) error {
	full, err := w.full()
	if err != nil {
		return err
	}
	if !full {
		b, err := w.block(hash)
		if err != nil {
			return err
		}
		w.rest(b)
		return w.withUncles(b).Light(w.answer.Result)
	}
	b, err := w.judge.Block(w.answer.Result, hash)
	if err != nil {
		return err
	}
	w.rest(b)
	if before := w.known.block(hash); before != nil {
		b.Adopt(before)
	} else {
		w.known.addBlock(b, len(w.answer.Result))
	}
	return w.withUncles(b).Whole(w.answer.Result)
}

// rest notes the block that the proof rests on.
func (w *proof) rest(b *validation.Block) { w.on = Block{b.Number(), b.Hash()} }

// named is the block that the first parameter names, proved.
func (w *proof) named() (*validation.Block, error) {
	where, err := w.where(0)
	if err != nil {
		return nil, err
	}
	b, err := w.block(where.Hash)
	if err == nil {
		w.rest(b)
	}
	return b, err
}

func (w *proof) transactionCount() error {
	if isNull(w.answer.Result) {
		return errNull
	}
	b, err := w.named()
	if err != nil {
		return err
	}
	return w.number(uint64(b.Count()))
}

func (w *proof) uncleCount() error {
	if isNull(w.answer.Result) {
		return errNull
	}
	where, err := w.where(0)
	if err != nil {
		return err
	}
	h, err := w.header(where.Hash)
	if err != nil {
		return err
	}
	w.on = where
	if h.UncleHash != types.EmptyUncleHash {
		return errors.New("how many uncles there are is proved by their headers, which are not asked for")
	}
	return w.number(0)
}

// hex reads an answer that is one hexadecimal string. An empty string, which go-ethereum
// takes for zero, is none.
func (w *proof) hex(into any) error {
	if trim(w.answer.Result) == `""` {
		return errors.New("it is empty")
	}
	return json.Unmarshal(w.answer.Result, into)
}

// number proves the answer to be a number.
func (w *proof) number(want uint64) error {
	var got hexutil.Uint64
	if err := w.hex(&got); err != nil {
		return validation.NewLie("number", "the answer is not a number: %v", err)
	}
	if uint64(got) != want {
		return validation.NewLie("number", "claims %d, but %d is proved", uint64(got), want)
	}
	return nil
}

func (w *proof) transactionAt() error {
	index, err := param[hexutil.Uint64](w, 1)
	if err != nil {
		return err
	}
	b, err := w.named()
	if err != nil {
		return err
	}
	switch null := isNull(w.answer.Result); {
	case null && uint64(index) >= uint64(b.Count()):
		return nil
	case null:
		return validation.NewLie("inclusion", "answers that nothing is there, but there are %d transactions", b.Count())
	case uint64(index) >= uint64(b.Count()):
		return validation.NewLie("inclusion", "answers with a transaction, but there are %d", b.Count())
	}
	return b.Transaction(w.answer.Result, int(index))
}

// placed is the block that an answer about a transaction says it is in, which must be
// canonical, and the transaction's index there.
func (w *proof) placed(member string) (*validation.Block, int, error) {
	hash, err := param[common.Hash](w, 0)
	if err != nil {
		return nil, 0, err
	}
	if isNull(w.answer.Result) {
		return nil, 0, errNull
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(w.answer.Result, &claims); err != nil {
		return nil, 0, validation.NewLie("transaction_hash", "the answer is not an object: %v", err)
	}
	var about, in common.Hash
	if err := json.Unmarshal(claims[member], &about); err != nil || about != hash {
		return nil, 0, validation.NewLie("transaction_hash", "the answer is about another transaction, %s", about)
	}
	if isNull(claims["blockHash"]) {
		return nil, 0, errors.New("the transaction is in no block yet")
	}
	if err := json.Unmarshal(claims["blockHash"], &in); err != nil {
		return nil, 0, validation.NewLie("position", "names no block: %v", err)
	}
	b, err := w.block(in)
	if err != nil {
		return nil, 0, err
	}
	w.rest(b)
	index := b.Index(hash)
	if index < 0 {
		return nil, 0, validation.NewLie("inclusion", "the block %s does not hold the transaction", in)
	}
	return b, index, w.mustBeCanonical(w.on)
}

func (w *proof) transactionByHash() error {
	b, index, err := w.placed("hash")
	if err != nil {
		return err
	}
	return b.Transaction(w.answer.Result, index)
}

func (w *proof) receipt() error {
	b, index, err := w.placed("transactionHash")
	if err != nil {
		return err
	}
	r, err := w.receipts(b.Hash())
	if err != nil {
		return err
	}
	return r.Receipt(w.answer.Result, index)
}

func (w *proof) blockReceipts() error {
	if isNull(w.answer.Result) {
		return errNull
	}
	b, err := w.named()
	if err != nil {
		return err
	}
	r, err := b.Receipts(w.answer.Result)
	if err != nil {
		return err
	}
	w.known.addReceipts(b.Hash(), r, len(w.answer.Result))
	return r.Whole(w.answer.Result)
}

// constant proves what never changes by a quorum of providers.
func (w *proof) constant() error {
	votes := map[string]map[string]bool{}
	vote := func(provider string, raw json.RawMessage) {
		text := trim(raw)
		if votes[text] == nil {
			votes[text] = map[string]bool{}
		}
		votes[text][provider] = true
	}
	vote(w.answer.Provider, w.answer.Result)
	for _, a := range w.each(w.answer.Method) {
		if a.Provider != w.answer.Provider {
			vote(a.Provider, a.Result)
		}
	}
	claimed := trim(w.answer.Result)
	for text, providers := range votes {
		switch {
		case text == claimed:
		case len(providers) >= w.quorum() && len(providers) > len(votes[claimed]):
			return validation.NewLie("quorum", "claims %.80s, but %d providers say %.80s", claimed, len(providers), text)
		case len(providers) >= len(votes[claimed]):
			return errors.New("no quorum of providers agrees")
		}
	}
	if len(votes[claimed]) < w.quorum() {
		return errors.New("no quorum of providers agrees")
	}
	return nil
}
