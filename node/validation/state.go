package validation

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"
)

// Account is an account, proved by a state root.
type Account struct {
	Nonce    uint64
	Balance  *uint256.Int
	CodeHash common.Hash
	Slots    []common.Hash // values, in the order of the keys asked for
}

// slotClaim is the proof of one slot of an account's storage.
type slotClaim struct {
	Key   *string         `json:"key"`
	Value *hexutil.U256   `json:"value"`
	Proof []hexutil.Bytes `json:"proof"`
}

// ProveAccount proves an answer to eth_getProof about an account and some of its slots by
// a state root. Members that prove nothing are not believed, and not looked at.
func ProveAccount(raw json.RawMessage, addr common.Address, keys []common.Hash, root common.Hash) (Account, error) {
	claim, err := decodeProof(raw)
	if err != nil {
		return Account{}, flawed("account_proof", "the answer is not a proof: %v", err)
	}
	if *claim.Address != addr {
		return Account{}, flawed("account_proof", "the proof is of %s", claim.Address)
	}
	a, err := judgeProof(claim, addr, root)
	if err != nil {
		return Account{}, err
	}
	out := Account{Nonce: a.Nonce, Balance: a.Balance, CodeHash: common.BytesToHash(a.CodeHash)}
	if len(claim.StorageProof) != len(keys) {
		return out, flawed("storage_proof", "proves %d slots of %d", len(claim.StorageProof), len(keys))
	}
	for i, key := range keys {
		value, err := claim.StorageProof[i].prove(key, a.Root)
		if err != nil {
			return out, flawed("storage_proof", "slot %s: %v", key, err)
		}
		out.Slots = append(out.Slots, value)
	}
	return out, nil
}

// StrictProof refuses an answer to eth_getProof with members that nothing is compared with.
func StrictProof(raw json.RawMessage) error { return strict(raw, proofShape, nil) }

// ParseSlot reads the key of a slot of storage, which may be short of leading zeros.
func ParseSlot(text string) (common.Hash, error) {
	if len(text) < 2 || len(text) > 66 || text[0] != '0' || text[1] != 'x' {
		return common.Hash{}, errors.New("not the key of a slot")
	}
	digits := text[2:]
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	raw, err := hexutil.Decode("0x" + digits)
	if err != nil {
		return common.Hash{}, fmt.Errorf("not the key of a slot: %w", err)
	}
	return common.BytesToHash(raw), nil
}

// prove proves the value of a slot by the root of its account's storage.
func (c slotClaim) prove(key, root common.Hash) (common.Hash, error) {
	if c.Key == nil || c.Value == nil {
		return common.Hash{}, errors.New("key or value is missing")
	}
	if named, err := ParseSlot(*c.Key); err != nil || named != key {
		return common.Hash{}, errors.New("the proof is of another slot")
	}
	leaf, err := proveLeaf(c.Proof, key[:], root)
	if err != nil {
		return common.Hash{}, err
	}
	var content []byte
	if len(leaf) > 0 {
		if err := rlp.DecodeBytes(leaf, &content); err != nil || len(content) > common.HashLength {
			return common.Hash{}, fmt.Errorf("the leaf is not the value of a slot: %v", err)
		}
	}
	value := common.BytesToHash(content)
	if claimed := (*uint256.Int)(c.Value).Bytes32(); common.Hash(claimed) != value {
		return value, fmt.Errorf("claims %#x, but %s is proved", claimed, value)
	}
	return value, nil
}

// HasCode says whether code is the account's.
func (a Account) HasCode(code []byte) bool { return crypto.Keccak256Hash(code) == a.CodeHash }
