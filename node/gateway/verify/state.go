package verify

import (
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/bizra/bizra-top/node/validation"
)

// proved is the account that the first parameter names, with some slots, at the block that
// parameter i names.
func (w *proof) proved(i int, keys ...common.Hash) (validation.Account, error) {
	var account validation.Account
	addr, err := param[common.Address](w, 0)
	if err != nil {
		return account, err
	}
	root, err := w.root(i)
	if err != nil {
		return account, err
	}
	names := make([]string, len(keys))
	for k, key := range keys {
		names[k] = key.Hex()
	}
	holds := func(raw json.RawMessage) (err error) {
		account, err = validation.ProveAccount(raw, addr, keys, root)
		return err
	}
	err = w.fetch(holds, "eth_getProof", addr, names, map[string]any{"blockHash": w.on.Hash})
	if err != nil && w.ctx.Err() == nil {
		// Some providers only know numbers.
		err = w.fetch(holds, "eth_getProof", addr, names, hexutil.EncodeUint64(w.on.Number))
	}
	return account, err
}

// root is the root of the state after the block that parameter i names.
func (w *proof) root(i int) (common.Hash, error) {
	where, err := w.where(i)
	if err != nil {
		return common.Hash{}, err
	}
	h, err := w.header(where.Hash)
	if err != nil {
		return common.Hash{}, err
	}
	w.on = where
	return h.Root, nil
}

func (w *proof) balance() error {
	a, err := w.proved(1)
	if err != nil {
		return err
	}
	var got hexutil.Big
	if err := w.hex(&got); err != nil {
		return validation.NewLie("balance", "the answer is not a number: %v", err)
	}
	if (*big.Int)(&got).Cmp(a.Balance.ToBig()) != 0 {
		return validation.NewLie("balance", "claims %s wei, but %s is proved", (*big.Int)(&got), a.Balance.Dec())
	}
	return nil
}

func (w *proof) nonce() error {
	a, err := w.proved(1)
	if err != nil {
		return err
	}
	return w.number(a.Nonce)
}

func (w *proof) code() error {
	a, err := w.proved(1)
	if err != nil {
		return err
	}
	var got hexutil.Bytes
	if err := w.hex(&got); err != nil {
		return validation.NewLie("code", "the answer is not code: %v", err)
	}
	if !a.HasCode(got) {
		return validation.NewLie("code", "%d bytes that do not hash to the proved code hash %s", len(got), a.CodeHash)
	}
	return nil
}

func (w *proof) storage() error {
	text, err := param[string](w, 1)
	if err != nil {
		return err
	}
	key, err := validation.ParseSlot(text)
	if err != nil {
		return err
	}
	a, err := w.proved(2, key)
	if err != nil {
		return err
	}
	var got hexutil.Bytes
	if err := w.hex(&got); err != nil || len(got) != common.HashLength {
		return validation.NewLie("storage", "the answer is not the value of a slot: %v", err)
	}
	if common.BytesToHash(got) != a.Slots[0] {
		return validation.NewLie("storage", "claims %#x, but %s is proved", []byte(got), a.Slots[0])
	}
	return nil
}

// account proves an answer to eth_getProof.
func (w *proof) account() error {
	addr, err := param[common.Address](w, 0)
	if err != nil {
		return err
	}
	names, err := param[[]string](w, 1)
	if err != nil {
		return err
	}
	keys := make([]common.Hash, len(names))
	for i, name := range names {
		if keys[i], err = validation.ParseSlot(name); err != nil {
			return fmt.Errorf("slot %d: %w", i, err)
		}
	}
	root, err := w.root(2)
	if err != nil {
		return err
	}
	if _, err := validation.ProveAccount(w.answer.Result, addr, keys, root); err != nil {
		return err
	}
	return validation.StrictProof(w.answer.Result)
}
