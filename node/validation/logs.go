package validation

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// Logs returns the block's logs that match, each with its place.
func (r *Receipts) Logs(match func(*types.Log) bool) []*types.Log {
	var out []*types.Log
	index := uint(0) // in the block
	for i, receipt := range r.Receipts {
		for _, log := range receipt.Logs {
			if match(log) {
				out = append(out, &types.Log{
					Address: log.Address, Topics: log.Topics, Data: log.Data,
					BlockHash: r.block.hash, BlockNumber: r.block.number(), BlockTimestamp: r.block.Time,
					TxHash: r.block.txs[i].Hash(), TxIndex: uint(i), Index: index,
				})
			}
			index++
		}
	}
	return out
}

// ProveLogs proves an answer to eth_getLogs by what it must be, all of it and in order.
// missing is how many are left out at the end, which may be because the provider is late.
func ProveLogs(raw json.RawMessage, want []*types.Log) (missing int, err error) {
	var sent []struct {
		logClaims
		Address *common.Address `json:"address"`
		Topics  []common.Hash   `json:"topics"`
		Data    *hexutil.Bytes  `json:"data"`
	}
	if err := json.Unmarshal(raw, &sent); err != nil || sent == nil {
		return 0, flawed("logs", "the answer is not a list of logs: %v", err)
	}
	for i, got := range sent {
		if i >= len(want) {
			return 0, flawed("logs", "%d logs, where the receipts hold %d that match", len(sent), len(want))
		}
		log := want[i]
		if got.Address == nil || got.Data == nil || *got.Address != log.Address || !slices.Equal(got.Topics, log.Topics) || string(*got.Data) != string(log.Data) {
			return 0, flawed("logs", "log %d is not the one in the receipts, log %d of block %d", i, log.Index, log.BlockNumber)
		}
		if text := got.at(log); text != "" {
			return 0, flawed("logs", "log %d %s", i, text)
		}
	}
	if missing = len(want) - len(sent); missing > 0 {
		return missing, nil
	}
	return 0, strict(raw, logShape, nil)
}

// at compares the claimed place of a log with its place.
func (c logClaims) at(log *types.Log) string {
	for _, v := range []struct {
		name string
		sent *number
		want uint64
	}{
		{"block number", c.Number, log.BlockNumber}, {"transaction index", c.TxIndex, uint64(log.TxIndex)}, {"log index", c.Index, uint64(log.Index)},
	} {
		if v.sent == nil || uint64(*v.sent) != v.want {
			return fmt.Sprintf("claims the %s %s, not %d", v.name, v.sent, v.want)
		}
	}
	switch {
	case c.BlockHash == nil || *c.BlockHash != log.BlockHash:
		return fmt.Sprintf("claims the block %s, not %s", orNone(c.BlockHash), log.BlockHash)
	case c.TxHash == nil || *c.TxHash != log.TxHash:
		return fmt.Sprintf("claims the transaction %s, not %s", orNone(c.TxHash), log.TxHash)
	case c.Time != nil && uint64(*c.Time) != log.BlockTimestamp:
		return fmt.Sprintf("claims the block's timestamp %d, not %d", *c.Time, log.BlockTimestamp)
	case c.Removed != nil && *c.Removed:
		return "claims to be removed"
	}
	return ""
}
