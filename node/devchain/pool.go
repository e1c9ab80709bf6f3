package devchain

import (
	"cmp"
	"errors"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Errors of eth_sendRawTransaction that are not about the transaction itself.
// Their words are geth's.
var (
	errKnown    = errors.New("already known")
	errPoolFull = errors.New("txpool is full")
)

// maxNonceGap bounds how far ahead of an account's nonce the pool keeps
// transactions, maxWaiting how many in all.
const (
	maxNonceGap = 64
	maxWaiting  = 1024
)

// pool holds the transactions sent to the chain and not yet mined. Chain.mu
// guards it.
type pool struct {
	byHash map[common.Hash]*waitingTx
	order  uint64
}

type waitingTx struct {
	tx    *types.Transaction
	from  common.Address
	order uint64
}

func (p *pool) drop(txs []*types.Transaction) {
	for _, tx := range txs {
		delete(p.byHash, tx.Hash())
	}
}

// Send checks a signed transaction and keeps it for the next block, as
// eth_sendRawTransaction does.
func (c *Chain) Send(tx *types.Transaction) error {
	from, err := types.Sender(c.signer, tx)
	if err != nil {
		return err
	}
	tx = tx.WithoutBlobTxSidecar() // blocks hold none
	c.mu.Lock()
	defer c.mu.Unlock()
	hash := tx.Hash()
	if c.waiting.byHash[hash] != nil || c.txs[hash].block != nil {
		return errKnown
	}
	if len(c.waiting.byHash) >= maxWaiting {
		return errPoolFull
	}
	head := c.blocks[len(c.blocks)-1]
	if err := head.state.admit(tx, from, nextBaseFee(head.Header())); err != nil {
		ahead := errors.Is(err, errNonceTooHigh) && tx.Nonce() <= head.state.account(from).nonce+maxNonceGap
		if !ahead {
			return err
		}
	}
	c.waiting.order++
	c.waiting.byHash[hash] = &waitingTx{tx, from, c.waiting.order}
	return nil
}

// pending returns the waiting transactions in the order in which a block takes
// them: as they came, but each account's by nonce. Those that can never be
// mined any more are dropped.
func (c *Chain) pending() []*waitingTx {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := c.blocks[len(c.blocks)-1]
	first := map[common.Address]uint64{}
	var out []*waitingTx
	for hash, w := range c.waiting.byHash {
		if w.tx.Nonce() < head.state.account(w.from).nonce {
			delete(c.waiting.byHash, hash)
			continue
		}
		if order, ok := first[w.from]; !ok || w.order < order {
			first[w.from] = w.order
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *waitingTx) int {
		return cmp.Or(
			cmp.Compare(first[a.from], first[b.from]),
			cmp.Compare(a.tx.Nonce(), b.tx.Nonce()),
			cmp.Compare(a.order, b.order),
		)
	})
	return out
}
