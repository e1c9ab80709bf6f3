package validation

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"golang.org/x/sync/errgroup"
)

// block fills the verdict on a block. By hash, the header proves itself and
// providers are compared about its height; by number, they are compared first.
func (q *inquiry) block(id BlockID) error {
	chain := q.checkChain()
	if chain.astray() {
		q.recordChain(chain)
		return nil
	}
	number := id.Number
	if id.Tag != "" {
		var err error
		if number, err = q.tagged(id.Tag); err != nil {
			return fmt.Errorf("block %s: %w", id, err)
		}
		q.verdict.Subject = BlockID{Number: number}.String()
	}
	hash := common.HexToHash(id.Hash)
	var agreed func() agreement
	if id.Hash == "" {
		a := q.agree(number)
		var quiet *silent
		switch {
		case errors.As(a.err, &quiet):
			return fmt.Errorf("block %s: %w", id, a.err)
		case a.absent:
			q.notFound()
			return nil
		case a.err != nil:
			var f *flaw
			if errors.As(a.err, &f) {
				q.fail(f.check, "", "%s", f.text)
			}
			q.recordChain(chain)
			return nil
		}
		hash, agreed = a.header.hash, func() agreement { return a }
	}

	block := q.blockByHash(hash)
	var (
		g        errgroup.Group
		receipts reply[receiptsAnswer]
		parent   reply[headerAnswer]
		place    agreement
	)
	g.Go(func() error { receipts = q.receiptsOf(hash, block); return nil })
	g.Go(func() error { q.head(); return nil })
	b := block()
	if b.value.Header != nil {
		g.Go(func() error { parent = q.parentOf(b.value.headerAnswer); return nil })
		if agreed == nil {
			agreed = func() agreement { return q.agree(b.value.number()) }
		}
		place = agreed()
	}
	_ = g.Wait() // the goroutines return no errors

	var (
		quiet *silent
		f     *flaw
	)
	switch {
	case errors.As(b.err, &quiet) && id.Hash != "":
		return fmt.Errorf("block %s: %w", id, b.err)
	case errors.Is(b.err, errAbsent) && id.Hash != "":
		q.notFound()
		return nil
	}
	q.recordChain(chain)
	q.recordBlockHash(b)
	if errors.As(b.err, &f) && f.check != "block_hash" {
		q.fail(f.check, b.provider, "%s", f.text)
	}
	if b.value.Header == nil || errors.As(b.err, &f) {
		if place.text != "" {
			q.recordCanonical(place, hash)
		}
		return nil
	}
	q.recordCanonical(place, hash)
	q.recordBody(b)
	q.recordParent(b.value, parent)
	q.recordReceipts(b.value, receipts)
	q.recordConfirmations(b.value.headerAnswer)
	q.factBlock(b.value)
	return nil
}

// parentOf asks for the header before b; the genesis block has none.
func (q *inquiry) parentOf(b headerAnswer) reply[headerAnswer] {
	if b.number() == 0 {
		return reply[headerAnswer]{err: errAbsent}
	}
	return ask(q, question[headerAnswer]{
		method: "eth_getBlockByHash",
		params: []any{b.ParentHash.Hex(), false},
		judge: func(raw json.RawMessage) (headerAnswer, error) {
			h, err := judgeHeader(raw, b.ParentHash)
			var f *flaw
			if errors.As(err, &f) {
				return h, flawed("parent", "%s", f.text)
			}
			return h, err
		},
	})
}

// recordBlockHash records the check that the header hashes to what it should.
func (q *inquiry) recordBlockHash(b reply[blockAnswer]) {
	switch {
	case b.value.headForeign != "":
		q.skip("block_hash", "%s", b.value.headForeign)
	case b.value.Header == nil:
		q.trouble("block_hash", b.provider, b.err)
	default:
		var f *flaw
		if errors.As(b.err, &f) && f.check == "block_hash" {
			q.fail("block_hash", b.provider, "%s", f.text)
			return
		}
		q.pass("block_hash", b.provider, "recomputed from the header: %s", b.value.hash)
	}
}

// recordCanonical records whether providers agree that hash stands at its
// height.
func (q *inquiry) recordCanonical(a agreement, hash common.Hash) {
	var f *flaw
	switch {
	case a.absent:
		q.fail("canonical", "", "%s", a.text)
	case errors.As(a.err, &f):
		q.fail("canonical", "", "%s: %s", a.text, f.text)
	case a.err != nil || !a.decided:
		q.skip("canonical", "%s", a.text)
	case a.header.hash != hash:
		q.fail("canonical", "", "not %s: %s", hash, a.text)
	case a.foreign != "":
		q.skip("canonical", "%s, but %s", a.text, a.foreign)
	default:
		q.pass("canonical", "", "%s", a.text)
	}
}

// recordBody records the roots that were rebuilt when the block was judged.
func (q *inquiry) recordBody(r reply[blockAnswer]) {
	b := r.value
	if b.headForeign != "" {
		for _, name := range []string{"transactions_root", "withdrawals_root", "uncles_root"} {
			q.skip(name, "%s", b.headForeign)
		}
		return
	}
	if b.bodyForeign != "" {
		q.skip("transactions_root", "%s", b.bodyForeign)
	} else {
		q.pass("transactions_root", r.provider, "rebuilt from %d transactions: %s", b.count, b.TxHash)
	}
	switch {
	case b.WithdrawalsHash == nil:
		q.exempt("withdrawals_root", "the block is from before withdrawals")
	case rootOf(b.withdrawals) != *b.WithdrawalsHash:
		q.skip("withdrawals_root", "the chain keeps something else than withdrawals in %s", b.WithdrawalsHash)
	default:
		q.pass("withdrawals_root", r.provider, "rebuilt from %d withdrawals: %s", len(b.withdrawals), b.WithdrawalsHash)
	}
	switch {
	case b.UncleHash == types.EmptyUncleHash && b.uncles == 0:
		q.pass("uncles_root", r.provider, "no uncles: %s", b.UncleHash)
	case b.UncleHash == types.EmptyUncleHash || b.uncles == 0:
		q.fail("uncles_root", r.provider, "%d uncles are listed, the header has %s", b.uncles, b.UncleHash)
	default:
		q.exempt("uncles_root", "%d uncles of proof of work; the block hash covers %s", b.uncles, b.UncleHash)
	}
}

// recordReceipts records what the receipts prove of the header.
func (q *inquiry) recordReceipts(b blockAnswer, r reply[receiptsAnswer]) {
	if r.err != nil {
		q.trouble("receipts_root", r.provider, r.err)
		q.skip("logs_bloom", "no receipts are proved")
		if b.GasUsed > b.GasLimit && b.headForeign == "" {
			q.fail("gas_used", "", "%d gas used of %d allowed", b.GasUsed, b.GasLimit)
		} else {
			q.skip("gas_used", "no receipts are proved")
		}
		return
	}
	q.pass("receipts_root", r.provider, "rebuilt from %d receipts: %s", len(r.value.Receipts), b.ReceiptHash)

	var bloom types.Bloom
	logs := 0
	for _, receipt := range r.value.Receipts {
		one := types.CreateBloom(receipt)
		for i := range bloom {
			bloom[i] |= one[i]
		}
		logs += len(receipt.Logs)
	}
	if bloom == b.Bloom {
		q.pass("logs_bloom", r.provider, "the union over %d logs is the header's", logs)
	} else {
		q.fail("logs_bloom", r.provider, "the union over %d logs is not the header's", logs)
	}

	var used uint64
	if n := len(r.value.Receipts); n > 0 {
		used = r.value.Receipts[n-1].CumulativeGasUsed
	}
	switch {
	case b.GasUsed > b.GasLimit:
		q.fail("gas_used", r.provider, "%d gas used of %d allowed", b.GasUsed, b.GasLimit)
	case used == b.GasUsed:
		q.pass("gas_used", r.provider, "%d as in the last receipt, of %d allowed", b.GasUsed, b.GasLimit)
	case b.BlockAccessListHash != nil:
		// From Amsterdam on the header counts gas before refunds and by
		// dimension, the receipts what was paid for.
		q.exempt("gas_used", "%d, within %d; the receipts' %d is counted in another way since Amsterdam", b.GasUsed, b.GasLimit, used)
	default:
		q.fail("gas_used", r.provider, "the header has %d, the last receipt %d", b.GasUsed, used)
	}
}

// recordConfirmations records how deep a block lies.
func (q *inquiry) recordConfirmations(b headerAnswer) {
	head := q.head()
	q.verdict.Block = b.ref()
	if head.err != nil {
		q.skip("confirmations", "the head is not known: %s", head.err)
		return
	}
	// A block that a quorum names exists, also when the head is known late.
	depth := max(head.number, b.number()) - b.number() + 1
	q.verdict.Confirmations = depth
	q.verdict.Finalised = depth >= uint64(q.set.ConfirmationsFinal.Get())
	q.pass("confirmations", "", "%d with the head at %d; final from %d on", depth, head.number, q.set.ConfirmationsFinal.Get())
}

// blockFacts is what was proved of a block.
type blockFacts struct {
	Number       uint64 `json:"number"`
	Hash         string `json:"hash"`
	Parent       string `json:"parent"`
	StateRoot    string `json:"state_root"`
	Time         uint64 `json:"time"`
	Transactions int    `json:"transactions"`
	Withdrawals  int    `json:"withdrawals"`
	GasUsed      uint64 `json:"gas_used"`
	GasLimit     uint64 `json:"gas_limit"`
	BaseFee      string `json:"base_fee_wei,omitempty"`
	Miner        string `json:"fee_recipient"`
}

func (q *inquiry) factBlock(b blockAnswer) {
	f := blockFacts{
		Number: b.number(), Hash: b.hash.Hex(), Parent: b.ParentHash.Hex(), StateRoot: b.Root.Hex(), Time: b.Time,
		Transactions: b.count, Withdrawals: len(b.withdrawals), GasUsed: b.GasUsed, GasLimit: b.GasLimit,
		Miner: b.Coinbase.Hex(),
	}
	if b.BaseFee != nil {
		f.BaseFee = decimal(b.BaseFee)
	}
	q.fact(f)
}
