package validation

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// address fills the verdict on an account: its state is proved against the
// state root of the head that a quorum has reached and agrees on.
func (q *inquiry) address(a Address) error {
	switch a.checksum {
	case checksumWrong:
		q.fail("eip55", "", "the case of the letters is not that of %s: a letter or a digit is wrong", a.Hex())
		return nil
	case checksumRight:
		q.pass("eip55", "", "the checksum in the case of the letters holds")
	default:
		q.pass("eip55", "", "no checksum was given; in mixed case it is %s", a.Hex())
	}
	chain := q.checkChain()
	if chain.astray() {
		q.recordChain(chain)
		return nil
	}
	head := q.head()
	if head.err != nil {
		return fmt.Errorf("address %s: %w", a, head.err)
	}
	place := q.agree(head.number)
	var quiet *silent
	if errors.As(place.err, &quiet) {
		return fmt.Errorf("address %s: %w", a, place.err)
	}
	q.recordChain(chain)
	if place.err != nil || place.header.Header == nil {
		var f *flaw
		if errors.As(place.err, &f) {
			q.fail("block_hash", "", "%s", f.text)
		}
		q.recordCanonical(place, common.Hash{})
		return nil
	}
	anchor := place.header
	if place.foreign != "" {
		q.skip("block_hash", "%s", place.foreign)
	} else {
		q.pass("block_hash", "", "recomputed from the header of block %d: %s", anchor.number(), anchor.hash)
	}
	q.recordCanonical(place, anchor.hash)
	if place.decided {
		q.verdict.Block = anchor.ref()
		q.verdict.Confirmations = 1
	}

	account := q.accountAt(a.Address, anchor)
	if account.err != nil && account.value.StateAccount == nil {
		q.trouble("account_proof", account.provider, account.err)
		return nil
	}
	q.recordAccount(account, anchor)
	return q.recordCode(a.Address, account, anchor)
}

// at names a block for a question about state: by hash, as EIP-1898 has it, so
// that a reorg in between cannot make an honest provider look like a liar.
func at(h headerAnswer) any {
	return map[string]any{"blockHash": h.hash.Hex()}
}

// accountAt asks for an account and proves it.
func (q *inquiry) accountAt(addr common.Address, anchor headerAnswer) reply[accountAnswer] {
	question := question[accountAnswer]{
		method: "eth_getProof",
		params: []any{addr.Hex(), []string{}, at(anchor)},
		judge: func(raw json.RawMessage) (accountAnswer, error) {
			return judgeAccount(raw, addr, anchor.Root)
		},
	}
	r := ask(q, question)
	var quiet *silent
	if errors.As(r.err, &quiet) && q.ctx.Err() == nil {
		// Some providers only know numbers.
		question.params[2] = hexNumber(anchor.number())
		r = ask(q, question)
	}
	return r
}

func (q *inquiry) recordAccount(r reply[accountAnswer], anchor headerAnswer) {
	a := r.value
	what := "the account is in"
	if !a.exists {
		what = "the account is absent from"
	}
	var f *flaw
	if errors.As(r.err, &f) && f.check == "account_proof" {
		q.fail("account_proof", r.provider, "%s", f.text)
		return
	}
	q.pass("account_proof", r.provider, "%d nodes prove that %s the state %s", a.nodes, what, anchor.Root)
	record := func(name, format string, args ...any) {
		if f != nil && f.check == name {
			q.fail(name, r.provider, "%s", f.text)
			return
		}
		q.pass(name, r.provider, format, args...)
	}
	record("balance", "%s wei, as proved", a.Balance.Dec())
	record("nonce", "%d, as proved", a.Nonce)
	record("code_hash", "%#x, as proved", a.CodeHash)
	record("storage_hash", "%s, as proved", a.Root)
}

// recordCode fetches an account's code and compares it with the proved hash.
func (q *inquiry) recordCode(addr common.Address, r reply[accountAnswer], anchor headerAnswer) error {
	a := r.value
	facts := addressFacts{
		Address: addr.Hex(), Exists: a.exists, Balance: a.Balance.Dec(), Nonce: a.Nonce,
		CodeHash: fmt.Sprintf("%#x", a.CodeHash), StorageHash: a.Root.Hex(), Kind: "account",
	}
	defer func() {
		if r.err == nil {
			q.fact(facts)
		}
	}()
	if common.BytesToHash(a.CodeHash) == types.EmptyCodeHash {
		q.pass("code", r.provider, "the proved code hash is that of no code")
		return nil
	}
	facts.Kind = "contract"
	question := question[hexutil.Bytes]{
		method: "eth_getCode",
		params: []any{addr.Hex(), at(anchor)},
		judge: func(raw json.RawMessage) (hexutil.Bytes, error) {
			var code hexutil.Bytes
			if err := json.Unmarshal(raw, &code); err != nil {
				return nil, flawed("code", "the answer is not code: %v", err)
			}
			if !codeMatches(code, a) {
				return nil, flawed("code", "%d bytes that do not hash to the proved code hash", len(code))
			}
			return code, nil
		},
	}
	c := ask(q, question)
	var quiet *silent
	if errors.As(c.err, &quiet) && q.ctx.Err() == nil {
		question.params[1] = hexNumber(anchor.number())
		c = ask(q, question)
	}
	if c.err != nil {
		q.trouble("code", c.provider, c.err)
		return nil
	}
	if target, ok := types.ParseDelegation(c.value); ok {
		facts.Kind, facts.Delegate = "delegated account", target.Hex()
	}
	facts.CodeBytes = len(c.value)
	q.pass("code", c.provider, "%d bytes hash to the proved code hash", len(c.value))
	return nil
}

// addressFacts is what was proved of an account.
type addressFacts struct {
	Address     string `json:"address"`
	Exists      bool   `json:"exists"`
	Kind        string `json:"kind"` // account, contract or delegated account
	Delegate    string `json:"delegate,omitempty"`
	Balance     string `json:"balance_wei"`
	Nonce       uint64 `json:"nonce"`
	CodeHash    string `json:"code_hash"`
	CodeBytes   int    `json:"code_bytes"`
	StorageHash string `json:"storage_hash"`
}
