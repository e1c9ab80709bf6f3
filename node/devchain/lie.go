package devchain

import (
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// A provider that lies about block hashes flips every bit of them. It does so
// both ways, so that its lie is consistent: asked for the false hash, it answers
// with the block.

func flip(h common.Hash) common.Hash {
	for i := range h {
		h[i] = ^h[i]
	}
	return h
}

// unlie turns a hash a client asks for into the true one it stands for.
func (q *query) unlie(h common.Hash) common.Hash {
	if q.fault.Lie&LieBlockHash == 0 || q.hash(h) != nil {
		return h
	}
	return flip(h)
}

// claim is the hash the provider gives for a block.
func (q *query) claim(h any) any {
	hash, ok := h.(common.Hash)
	if !ok || q.fault.Lie&LieBlockHash == 0 {
		return h
	}
	return flip(hash)
}

func (q *query) falsifyBlock(fields map[string]any) map[string]any {
	fields["hash"] = q.claim(fields["hash"])
	for i, tx := range fields["transactions"].([]any) {
		if full, ok := tx.(map[string]any); ok {
			fields["transactions"].([]any)[i] = q.falsifyTransaction(full)
		}
	}
	return fields
}

func (q *query) falsifyTransaction(fields map[string]any) map[string]any {
	fields["blockHash"] = q.claim(fields["blockHash"])
	if q.fault.Lie&LieTransaction != 0 {
		value := (*big.Int)(fields["value"].(*hexutil.Big))
		fields["value"] = (*hexutil.Big)(new(big.Int).Add(value, big.NewInt(1_000_000_000_000_000_000)))
	}
	return fields
}

func (q *query) falsifyReceipt(fields map[string]any) map[string]any {
	fields["blockHash"] = q.claim(fields["blockHash"])
	if q.fault.Lie&LieReceipt != 0 {
		swapped := types.ReceiptStatusSuccessful
		if fields["status"] == hexutil.Uint(types.ReceiptStatusSuccessful) {
			swapped = types.ReceiptStatusFailed
		}
		fields["status"] = hexutil.Uint(swapped)
	}
	return fields
}
