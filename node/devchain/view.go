package devchain

import (
	"errors"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// ChainID returns the chain's id.
func (c *Chain) ChainID() uint64 { return c.cfg.ChainID }

// Head returns the number and the hash of the newest block.
func (c *Chain) Head() (uint64, common.Hash) {
	b := c.head()
	return b.NumberU64(), b.hash
}

// Block returns the canonical block at a height, or false if there is none or it
// is too old.
func (c *Chain) Block(number uint64) (*types.Block, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if b := c.at(number); b != nil {
		return b.Block, true
	}
	return nil, false
}

// Receipts returns the receipts of a block. They must not be modified.
func (c *Chain) Receipts(hash common.Hash) types.Receipts {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if b := c.byHash[hash]; b != nil {
		return b.receipts
	}
	return nil
}

// Accounts returns the addresses that have keys, in EIP-55 form. The list is
// the caller's.
func (c *Chain) Accounts() []string {
	out := make([]string, len(c.addrs))
	for i, addr := range c.addrs {
		out[i] = addr.Hex()
	}
	return out
}

// RecentTransactions returns the hashes of up to n mined transactions, the
// newest first.
func (c *Chain) RecentTransactions(n int) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []string
	for i := len(c.blocks) - 1; i >= 0; i-- {
		txs := c.blocks[i].Transactions()
		for j := len(txs) - 1; j >= 0; j-- {
			if len(out) >= n {
				return out
			}
			out = append(out, txs[j].Hash().Hex())
		}
	}
	return out
}

// Sign signs a transaction with the key of Accounts()[account].
func (c *Chain) Sign(account int, data types.TxData) (*types.Transaction, error) {
	if account < 0 || account >= len(c.keys) {
		return nil, errors.New("devchain: no such account")
	}
	return types.SignNewTx(c.keys[account], c.signer, data)
}

// Nonce returns the next nonce of an account at the head.
func (c *Chain) Nonce(addr common.Address) uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.blocks[len(c.blocks)-1].state.account(addr).nonce
}

// at returns the canonical block at a height; the caller holds mu.
func (c *Chain) at(number uint64) *block {
	first := c.blocks[0].NumberU64()
	if number < first || number-first >= uint64(len(c.blocks)) {
		return nil
	}
	return c.blocks[number-first]
}

// view is the chain as one provider shows it: with a head that may be stale.
type view struct {
	*Chain
	stale uint64
}

// headBlock is the newest block the provider admits to.
func (v view) headBlock() *block {
	v.mu.RLock()
	defer v.mu.RUnlock()
	i := len(v.blocks) - 1
	return v.blocks[i-int(min(uint64(i), v.stale))]
}

func (v view) number(n uint64) *block {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if b := v.at(n); b != nil && v.shown(b) {
		return b
	}
	return nil
}

func (v view) hash(h common.Hash) *block {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if b := v.byHash[h]; b != nil && v.shown(b) {
		return b
	}
	return nil
}

// shown says whether b is not above the provider's head; the caller holds mu.
func (v view) shown(b *block) bool {
	return b.NumberU64()+v.stale <= v.blocks[len(v.blocks)-1].NumberU64() || b.NumberU64() == v.blocks[0].NumberU64()
}

// transaction finds a mined transaction, or else a waiting one.
func (v view) transaction(h common.Hash) (place, *waitingTx) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if p := v.txs[h]; p.block != nil && v.shown(p.block) {
		return p, nil
	}
	return place{}, v.waiting.byHash[h]
}

func (v view) stateOf(b *block) *state {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return b.state
}
