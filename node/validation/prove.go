package validation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/misc/eip4844"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
)

// ProvesBlock says whether a block with whole transactions, as eth_getBlockByHash answers
// it, is the block with a hash and nothing else: its header hashes to it, its transactions
// and withdrawals give the roots in the header, and what no root covers, such as senders,
// follows from what they do. It asks nobody.
func (v *Validator) ProvesBlock(_ context.Context, hash string, block json.RawMessage) bool {
	want, err := ParseHash(hash)
	if err != nil {
		return false
	}
	b, err := v.judge.block(block, common.HexToHash(want), everyone)
	return err == nil && b.unproved() == ""
}

// Lie returns what is false in an answer that a [Judge] has refused, and whether anything
// is: an answer that cannot be proved is not false for that.
func Lie(err error) (string, bool) {
	var f *flaw
	if errors.As(err, &f) {
		return f.Error(), true
	}
	return "", false
}

// NewLie returns an error that [Lie] knows: a check found something false.
func NewLie(check, format string, args ...any) error { return flawed(check, format, args...) }

// Header proves the header of a block by its hash, the one asked for or, if want is zero,
// the one claimed. Uncles and withdrawals beside it agree with it; of the transactions
// listed beside it nothing is believed.
func (j Judge) Header(raw json.RawMessage, want common.Hash) (*types.Header, error) {
	h, err := j.header(raw, want)
	if err != nil {
		return nil, err
	}
	return h.Header, nil
}

// Block is a block that is proved by its hash, with the transactions under its root. It
// may be used from any goroutine.
type Block struct {
	blockAnswer
	judge   Judge
	claims  []txClaims
	headers []*types.Header // of the uncles, when they are proved
}

// Block proves a block with whole transactions: its header by the hash that is asked for,
// or claimed if want is zero; its transactions and withdrawals by the roots in the header.
// Nothing else that was sent is believed.
func (j Judge) Block(raw json.RawMessage, want common.Hash) (*Block, error) {
	b, claims, err := j.roots(raw, want)
	if err == nil && b.unproved() != "" {
		err = &foreign{"", b.unproved()}
	}
	if err != nil {
		return nil, err
	}
	b.sent.Transactions = nil // they are decoded
	return &Block{b, j, claims, nil}, nil
}

// Adopt takes over which senders were recovered of the same block, proved before.
func (b *Block) Adopt(before *Block) {
	if b.hash == before.hash {
		b.txs = before.txs
	}
}

// Hash returns the block's hash.
func (b *Block) Hash() common.Hash { return b.hash }

// Number returns the block's number.
func (b *Block) Number() uint64 { return b.number() }

// Uncles returns the hashes of the uncles that were listed with the block. Nothing is proved
// of them before WithUncles.
func (b *Block) Uncles() []common.Hash { return b.sent.Uncles }

// WithUncles returns the block with its uncles, proved by the hash in its header from answers
// to eth_getUncleByBlockHashAndIndex in their order.
func (b *Block) WithUncles(answers []json.RawMessage) (*Block, error) {
	headers := make([]*types.Header, len(answers))
	for i, raw := range answers {
		var head types.Header
		if err := json.Unmarshal(raw, &head); err != nil || head.SanityCheck() != nil {
			return nil, flawed("uncles_root", "uncle %d is not a block header: %v", i, err)
		}
		headers[i] = &head
	}
	if root := types.CalcUncleHash(headers); root != b.UncleHash {
		return nil, flawed("uncles_root", "%d uncles give the hash %s, the header has %s", len(headers), root, b.UncleHash)
	}
	whole := *b
	whole.headers = headers
	return &whole, nil
}

// Count returns how many transactions there are.
func (b *Block) Count() int { return len(b.txs) }

// Index returns the place of a transaction, or -1.
func (b *Block) Index(tx common.Hash) int { return indexOf(b.txs, tx) }

// Whole proves the rest of the answer that the block was proved from: senders, places,
// prices, size, and that it has no members that nothing is compared with.
func (b *Block) Whole(raw json.RawMessage) error {
	sent := b.blockAnswer
	if err := b.judge.checkClaims(&sent, b.claims, everyone); err != nil {
		return err
	}
	for i, c := range b.claims {
		if err := exactPrice(c, b.txs[i], b.at(i)); err != nil {
			return err
		}
	}
	if err := b.exactListing(b.sent); err != nil {
		return err
	}
	return strict(raw, b.shape(), func(i int) *shape { return txShapes[b.txs[i].Type()] })
}

// Light proves an answer that lists the hashes of the block's transactions only.
func (b *Block) Light(raw json.RawMessage) error {
	h, err := b.judge.header(raw, b.hash)
	if err != nil {
		return err
	}
	if text := h.sent.against(b.blockAnswer); text != "" {
		return flawed("block_fields", "%s", text)
	}
	if err := b.exactListing(h.sent); err != nil {
		return err
	}
	return strict(raw, b.shape(), nil)
}

func (b *Block) shape() *shape {
	if b.WithdrawalsHash != nil {
		return withdrawnShape
	}
	return headerShape
}

// exactListing refuses what sized and the decoders let pass.
func (b *Block) exactListing(l listing) error {
	if l.Nonce == nil {
		return &foreign{"", "the nonce is missing, which is taken to be zero"}
	}
	if b.uncles > 0 && len(b.headers) == 0 {
		return &foreign{"", "the size and the uncles are proved by the uncles' headers, which no provider has sent"}
	}
	for i, h := range b.headers {
		if len(l.Uncles) != len(b.headers) || l.Uncles[i] != h.Hash() {
			return flawed("uncles_root", "the uncles listed are not those under the hash in the header")
		}
	}
	if size := sizeOf(b.blockAnswer, b.headers...); l.Size == nil || uint64(*l.Size) != size {
		return &foreign{"", fmt.Sprintf("the size %s is not %d, by what some clients count differently", l.Size, size)}
	}
	return nil
}

// Transaction proves an answer that is transaction i of the block.
func (b *Block) Transaction(raw json.RawMessage, i int) error {
	tx, claims, err := decodeTransaction(raw)
	if err != nil {
		return unreadable("transaction_hash", err)
	}
	if tx.Hash() != b.txs[i].Hash() {
		return flawed("transaction_hash", "the transaction hashes to %s, not to %s", tx.Hash(), b.txs[i].Hash())
	}
	from, err := b.judge.sender(b.txs[i], b.number()) // which remembers it
	if err != nil {
		return flawed("sender", "no sender can be recovered: %v", err)
	}
	if text := claims.inBlock(b.txs[i], &from, b.at(i), b.judge.chainID); text != "" {
		return flawed("transaction_fields", "the transaction %s", text)
	}
	if err := exactPrice(claims, tx, b.at(i)); err != nil {
		return err
	}
	return strict(raw, txShapes[tx.Type()], nil)
}

func unreadable(check string, err error) error {
	var other *foreign
	if errors.As(err, &other) {
		return err
	}
	return flawed(check, "the answer cannot be read: %v", err)
}

// exactPrice refuses a price that againstBlock lets pass because some clients send it.
func exactPrice(c txClaims, tx *types.Transaction, at place) error {
	if c.GasPrice == nil || tx.Type() < types.DynamicFeeTxType || c.GasPrice.ToInt().Cmp(effectivePrice(tx, at.BaseFee)) == 0 {
		return nil
	}
	return &foreign{"", "the gas price of a transaction is what was offered, not what was paid"}
}

// Receipts are a block's receipts, proved by the root in its header.
type Receipts struct {
	receiptsAnswer
	block  *Block
	claims []allReceiptClaims
}

// Receipts proves the receipts of the block by its root. Nothing else that was sent, such as
// places and addresses, is believed.
func (b *Block) Receipts(raw json.RawMessage) (*Receipts, error) {
	r, claims, err := receiptsUnder(raw, b.blockAnswer)
	if err != nil {
		return nil, err
	}
	return &Receipts{r, b, claims}, nil
}

// Whole proves the rest of the answer that the receipts were proved from.
func (r *Receipts) Whole(raw json.RawMessage) error {
	b := r.block.blockAnswer
	if err := r.block.judge.recoverSenders(&b, everyone); err != nil {
		return err
	}
	if err := r.receiptsAnswer.checkClaims(b, r.claims); err != nil {
		return err
	}
	for i, c := range r.claims {
		if err := r.block.exactBlobPrice(c.receiptClaims, b.txs[i]); err != nil {
			return err
		}
	}
	return strict(raw, receiptShape, nil)
}

// Receipt proves an answer that is receipt i of the block.
func (r *Receipts) Receipt(raw json.RawMessage, i int) error {
	list, claims, err := decodeReceipts(slices.Concat([]byte{'['}, raw, []byte{']'}))
	if err != nil {
		return unreadable("receipts_root", err)
	}
	if len(list) != 1 || rootOf(list) != rootOf(r.Receipts[i:i+1]) {
		return flawed("receipts_root", "the receipt is not the one at index %d under the receipts root", i)
	}
	b := r.block.blockAnswer
	if err := r.block.judge.recoverSenders(&b, func(tx *types.Transaction) bool { return tx == b.txs[i] }); err != nil {
		return err
	}
	if err := r.checkReceipt(b, claims[0], i, r.firstLog(i)); err != nil {
		return err
	}
	if err := r.block.exactBlobPrice(claims[0].receiptClaims, b.txs[i]); err != nil {
		return err
	}
	return strict(raw, receiptShape, nil)
}

// firstLog is the index in the block of the first log of receipt i.
func (r *Receipts) firstLog(i int) (n int) {
	for _, receipt := range r.Receipts[:i] {
		n += len(receipt.Logs)
	}
	return n
}

// chainConfigs are the chains whose forks, and so whose price of blob gas, are known here.
var chainConfigs = map[uint64]*params.ChainConfig{
	1: params.MainnetChainConfig, 11155111: params.SepoliaChainConfig, 560048: params.HoodiChainConfig,
}

// exactBlobPrice refuses a price of blob gas that againstBlobs lets pass because it does
// not know the fork.
func (b *Block) exactBlobPrice(c receiptClaims, tx *types.Transaction) error {
	if c.BlobPrice == nil || b.ExcessBlobGas == nil || tx.BlobGas() == 0 && c.BlobPrice.ToInt().Sign() == 0 {
		return nil
	}
	configs := blobForks
	if known := chainConfigs[b.judge.chainID]; known != nil {
		configs = []*params.ChainConfig{known}
	}
	for _, config := range configs {
		if *b.ExcessBlobGas > maxExcessBlobGas || config.CancunTime == nil || *config.CancunTime > b.Time || c.BlobPrice.ToInt().Cmp(blobFee(config, b.Header)) != 0 {
			return &foreign{"", "the price of blob gas does not follow from the forks that are known"}
		}
	}
	return nil
}

func blobFee(config *params.ChainConfig, h *types.Header) *big.Int {
	return eip4844.CalcBlobFee(config, h)
}
