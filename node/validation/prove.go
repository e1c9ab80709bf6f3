package validation

import (
	"context"
	"encoding/json"

	"github.com/ethereum/go-ethereum/common"
)

// ProvesBlock says whether a block with whole transactions, as eth_getBlockByHash answers
// it, is the block with a hash and nothing else: its header hashes to it, its transactions
// and withdrawals give the roots in the header, and what no root covers, such as senders,
// follows from what they do. It asks nobody.
func (v *Validator) ProvesBlock(ctx context.Context, hash string, block json.RawMessage) bool {
	want, err := ParseHash(hash)
	if err != nil {
		return false
	}
	b, err := v.judge.block(block, common.HexToHash(want), everyone)
	return err == nil && b.unproved() == ""
}
