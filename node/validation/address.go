package validation

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/supervise"
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
	begin(q, q.chain)
	head := q.tagged("latest")
	q.head = func() headHeight { return head }
	chain := q.chain()
	var f *flaw
	switch {
	case chain.astray():
		q.recordChain(chain)
		return nil
	case errors.As(head.err, &f):
		q.refuse(f)
		q.recordChain(chain)
		return nil
	case head.err != nil:
		return fmt.Errorf("address %s: %w", a, head.err)
	}
	// What one provider names is most probably what they agree on.
	account, code := q.accountAt(a.Address, head.guess)
	begin(q, account)
	begin(q, code)
	place := q.agree(head.number)
	var quiet *silent
	if errors.As(place.err, &quiet) {
		return fmt.Errorf("address %s: %w", a, place.err)
	}
	q.recordChain(chain)
	if place.err != nil || place.header.Header == nil {
		if errors.As(place.err, &f) {
			q.refuse(f)
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
	if anchor.hash != head.guess.hash {
		account, code = q.accountAt(a.Address, anchor)
		begin(q, code)
	}
	r := account()
	if r.err != nil && r.value.StateAccount == nil {
		q.trouble("account_proof", r.provider, r.err)
		return nil
	}
	q.recordAccount(r, anchor)
	q.recordCode(a.Address, r, code())
	return nil
}

// at names a block for a question about state: by hash, as EIP-1898 has it, so
// that a reorg in between cannot make an honest provider look like a liar.
func at(h headerAnswer) any {
	return map[string]any{"blockHash": h.hash.Hex()}
}

// accountAt returns functions that ask for an account and for its code, and prove
// both by the state root of a block.
func (q *inquiry) accountAt(addr common.Address, anchor headerAnswer) (account func() reply[accountAnswer], code func() reply[hexutil.Bytes]) {
	account = supervise.Once(func() reply[accountAnswer] {
		return askAt(q, anchor, func(block any) question[accountAnswer] {
			return question[accountAnswer]{"eth_getProof", []any{addr.Hex(), []string{}, block},
				func(raw json.RawMessage) (accountAnswer, error) { return judgeAccount(raw, addr, anchor.Root) }}
		})
	})
	code = supervise.Once(func() reply[hexutil.Bytes] {
		return askAt(q, anchor, func(block any) question[hexutil.Bytes] {
			return question[hexutil.Bytes]{"eth_getCode", []any{addr.Hex(), block},
				func(raw json.RawMessage) (hexutil.Bytes, error) { return judgeCode(raw, account()) }}
		})
	})
	return account, code
}

// askAt asks about the state after a block.
func askAt[T any](q *inquiry, anchor headerAnswer, about func(block any) question[T]) reply[T] {
	r := ask(q, about(at(anchor)))
	var quiet *silent
	if errors.As(r.err, &quiet) && q.ctx.Err() == nil {
		// Some providers only know numbers.
		r = ask(q, about(hexNumber(anchor.number())))
	}
	return r
}

// judgeCode compares code with the code hash that was proved.
func judgeCode(raw json.RawMessage, account reply[accountAnswer]) (hexutil.Bytes, error) {
	var code hexutil.Bytes
	if err := json.Unmarshal(raw, &code); err != nil {
		return nil, flawed("code", "the answer is not code: %v", err)
	}
	if account.value.StateAccount == nil {
		return nil, &foreign{"", "there is no proved code hash to compare the code with"}
	}
	if !codeMatches(code, account.value) {
		return nil, flawed("code", "%d bytes that do not hash to the proved code hash", len(code))
	}
	return code, nil
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

// recordCode records an account's code, and what is proved of the account.
func (q *inquiry) recordCode(addr common.Address, r reply[accountAnswer], code reply[hexutil.Bytes]) {
	a := r.value
	facts := addressFacts{
		Address: addr.Hex(), Exists: a.exists, Balance: a.Balance.Dec(), Nonce: a.Nonce,
		CodeHash: fmt.Sprintf("%#x", a.CodeHash), StorageHash: a.Root.Hex(), Kind: "account",
	}
	var f *flaw
	switch none := common.BytesToHash(a.CodeHash) == types.EmptyCodeHash; {
	case none && !errors.As(code.err, &f):
		q.pass("code", r.provider, "the proved code hash is that of no code")
	case code.err != nil:
		facts.Kind = "contract"
		q.trouble("code", code.provider, code.err)
	default:
		facts.Kind, facts.CodeBytes = "contract", len(code.value)
		if target, ok := types.ParseDelegation(code.value); ok {
			facts.Kind, facts.Delegate = "delegated account", target.Hex()
		}
		q.pass("code", code.provider, "%d bytes hash to the proved code hash", len(code.value))
	}
	if r.err == nil {
		q.fact(facts)
	}
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
