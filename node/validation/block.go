package validation

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
)

// block fills the verdict on a block. By hash, the header proves itself and
// providers are compared about its height; by number, they are compared first; by
// a tag, beside asking for what stands there according to one of them.
//
// When all goes well that takes two round trips.
func (q *inquiry) block(id BlockID) error {
	begin(q, q.chain)
	begin(q, q.head)
	hash, number := common.HexToHash(id.Hash), id.Number
	if id.Tag != "" {
		tag := q.tagged(id.Tag)
		if q.chain().astray() {
			q.recordChain(q.chain())
			return nil
		}
		var f *flaw
		switch {
		case errors.As(tag.err, &f):
			q.refuse(f)
			q.recordChain(q.chain())
			return nil
		case tag.err != nil:
			return fmt.Errorf("block %s: %w", id, tag.err)
		}
		number = tag.number
		q.verdict.Subject = BlockID{Number: number}.String()
		q.fetch(tag.guess)
	}
	if id.Hash == "" {
		a := q.agree(number)
		var (
			quiet *silent
			f     *flaw
		)
		switch {
		case q.chain().astray():
			q.recordChain(q.chain())
			return nil
		case errors.As(a.err, &quiet):
			return fmt.Errorf("block %s: %w", id, a.err)
		case a.absent:
			q.notFound()
			return nil
		case a.err != nil:
			if errors.As(a.err, &f) {
				q.refuse(f)
			}
			q.recordChain(q.chain())
			return nil
		}
		hash = a.header.hash
		q.fetch(a.header)
	} else {
		begin(q, q.receiptsOf(hash))
	}
	return q.recordBlock(id, hash)
}

// fetch begins to ask for the block of a header and for what its checks need.
func (q *inquiry) fetch(h headerAnswer) {
	begin(q, q.blockByHash(h.hash))
	begin(q, q.receiptsOf(h.hash))
	begin(q, q.parentOf(h))
}

// recordBlock records all checks on the block with a hash.
func (q *inquiry) recordBlock(id BlockID, hash common.Hash) error {
	b := q.blockByHash(hash)()
	chain := q.chain()
	var (
		place agreement
		quiet *silent
		f     *flaw
	)
	if b.value.Header != nil {
		begin(q, q.parentOf(b.value.headerAnswer))
		place = q.agree(b.value.number())
	}
	switch {
	case chain.astray():
		q.recordChain(chain)
		return nil
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
	q.recordFields(b, place)
	if b.err == nil {
		q.pass("transaction_fields", b.provider, "senders, places and prices of %d transactions are those proved", b.value.count)
	} else {
		q.trouble("transaction_fields", b.provider, b.err)
	}
	q.recordParent(b.value, q.parentOf(b.value.headerAnswer)())
	q.recordReceipts(b.value, q.receiptsOf(hash)())
	q.recordConfirmations(b.value.headerAnswer)
	q.factBlock(b.value)
	return nil
}

// parentOf returns a function that asks for the header before b; the genesis
// block has none.
func (q *inquiry) parentOf(b headerAnswer) func() reply[headerAnswer] {
	return q.parents.about(b.hash, func() reply[headerAnswer] {
		if b.number() == 0 {
			return reply[headerAnswer]{err: errAbsent}
		}
		return ask(q, question[headerAnswer]{
			method: "eth_getBlockByHash",
			params: []any{b.ParentHash.Hex(), false},
			judge: func(raw json.RawMessage) (headerAnswer, error) {
				h, err := q.judge.header(raw, b.ParentHash)
				var f *flaw
				if errors.As(err, &f) {
					return h, flawed("parent", "%s", f.text)
				}
				return h, err
			},
		})
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
		for _, name := range []string{"transactions_root", "withdrawals_root", "uncles_root", "blob_gas"} {
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
	case b.tailForeign != "":
		q.skip("withdrawals_root", "%s", b.tailForeign)
	default:
		q.pass("withdrawals_root", r.provider, "rebuilt from %d withdrawals: %s", len(b.withdrawals), b.WithdrawalsHash)
	}
	if b.uncles == 0 {
		q.pass("uncles_root", r.provider, "no uncles: %s", b.UncleHash)
	} else {
		q.exempt("uncles_root", "%d uncles of proof of work; the block hash covers %s", b.uncles, b.UncleHash)
	}
	q.recordBlobGas(b)
}

// recordBlobGas compares the gas for blobs in the header with the blobs.
func (q *inquiry) recordBlobGas(b blockAnswer) {
	var used uint64
	for _, tx := range b.txs {
		used += tx.BlobGas()
	}
	switch {
	case b.BlobGasUsed == nil:
		q.exempt("blob_gas", "the block is from before blobs")
	case b.bodyForeign != "":
		q.skip("blob_gas", "%s", b.bodyForeign)
	case used != *b.BlobGasUsed:
		q.broken("blob_gas", "the header has %d, the blobs of the transactions %d", *b.BlobGasUsed, used)
	default:
		q.pass("blob_gas", "", "%d, as of %d blobs", used, used/params.BlobTxBlobGasPerBlob)
	}
}

// recordReceiptsRoot records receipts_root and receipt_fields, and says whether
// the receipts are proved.
func (q *inquiry) recordReceiptsRoot(b blockAnswer, r reply[receiptsAnswer]) bool {
	var f *flaw
	fields := errors.As(r.err, &f) && f.check == "receipt_fields"
	if r.err != nil {
		q.trouble("receipts_root", r.provider, r.err)
		q.trouble("receipt_fields", r.provider, r.err)
	}
	if r.err == nil || fields {
		q.pass("receipts_root", r.provider, "rebuilt from %d receipts: %s", len(r.value.Receipts), b.ReceiptHash)
	}
	switch {
	case r.err != nil:
		return fields
	case len(b.txs) != len(r.value.Receipts):
		q.skip("receipt_fields", "the transactions are not proved")
	default:
		q.pass("receipt_fields", r.provider, "places, prices and gas of %d receipts are those proved", len(r.value.Receipts))
	}
	return true
}

// recordReceipts records what the receipts prove of the header.
func (q *inquiry) recordReceipts(b blockAnswer, r reply[receiptsAnswer]) {
	if !q.recordReceiptsRoot(b, r) {
		q.skip("logs_bloom", "no receipts are proved")
		if b.GasUsed > b.GasLimit && b.headForeign == "" {
			q.fail("gas_used", "", "%d gas used of %d allowed", b.GasUsed, b.GasLimit)
		} else {
			q.skip("gas_used", "no receipts are proved")
		}
		return
	}

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
