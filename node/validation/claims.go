package validation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/consensus/misc/eip4844"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
)

// A provider sends more than hashes cover: whose transaction it is, where it
// stands, what it paid. All of that follows from what is proved, and is compared
// with it here. A member that Ethereum's specification of the JSON-RPC API
// (execution-apis) requires must be there; where clients are known to differ, one
// that is missing claims nothing.

// number is a quantity, as a hexadecimal string or, as anvil sends timestamps
// of receipts, a JSON number.
type number uint64

func (n *number) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] >= '0' && raw[0] <= '9' {
		v, err := strconv.ParseUint(string(raw), 10, 64)
		*n = number(v)
		return err
	}
	return (*hexutil.Uint64)(n).UnmarshalJSON(raw)
}

// place is where in the chain something is proved to stand.
type place struct {
	*types.Header
	hash  common.Hash
	index int
}

// txClaims are the members of a transaction that its hash does not cover.
type txClaims struct {
	Type      *hexutil.Uint64 `json:"type"`
	Hash      *common.Hash    `json:"hash"`
	From      *common.Address `json:"from"`
	BlockHash *common.Hash    `json:"blockHash"`
	Number    *number         `json:"blockNumber"`
	Index     *number         `json:"transactionIndex"`
	Time      *number         `json:"blockTimestamp"`
	ChainID   *hexutil.Big    `json:"chainId"`
	GasPrice  *hexutil.Big    `json:"gasPrice"`
	YParity   *number         `json:"yParity"`
	Data      *hexutil.Bytes  `json:"data"`
}

// againstTransaction compares the claims with the transaction itself. chainID is
// the chain that a transaction without one was included in.
func (c txClaims) againstTransaction(tx *types.Transaction, chainID uint64) string {
	if c.Data != nil && !bytes.Equal(*c.Data, tx.Data()) {
		return "the data differ from the input"
	}
	if tx.Type() != types.LegacyTxType {
		return ""
	}
	id := tx.ChainId()
	if !tx.Protected() {
		id = new(big.Int).SetUint64(chainID)
	}
	if c.ChainID != nil && c.ChainID.ToInt().Cmp(id) != 0 {
		return fmt.Sprintf("claims the chain %s, not %s", c.ChainID.ToInt(), id)
	}
	v, _, _ := tx.RawSignatureValues()
	parity := number(1 - v.Bit(0)) // 27 and 28, or since EIP-155 35 and 36 and twice the chain id
	if c.YParity != nil && *c.YParity != parity {
		return fmt.Sprintf("claims the y parity %d, not %d", *c.YParity, parity)
	}
	return ""
}

// againstBlock compares the claims with the place of the transaction.
func (c txClaims) againstBlock(tx *types.Transaction, at place) string {
	if c.Time != nil && uint64(*c.Time) != at.Time {
		return fmt.Sprintf("claims the block's timestamp %d, not %d", *c.Time, at.Time)
	}
	if c.GasPrice == nil || tx.Type() < types.DynamicFeeTxType {
		return "" // the hash covers it
	}
	// Some clients send what was offered instead of what was paid.
	price := effectivePrice(tx, at.BaseFee)
	if claimed := c.GasPrice.ToInt(); claimed.Cmp(price) != 0 && claimed.Cmp(tx.GasFeeCap()) != 0 {
		return fmt.Sprintf("claims the gas price %s, not %s", claimed, price)
	}
	return ""
}

// inBlock compares all claims of a transaction that came with its block. The
// sender is compared when it is known.
func (c txClaims) inBlock(tx *types.Transaction, from *common.Address, at place, chainID uint64) string {
	switch {
	case c.Hash == nil || *c.Hash != tx.Hash():
		return fmt.Sprintf("claims the hash %s, but hashes to %s", orNone(c.Hash), tx.Hash())
	case c.From == nil || from != nil && *c.From != *from:
		return fmt.Sprintf("claims the sender %s, but %s signed", orNone(c.From), orNone(from))
	}
	if text := placed(c.BlockHash, c.Number, c.Index, at); text != "" {
		return text
	}
	if text := c.againstTransaction(tx, chainID); text != "" {
		return text
	}
	return c.againstBlock(tx, at)
}

// placed compares a claimed place, all of which must be there.
func placed(hash *common.Hash, height, index *number, at place) string {
	switch {
	case hash == nil || *hash != at.hash:
		return fmt.Sprintf("claims the block %s, not %s", orNone(hash), at.hash)
	case height == nil || uint64(*height) != at.Number.Uint64():
		return fmt.Sprintf("claims the block number %s, not %d", height, at.Number)
	case index == nil || uint64(*index) != uint64(at.index):
		return fmt.Sprintf("claims the index %s, not %d", index, at.index)
	}
	return ""
}

func (n *number) String() string {
	if n == nil {
		return "none"
	}
	return strconv.FormatUint(uint64(*n), 10)
}

func orNone[T fmt.Stringer](v *T) string {
	if v == nil {
		return "none"
	}
	return (*v).String()
}

// logClaims are the members of a log that the receipts root does not cover.
type logClaims struct {
	BlockHash *common.Hash `json:"blockHash"`
	Number    *number      `json:"blockNumber"`
	Time      *number      `json:"blockTimestamp"`
	TxHash    *common.Hash `json:"transactionHash"`
	TxIndex   *number      `json:"transactionIndex"`
	Index     *number      `json:"logIndex"`
	Removed   *bool        `json:"removed"`
}

// against compares the claims with the place of the log; index is its index in
// the block.
func (c logClaims) against(tx *types.Transaction, at place, index int) string {
	switch {
	case c.TxHash == nil || *c.TxHash != tx.Hash():
		return fmt.Sprintf("claims the transaction %s, not %s", orNone(c.TxHash), tx.Hash())
	case c.Index == nil || uint64(*c.Index) != uint64(index):
		return fmt.Sprintf("claims the log index %s, not %d", c.Index, index)
	case c.Time != nil && uint64(*c.Time) != at.Time:
		return fmt.Sprintf("claims the block's timestamp %d, not %d", *c.Time, at.Time)
	case c.Removed != nil && *c.Removed:
		return "claims to be removed"
	}
	return placed(c.BlockHash, c.Number, c.TxIndex, at)
}

// receiptClaims are the members of a receipt that the receipts root does not
// cover.
type receiptClaims struct {
	TxHash    *common.Hash    `json:"transactionHash"`
	Index     *number         `json:"transactionIndex"`
	BlockHash *common.Hash    `json:"blockHash"`
	Number    *number         `json:"blockNumber"`
	Time      *number         `json:"blockTimestamp"`
	From      *common.Address `json:"from"`
	To        *common.Address `json:"to"`
	Contract  *common.Address `json:"contractAddress"`
	Used      *number         `json:"gasUsed"`
	Price     *hexutil.Big    `json:"effectiveGasPrice"`
	BlobGas   *number         `json:"blobGasUsed"`
	BlobPrice *hexutil.Big    `json:"blobGasPrice"`
}

// against compares the claims with the transaction, its sender if known, its
// place and the gas it used.
func (c receiptClaims) against(tx *types.Transaction, from *common.Address, at place, r *types.Receipt, used uint64) string {
	if c.TxHash == nil || *c.TxHash != tx.Hash() {
		return fmt.Sprintf("claims the transaction %s, not %s", orNone(c.TxHash), tx.Hash())
	}
	if text := placed(c.BlockHash, c.Number, c.Index, at); text != "" {
		return text
	}
	price := effectivePrice(tx, at.BaseFee)
	switch {
	case c.Time != nil && uint64(*c.Time) != at.Time:
		return fmt.Sprintf("claims the block's timestamp %d, not %d", *c.Time, at.Time)
	case c.From == nil || from != nil && *c.From != *from:
		return fmt.Sprintf("claims the sender %s, but %s signed", orNone(c.From), orNone(from))
	case !same(c.To, tx.To()):
		return fmt.Sprintf("claims the recipient %s, not %s", orNone(c.To), orNone(tx.To()))
	case c.Used == nil || uint64(*c.Used) != used:
		return fmt.Sprintf("claims %s gas used, not %d", c.Used, used)
	case c.Price == nil && at.BaseFee != nil, c.Price != nil && c.Price.ToInt().Cmp(price) != 0:
		return fmt.Sprintf("claims the gas price %s, not %s", (*big.Int)(c.Price), price)
	}
	if text := c.againstCreation(tx, from, r); text != "" {
		return text
	}
	return c.againstBlobs(tx, at)
}

func same(a, b *common.Address) bool { return a == b || a != nil && b != nil && *a == *b }

// againstCreation compares the address of a contract created. Where the creation
// failed, clients differ in whether they send one.
func (c receiptClaims) againstCreation(tx *types.Transaction, from *common.Address, r *types.Receipt) string {
	failed := len(r.PostState) == 0 && r.Status == types.ReceiptStatusFailed
	switch {
	case tx.To() != nil && c.Contract != nil:
		return fmt.Sprintf("claims to have created %s", c.Contract)
	case tx.To() != nil, from == nil, c.Contract == nil && failed:
		return ""
	}
	if created := crypto.CreateAddress(*from, tx.Nonce()); c.Contract == nil || *c.Contract != created {
		return fmt.Sprintf("claims to have created %s, not %s", orNone(c.Contract), created)
	}
	return ""
}

// againstBlobs compares the gas for blobs. What it cost follows from the excess
// blob gas in the header and a parameter of the fork, which a fork may change
// without other traces: the price must be that of a fork known here, or a lower
// one, since the parameter has only ever been raised.
func (c receiptClaims) againstBlobs(tx *types.Transaction, at place) string {
	if used := tx.BlobGas(); c.BlobGas == nil && used > 0 || c.BlobGas != nil && uint64(*c.BlobGas) != used {
		return fmt.Sprintf("claims %s blob gas used, not %d", c.BlobGas, used)
	}
	if c.BlobPrice == nil && tx.BlobGas() > 0 {
		return "comes without a price of blob gas"
	}
	if c.BlobPrice == nil {
		return ""
	}
	price := c.BlobPrice.ToInt()
	if at.ExcessBlobGas == nil {
		if price.Sign() != 0 {
			return fmt.Sprintf("claims the blob gas price %s, where there are no blobs", price)
		}
		return ""
	}
	if fee := tx.BlobGasFeeCap(); fee != nil && price.Cmp(fee) > 0 {
		return fmt.Sprintf("claims the blob gas price %s, above the %s that was offered", price, fee)
	}
	if !possibleBlobPrice(price, at.Header) {
		return fmt.Sprintf("claims the blob gas price %s, which %d excess blob gas does not give", price, *at.ExcessBlobGas)
	}
	return ""
}

// blobForks are chains in each fork that changed the price of blob gas.
var blobForks = func() (out []*params.ChainConfig) {
	for _, c := range []*params.BlobConfig{
		params.DefaultCancunBlobConfig, params.DefaultPragueBlobConfig, params.DefaultBPO1BlobConfig,
		params.DefaultBPO2BlobConfig, params.DefaultBPO3BlobConfig, params.DefaultBPO4BlobConfig,
	} {
		out = append(out, &params.ChainConfig{
			LondonBlock: new(big.Int), CancunTime: new(uint64), BlobScheduleConfig: &params.BlobScheduleConfig{Cancun: c},
		})
	}
	return out
}()

// maxExcessBlobGas is above what any chain has seen; the price at twice of it
// has hundreds of digits.
const maxExcessBlobGas = 1 << 32

func possibleBlobPrice(price *big.Int, h *types.Header) bool {
	if *h.ExcessBlobGas > maxExcessBlobGas {
		return true
	}
	lowest := true
	for _, fork := range blobForks {
		switch price.Cmp(eip4844.CalcBlobFee(fork, h)) {
		case 0:
			return true
		case 1:
			lowest = false
		}
	}
	return lowest && price.Sign() > 0
}

// listing is what a block's header is sent with, in either form.
type listing struct {
	Hash         *common.Hash        `json:"hash"`
	Miner        *common.Address     `json:"miner"`   // this and the next are
	MixHash      *common.Hash        `json:"mixHash"` // taken to be zero when missing
	Nonce        *types.BlockNonce   `json:"nonce"`
	Size         *number             `json:"size"`
	Transactions []json.RawMessage   `json:"transactions"`
	Uncles       []common.Hash       `json:"uncles"`
	Withdrawals  []*types.Withdrawal `json:"withdrawals"`
}

// against compares a listing that came with the hashes of the transactions only
// with the block itself. Transactions that no root covers may be listed or not.
func (l listing) against(b blockAnswer) string {
	if n := len(l.Transactions); n != len(b.txs) && n != len(b.txs)+len(b.appended) {
		return fmt.Sprintf("lists %d transactions of %d", n, len(b.txs))
	}
	for i, raw := range l.Transactions {
		var hash common.Hash
		want := b.listed(i)
		if err := json.Unmarshal(raw, &hash); err != nil || hash != want {
			return fmt.Sprintf("lists another transaction than %s at index %d", want, i)
		}
	}
	return l.sized(b)
}

// sized compares the size of the block in bytes of RLP. Some clients, anvil for
// one, count an empty list of withdrawals as nothing, and not as its one byte.
func (l listing) sized(b blockAnswer) string {
	if b.uncles > 0 {
		return "" // their headers were not sent
	}
	size := sizeOf(b)
	if l.Size == nil || uint64(*l.Size) != size && (len(b.withdrawals) > 0 || uint64(*l.Size)+1 != size) {
		return fmt.Sprintf("claims a size of %s bytes, not %d", l.Size, size)
	}
	return ""
}

// sizeOf is the size of a block with its uncles in bytes of RLP.
func sizeOf(b blockAnswer, uncles ...*types.Header) uint64 {
	return types.NewBlockWithHeader(b.Header).WithBody(types.Body{Transactions: b.txs, Uncles: uncles, Withdrawals: b.withdrawals}).Size()
}
