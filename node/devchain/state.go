package devchain

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/holiman/uint256"
)

// account is never modified once it is in a state; a change puts a new one in
// its place, so that states of different blocks can share them.
type account struct {
	nonce   uint64
	balance uint256.Int
	code    []byte
}

// state is the world after one block. While it is being built it belongs to one
// goroutine; once its block is published only the methods that lock are used.
type state struct {
	mu       sync.Mutex // the trie package caches hashes while it reads
	accounts map[common.Address]*account
	tokens   map[common.Address]*uint256.Int
	trie     *trie.Trie
	storage  *trie.Trie // of the token account

	touched map[common.Address]bool // accounts the trie does not yet agree with
	moved   map[common.Address]bool // token balances storage does not yet agree with
}

func newState() *state {
	return &state{
		accounts: map[common.Address]*account{},
		tokens:   map[common.Address]*uint256.Int{},
		trie:     trie.NewEmpty(nil),
		storage:  trie.NewEmpty(nil),
		touched:  map[common.Address]bool{},
		moved:    map[common.Address]bool{},
	}
}

// next returns a state that starts where s is and can be changed.
func (s *state) next() *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &state{
		accounts: maps.Clone(s.accounts),
		tokens:   maps.Clone(s.tokens),
		trie:     s.trie.Copy(),
		storage:  s.storage.Copy(),
		touched:  map[common.Address]bool{},
		moved:    map[common.Address]bool{},
	}
}

var noAccount account

// account returns the account at addr, an empty one if there is none.
func (s *state) account(addr common.Address) *account {
	if a := s.accounts[addr]; a != nil {
		return a
	}
	return &noAccount
}

func (s *state) update(addr common.Address, change func(*account)) {
	a := *s.account(addr)
	change(&a)
	s.accounts[addr] = &a
	s.touched[addr] = true
}

func (s *state) credit(addr common.Address, amount *uint256.Int) {
	if amount.IsZero() {
		return
	}
	s.update(addr, func(a *account) { a.balance.Add(&a.balance, amount) })
}

func (s *state) tokenBalance(addr common.Address) *uint256.Int {
	if b := s.tokens[addr]; b != nil {
		return b
	}
	return new(uint256.Int)
}

func (s *state) setTokenBalance(addr common.Address, amount *uint256.Int) {
	s.tokens[addr] = amount
	s.moved[addr] = true
}

// commit brings the tries up to date and returns the state root.
func (s *state) commit() (common.Hash, error) {
	for addr := range s.moved {
		slot := tokenSlot(addr)
		key := crypto.Keccak256(slot[:])
		var err error
		if amount := s.tokenBalance(addr); amount.IsZero() {
			err = s.storage.Delete(key)
		} else {
			var value []byte
			if value, err = rlp.EncodeToBytes(amount.Bytes()); err == nil {
				err = s.storage.Update(key, value)
			}
		}
		if err != nil {
			return common.Hash{}, fmt.Errorf("token storage: %w", err)
		}
		s.touched[TokenAddress] = true
	}
	for addr := range s.touched {
		value, err := rlp.EncodeToBytes(s.leaf(addr))
		if err == nil {
			err = s.trie.Update(crypto.Keccak256(addr[:]), value)
		}
		if err != nil {
			return common.Hash{}, fmt.Errorf("state trie: %w", err)
		}
	}
	clear(s.moved)
	clear(s.touched)
	return s.trie.Hash(), nil
}

// leaf is the account as the state trie holds it.
func (s *state) leaf(addr common.Address) *types.StateAccount {
	a := s.account(addr)
	leaf := &types.StateAccount{
		Nonce:    a.nonce,
		Balance:  &a.balance,
		Root:     types.EmptyRootHash,
		CodeHash: types.EmptyCodeHash[:],
	}
	if len(a.code) > 0 {
		leaf.CodeHash = crypto.Keccak256(a.code)
	}
	if addr == TokenAddress {
		leaf.Root = s.storage.Hash()
	}
	return leaf
}

// prove returns the account, its proof, and for the token account the proofs of
// the storage slots asked for.
func (s *state) prove(addr common.Address, slots []common.Hash) (*types.StateAccount, [][]byte, []slotProof, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	leaf := s.leaf(addr)
	nodes, err := proof(s.trie, crypto.Keccak256(addr[:]))
	if err != nil {
		return nil, nil, nil, err
	}
	out := make([]slotProof, len(slots))
	for i, slot := range slots {
		out[i].slot = slot
		if addr != TokenAddress {
			continue
		}
		out[i].value = s.slotValue(slot)
		if out[i].proof, err = proof(s.storage, crypto.Keccak256(slot[:])); err != nil {
			return nil, nil, nil, err
		}
	}
	return leaf, nodes, out, nil
}

// slotValue reads token storage; the caller holds mu.
func (s *state) slotValue(slot common.Hash) uint256.Int {
	var v uint256.Int
	raw, err := s.storage.Get(crypto.Keccak256(slot[:]))
	if err != nil || len(raw) == 0 {
		return v
	}
	var content []byte
	if rlp.DecodeBytes(raw, &content) == nil {
		v.SetBytes(content)
	}
	return v
}

// storageAt reads one slot of addr.
func (s *state) storageAt(addr common.Address, slot common.Hash) uint256.Int {
	if addr != TokenAddress {
		return uint256.Int{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slotValue(slot)
}

type slotProof struct {
	slot  common.Hash
	value uint256.Int
	proof [][]byte
}

// proof lists the nodes from the root to the leaf, in that order, as eth_getProof
// sends them. An empty trie has an empty list.
func proof(t *trie.Trie, key []byte) ([][]byte, error) {
	var nodes nodeList
	if err := t.Prove(key, &nodes); err != nil {
		return nil, err
	}
	return nodes, nil
}

type nodeList [][]byte

// Put implements ethdb.KeyValueWriter.
func (l *nodeList) Put(_, value []byte) error {
	*l = append(*l, slices.Clone(value))
	return nil
}

// Delete implements ethdb.KeyValueWriter; a proof never deletes.
func (l *nodeList) Delete([]byte) error { return nil }
