package validation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bizra/bizra-top/node/supervise"
)

// maxPlaces bounds how many blocks that providers name for one transaction are
// looked into.
const maxPlaces = 3

// transaction fills the verdict on a transaction. It follows the best answer to
// a block; when that block does not hold, the blocks other providers name.
//
// When all goes well that takes two round trips: the transaction, beside the
// providers' chains and the head; then the block, its receipts, and what stands
// at its height.
func (q *inquiry) transaction() error {
	begin(q, q.chain)
	begin(q, q.head)
	question := question[txAnswer]{
		method: "eth_getTransactionByHash",
		params: []any{q.subject.Hex()},
		judge:  func(raw json.RawMessage) (txAnswer, error) { return q.judge.transaction(raw, q.subject) },
	}
	r := ask(q, question)
	chain := q.chain()
	var (
		f     *flaw
		quiet *silent
	)
	switch {
	case chain.astray():
		q.recordChain(chain)
		return nil
	case errors.As(r.err, &quiet):
		return fmt.Errorf("transaction %s: %w", q.subject, r.err)
	case errors.Is(r.err, errAbsent):
		q.notFound()
		return nil
	case errors.As(r.err, &f):
		q.fail(f.check, r.provider, "%s", f.text)
		q.recordChain(chain)
		return nil
	case errors.Is(r.err, errPending):
		q.recordSignature(r, chain)
		q.pending(r)
		return nil
	}

	best := q.locate(r)
	if !best.holds() && q.ctx.Err() == nil {
		places := map[common.Hash]bool{r.value.blockHash: true}
		p := pollOf(q, question)
		for _, a := range q.src.CallEach(q.ctx, q.set.Witnesses.Get(), question.method, question.params...) {
			if a.Provider == r.provider || !p.take(a) {
				continue
			}
			other := *p.proved
			if places[other.value.blockHash] = true; len(places) > maxPlaces {
				break
			}
			if found := q.locate(other); found.holds() {
				// The first provider named a block that is not there, or not
				// this transaction's. Near the head that is a reorg.
				if q.buried(found.answer.number) && found.answer.blockHash != r.value.blockHash {
					q.caught(r.provider, "inclusion", fmt.Sprintf("names the block %s, which does not hold the transaction or is not canonical", r.value.blockHash))
				}
				r, best = other, found
				break
			}
		}
	}
	q.recordSignature(r, chain)
	q.recordPlace(r, best)
	return nil
}

// located is a claimed place of a transaction, looked into.
type located struct {
	answer    txAnswer
	block     reply[blockAnswer]
	receipts  reply[receiptsAnswer]
	agreement agreement
	inclusion error // flaw, when the block is proved and tells otherwise
	position  error
	fields    error
}

// holds says that nothing contradicts the place; something may be unproved.
func (l located) holds() bool {
	var other *foreign
	block := l.block.err == nil || errors.As(l.block.err, &other)
	return block && l.inclusion == nil && l.position == nil && l.fields == nil &&
		(!l.agreement.decided || l.agreement.header.hash == l.answer.blockHash)
}

// locate fetches and proves the block that an answer names, its receipts, and
// what stands at its height.
func (q *inquiry) locate(r reply[txAnswer]) located {
	l := located{answer: r.value}
	var g supervise.Group
	g.Go(func() error { l.block = q.blockByHash(r.value.blockHash)(); return nil })
	g.Go(func() error { l.receipts = q.receiptsOf(r.value.blockHash)(); return nil })
	g.Go(func() error { l.agreement = q.agree(r.value.number); return nil })
	_ = g.Wait() // the goroutines return no errors

	b := l.block.value
	if b.Header == nil {
		return l
	}
	if r.value.number != b.number() {
		l.position = flawed("position", "claims block number %d, but the block's header has %d", r.value.number, b.number())
	}
	switch tx := r.value.tx; {
	case b.txs == nil && b.bodyForeign != "", tx == nil:
	case indexOf(b.txs, tx.Hash()) < 0:
		l.inclusion = flawed("inclusion", "the block %s does not hold the transaction", b.hash)
	case r.value.index != uint64(indexOf(b.txs, tx.Hash())):
		l.position = flawed("position", "claims index %d, but it is at index %d", r.value.index, indexOf(b.txs, tx.Hash()))
	default:
		if text := r.value.claims.againstBlock(tx, b.at(int(r.value.index))); text != "" {
			l.fields = flawed("transaction_fields", "%s", text)
		}
	}
	for _, err := range []error{l.position, l.inclusion, l.fields} {
		var f *flaw
		if errors.As(err, &f) && l.block.err == nil {
			q.caught(r.provider, f.check, f.text)
		}
	}
	return l
}

func indexOf(txs types.Transactions, hash common.Hash) int {
	for i, tx := range txs {
		if tx.Hash() == hash {
			return i
		}
	}
	return -1
}

// blockByHash returns a function that asks for a block and proves it.
func (q *inquiry) blockByHash(hash common.Hash) func() reply[blockAnswer] {
	return q.blocks.about(hash, func() reply[blockAnswer] {
		return ask(q, question[blockAnswer]{
			method: "eth_getBlockByHash",
			params: []any{hash.Hex(), true},
			judge:  func(raw json.RawMessage) (blockAnswer, error) { return q.judgeBlock(raw, hash) },
		})
	})
}

// everyone chooses the senders of all transactions.
func everyone(*types.Transaction) bool { return true }

// judgeBlock judges the block of a transaction by what that transaction needs: of the
// senders, its own alone is recovered. A block that is the subject must be proved whole.
func (q *inquiry) judgeBlock(raw json.RawMessage, hash common.Hash) (blockAnswer, error) {
	if q.verdict.Kind != KindBlock {
		return q.judge.block(raw, hash, func(tx *types.Transaction) bool { return tx.Hash() == q.subject })
	}
	b, err := q.judge.block(raw, hash, everyone)
	if why := b.unproved(); err == nil && why != "" {
		return b, &foreign{"", why}
	}
	return b, err
}

// recordSignature records the checks that need nothing but the transaction.
func (q *inquiry) recordSignature(r reply[txAnswer], chain chainAnswers) {
	tx := r.value.tx
	if tx == nil {
		q.skip("transaction_hash", "%s", r.err)
		q.skip("sender", "%s", r.err)
		q.recordChain(chain)
		return
	}
	q.pass("transaction_hash", r.provider, "recomputed from the %s transaction: %s", typeName(tx.Type()), tx.Hash())
	q.pass("sender", r.provider, "the signature is of %s", r.value.from)
	switch id := tx.ChainId(); {
	case tx.Type() == types.LegacyTxType && !tx.Protected():
		q.pass("chain_id", r.provider, "signed before EIP-155, for any chain; included in a block of this one")
	case id.IsUint64() && id.Uint64() == q.chainID:
		q.pass("chain_id", r.provider, "signed for chain %d", q.chainID)
	default:
		q.fail("chain_id", r.provider, "signed for chain %s, not %d", id, q.chainID)
	}
}

func typeName(t uint8) string {
	if names := []string{"legacy", "EIP-2930", "EIP-1559", "EIP-4844", "EIP-7702"}; int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type 0x%x", t)
}

// pending records a transaction that is in no block.
func (q *inquiry) pending(r reply[txAnswer]) {
	q.skip("inclusion", "%s", errPending)
	q.factOf(r.value, located{})
}

// recordPlace records the checks on a transaction's place in the chain.
func (q *inquiry) recordPlace(r reply[txAnswer], l located) {
	b := l.block
	q.recordBlockHash(b)
	switch {
	case l.inclusion != nil:
		q.trouble("inclusion", r.provider, l.inclusion)
	case b.value.Header == nil && errors.Is(b.err, errAbsent):
		q.fail("inclusion", r.provider, "no provider has the block %s that should hold it", r.value.blockHash)
	case b.err != nil:
		q.recordInclusionTrouble(b)
	case r.value.tx == nil:
		q.skip("inclusion", "%s", r.err)
	default:
		q.pass("inclusion", b.provider, "one of %d transactions that give the transactionsRoot %s", b.value.count, b.value.TxHash)
	}
	switch {
	case l.position != nil:
		q.trouble("position", r.provider, l.position)
	case b.err != nil || r.value.tx == nil:
		q.skip("position", "the block's transactions are not proved")
	default:
		q.pass("position", r.provider, "index %d of block %d, as claimed", r.value.index, b.value.number())
	}
	q.recordCanonical(l.agreement, r.value.blockHash)
	q.recordFields(b, l.agreement)
	switch {
	case l.fields != nil:
		q.trouble("transaction_fields", r.provider, l.fields)
	case b.err == nil && r.value.tx != nil:
		q.pass("transaction_fields", r.provider, "sender, place and price are those proved")
	case !q.recorded("transaction_fields"):
		q.trouble("transaction_fields", r.provider, cmp.Or(b.err, r.err))
	}
	q.recordReceipt(r, l)
	if l.holds() && b.value.Header != nil {
		q.recordConfirmations(b.value.headerAnswer)
		q.factOf(r.value, l)
	} else {
		q.skip("confirmations", "the transaction's block does not hold")
	}
}

// recordInclusionTrouble tells a transactions root that does not hold, which is
// what inclusion rests on, from a block that was not to be had.
func (q *inquiry) recordInclusionTrouble(b reply[blockAnswer]) {
	var f *flaw
	if errors.As(b.err, &f) && !slices.Contains(checkNames[KindTransaction], f.check) {
		q.fail("inclusion", b.provider, "%s: %s", f.check, f.text)
		return
	}
	q.trouble("inclusion", b.provider, b.err)
}

// recordReceipt records receipts_root, receipt_fields and status.
func (q *inquiry) recordReceipt(r reply[txAnswer], l located) {
	if !q.recordReceiptsRoot(l.block.value, l.receipts) {
		q.skip("status", "no receipt is proved")
		return
	}
	list := l.receipts.value
	if l.position != nil || l.inclusion != nil || r.value.tx == nil || r.value.index >= uint64(len(list.Receipts)) {
		q.skip("status", "which receipt is the transaction's is not proved")
		return
	}
	switch receipt := list.Receipts[r.value.index]; {
	case len(receipt.PostState) > 0:
		q.exempt("status", "receipts before Byzantium carry no status")
	case receipt.Status == types.ReceiptStatusSuccessful:
		q.verdict.Execution = Succeeded
		q.pass("status", l.receipts.provider, "the proved receipt says success, %d gas, %d logs", list.gasOf(int(r.value.index)), len(receipt.Logs))
	default:
		q.verdict.Execution = Reverted
		q.pass("status", l.receipts.provider, "the proved receipt says that the transaction was reverted; it is in its block and paid for %d gas", list.gasOf(int(r.value.index)))
	}
}

// transactionFacts is what was proved of a transaction.
type transactionFacts struct {
	From        string  `json:"from"`
	To          string  `json:"to,omitempty"`
	Contract    string  `json:"contract,omitempty"` // created by it
	Value       string  `json:"value_wei"`
	Nonce       uint64  `json:"nonce"`
	Type        string  `json:"type"`
	InputBytes  int     `json:"input_bytes"`
	Selector    string  `json:"selector,omitempty"`
	GasLimit    uint64  `json:"gas_limit"`
	GasUsed     *uint64 `json:"gas_used,omitempty"`
	GasPrice    string  `json:"gas_price_wei,omitempty"`
	Fee         string  `json:"fee_wei,omitempty"`
	Index       *uint64 `json:"index,omitempty"`
	Status      string  `json:"status"` // pending, success, reverted or unknown
	Logs        *int    `json:"logs,omitempty"`
	BlockTime   uint64  `json:"block_time,omitempty"`
	BlobHashes  int     `json:"blobs,omitempty"`
	Delegations int     `json:"delegations,omitempty"`
}

func (q *inquiry) factOf(a txAnswer, l located) {
	tx := a.tx
	if tx == nil {
		return
	}
	f := transactionFacts{
		From: a.from.Hex(), Value: decimal(tx.Value()), Nonce: tx.Nonce(), Type: typeName(tx.Type()),
		InputBytes: len(tx.Data()), GasLimit: tx.Gas(), Status: "pending",
		BlobHashes: len(tx.BlobHashes()), Delegations: len(tx.SetCodeAuthorizations()),
	}
	if to := tx.To(); to != nil {
		f.To = to.Hex()
		if len(tx.Data()) >= 4 {
			f.Selector = fmt.Sprintf("0x%x", tx.Data()[:4])
		}
	} else {
		f.Contract = crypto.CreateAddress(a.from, tx.Nonce()).Hex()
	}
	if b := l.block.value; b.Header != nil {
		f.Status, f.BlockTime, f.Index = "unknown", b.Time, &a.index
		price := effectivePrice(tx, b.BaseFee)
		f.GasPrice = decimal(price)
		if list := l.receipts.value; l.receipts.err == nil && a.index < uint64(len(list.Receipts)) {
			gas, logs := list.gasOf(int(a.index)), len(list.Receipts[a.index].Logs)
			f.GasUsed, f.Logs = &gas, &logs
			f.Fee = decimal(new(big.Int).Mul(price, new(big.Int).SetUint64(gas)))
			switch receipt := list.Receipts[a.index]; {
			case len(receipt.PostState) > 0: // before Byzantium receipts say nothing of it
			case receipt.Status == types.ReceiptStatusFailed:
				f.Status = "reverted"
			default:
				f.Status = "success"
			}
		}
	}
	q.fact(f)
}

// effectivePrice is what the sender pays for one unit of gas.
func effectivePrice(tx *types.Transaction, baseFee *big.Int) *big.Int {
	if baseFee == nil {
		return tx.GasPrice()
	}
	price := new(big.Int).Add(baseFee, tx.GasTipCap())
	if price.Cmp(tx.GasFeeCap()) > 0 {
		return tx.GasFeeCap()
	}
	return price
}
