package devchain

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// The functions below write what go-ethereum's internal/ethapi writes.

func headerFields(b *block) map[string]any {
	h := b.Header()
	return map[string]any{
		"number":                (*hexutil.Big)(h.Number),
		"hash":                  b.hash,
		"parentHash":            h.ParentHash,
		"nonce":                 h.Nonce,
		"mixHash":               h.MixDigest,
		"sha3Uncles":            h.UncleHash,
		"logsBloom":             h.Bloom,
		"stateRoot":             h.Root,
		"miner":                 h.Coinbase,
		"difficulty":            (*hexutil.Big)(h.Difficulty),
		"extraData":             hexutil.Bytes(h.Extra),
		"gasLimit":              hexutil.Uint64(h.GasLimit),
		"gasUsed":               hexutil.Uint64(h.GasUsed),
		"timestamp":             hexutil.Uint64(h.Time),
		"transactionsRoot":      h.TxHash,
		"receiptsRoot":          h.ReceiptHash,
		"baseFeePerGas":         (*hexutil.Big)(h.BaseFee),
		"withdrawalsRoot":       h.WithdrawalsHash,
		"blobGasUsed":           (*hexutil.Uint64)(h.BlobGasUsed),
		"excessBlobGas":         (*hexutil.Uint64)(h.ExcessBlobGas),
		"parentBeaconBlockRoot": h.ParentBeaconRoot,
		"requestsHash":          h.RequestsHash,
	}
}

func blockFields(b *block, full bool) map[string]any {
	fields := headerFields(b)
	fields["size"] = hexutil.Uint64(b.Size())
	fields["uncles"] = []common.Hash{}
	fields["withdrawals"] = b.Withdrawals()
	txs := make([]any, len(b.Transactions()))
	for i, tx := range b.Transactions() {
		if full {
			txs[i] = minedFields(b, i)
		} else {
			txs[i] = tx.Hash()
		}
	}
	fields["transactions"] = txs
	return fields
}

// txFields are those of a transaction that is in no block.
func txFields(tx *types.Transaction, from common.Address) map[string]any {
	v, r, s := tx.RawSignatureValues()
	fields := map[string]any{
		"blockHash":        nil,
		"blockNumber":      nil,
		"blockTimestamp":   nil,
		"transactionIndex": nil,
		"from":             from,
		"gas":              hexutil.Uint64(tx.Gas()),
		"gasPrice":         (*hexutil.Big)(tx.GasPrice()),
		"hash":             tx.Hash(),
		"input":            hexutil.Bytes(tx.Data()),
		"nonce":            hexutil.Uint64(tx.Nonce()),
		"to":               tx.To(),
		"value":            (*hexutil.Big)(tx.Value()),
		"type":             hexutil.Uint64(tx.Type()),
		"v":                (*hexutil.Big)(v),
		"r":                (*hexutil.Big)(r),
		"s":                (*hexutil.Big)(s),
	}
	if id := tx.ChainId(); id.Sign() != 0 {
		fields["chainId"] = (*hexutil.Big)(id)
	}
	if tx.Type() != types.LegacyTxType {
		list := tx.AccessList()
		if list == nil {
			list = types.AccessList{}
		}
		fields["accessList"] = list
		fields["yParity"] = hexutil.Uint64(v.Sign())
	}
	if tx.Type() >= types.DynamicFeeTxType {
		fields["maxFeePerGas"] = (*hexutil.Big)(tx.GasFeeCap())
		fields["maxPriorityFeePerGas"] = (*hexutil.Big)(tx.GasTipCap())
	}
	switch tx.Type() {
	case types.BlobTxType:
		fields["maxFeePerBlobGas"] = (*hexutil.Big)(tx.BlobGasFeeCap())
		fields["blobVersionedHashes"] = tx.BlobHashes()
	case types.SetCodeTxType:
		fields["authorizationList"] = tx.SetCodeAuthorizations()
	}
	return fields
}

func minedFields(b *block, i int) map[string]any {
	fields := txFields(b.Transactions()[i], b.senders[i])
	fields["blockHash"] = b.hash
	fields["blockNumber"] = (*hexutil.Big)(b.Number())
	fields["blockTimestamp"] = hexutil.Uint64(b.Time())
	fields["transactionIndex"] = hexutil.Uint64(i)
	fields["gasPrice"] = (*hexutil.Big)(b.receipts[i].EffectiveGasPrice)
	return fields
}

func receiptFields(b *block, i int) map[string]any {
	r, tx := b.receipts[i], b.Transactions()[i]
	fields := map[string]any{
		"blockHash":         b.hash,
		"blockNumber":       hexutil.Uint64(b.NumberU64()),
		"transactionHash":   r.TxHash,
		"transactionIndex":  hexutil.Uint64(i),
		"from":              b.senders[i],
		"to":                tx.To(),
		"gasUsed":           hexutil.Uint64(r.GasUsed),
		"cumulativeGasUsed": hexutil.Uint64(r.CumulativeGasUsed),
		"contractAddress":   nil,
		"logs":              r.Logs,
		"logsBloom":         r.Bloom,
		"type":              hexutil.Uint(r.Type),
		"effectiveGasPrice": (*hexutil.Big)(r.EffectiveGasPrice),
		"status":            hexutil.Uint(r.Status),
	}
	if tx.Type() == types.BlobTxType {
		fields["blobGasUsed"] = hexutil.Uint64(r.BlobGasUsed)
		fields["blobGasPrice"] = (*hexutil.Big)(r.BlobGasPrice)
	}
	return fields
}

func proofFields(addr common.Address, leaf *types.StateAccount, nodes [][]byte, slots []slotProof) map[string]any {
	storage := make([]any, len(slots))
	for i, s := range slots {
		storage[i] = map[string]any{
			"key":   s.slot,
			"value": (*hexutil.U256)(&s.value),
			"proof": hexNodes(s.proof),
		}
	}
	return map[string]any{
		"address":      addr,
		"accountProof": hexNodes(nodes),
		"balance":      (*hexutil.U256)(leaf.Balance),
		"codeHash":     common.BytesToHash(leaf.CodeHash),
		"nonce":        hexutil.Uint64(leaf.Nonce),
		"storageHash":  leaf.Root,
		"storageProof": storage,
	}
}

func hexNodes(nodes [][]byte) []hexutil.Bytes {
	out := make([]hexutil.Bytes, len(nodes))
	for i, n := range nodes {
		out[i] = n
	}
	return out
}
