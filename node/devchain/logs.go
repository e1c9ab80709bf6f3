package devchain

import (
	"encoding/json"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

const (
	maxLogBlocks = 1024
	maxLogs      = 10_000
)

// getLogs answers eth_getLogs: a range of blocks or one block, addresses, and
// topics by position.
func (q *query) getLogs() (any, error) {
	var f struct {
		BlockHash *common.Hash      `json:"blockHash"`
		FromBlock json.RawMessage   `json:"fromBlock"`
		ToBlock   json.RawMessage   `json:"toBlock"`
		Address   json.RawMessage   `json:"address"`
		Topics    []json.RawMessage `json:"topics"`
	}
	if err := q.param(0, "filter", &f); err != nil {
		return nil, err
	}
	addresses, err := oneOrMany[common.Address](f.Address)
	if err != nil || len(f.Topics) > 4 {
		return nil, invalidParams("invalid argument 0: address or topics")
	}
	topics := make([][]common.Hash, len(f.Topics))
	for i, raw := range f.Topics {
		if topics[i], err = oneOrMany[common.Hash](raw); err != nil {
			return nil, invalidParams("invalid argument 0: topic %d", i)
		}
	}

	var blocks []*block
	if f.BlockHash != nil {
		b := q.hash(q.unlie(*f.BlockHash))
		if b == nil {
			return nil, &rpcError{Code: -32000, Message: "unknown block"}
		}
		blocks = append(blocks, b)
	} else if blocks, err = q.blockRange(f.FromBlock, f.ToBlock); err != nil {
		return nil, err
	}

	out := []*types.Log{}
	for _, b := range blocks {
		for _, r := range b.receipts {
			for _, log := range r.Logs {
				if !matches(log, addresses, topics) {
					continue
				}
				if len(out) == maxLogs {
					return nil, &rpcError{Code: -32005, Message: "query returned more than 10000 results"}
				}
				out = append(out, log)
			}
		}
	}
	return out, nil
}

func (q *query) blockRange(from, to json.RawMessage) ([]*block, error) {
	ends := &query{view: q.view, fault: q.fault, params: []json.RawMessage{from, to}}
	for i, raw := range ends.params {
		if len(raw) == 0 {
			ends.params[i] = nullID
		}
	}
	first, err := ends.block(0)
	if err != nil {
		return nil, err
	}
	last, err := ends.block(1)
	if err != nil {
		return nil, err
	}
	if last == nil { // above the head
		last = q.headBlock()
	}
	if first == nil || first.NumberU64() > last.NumberU64() {
		return nil, nil
	}
	if last.NumberU64()-first.NumberU64() >= maxLogBlocks {
		return nil, &rpcError{Code: -32005, Message: "block range is too wide"}
	}
	var out []*block
	for n := first.NumberU64(); n <= last.NumberU64(); n++ {
		if b := q.number(n); b != nil {
			out = append(out, b)
		}
	}
	return out, nil
}

func matches(log *types.Log, addresses []common.Address, topics [][]common.Hash) bool {
	if len(addresses) > 0 && !slices.Contains(addresses, log.Address) {
		return false
	}
	if len(topics) > len(log.Topics) {
		return false
	}
	for i, any := range topics {
		if len(any) > 0 && !slices.Contains(any, log.Topics[i]) {
			return false
		}
	}
	return true
}

// oneOrMany reads a value, a list of values, or nothing.
func oneOrMany[T any](raw json.RawMessage) ([]T, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var many []T
	if raw[0] == '[' {
		err := json.Unmarshal(raw, &many)
		return many, err
	}
	var one T
	err := json.Unmarshal(raw, &one)
	return []T{one}, err
}
