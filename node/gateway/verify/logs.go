package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/validation"
)

// filter is what eth_getLogs asks for.
type filter struct {
	hash      *common.Hash
	from, to  uint64
	addresses []common.Address
	topics    [][]common.Hash // by position; an empty list is any
}

// maxTopics is how many topics a log has at most.
const maxTopics = 4

// readFilter reads the parameter of eth_getLogs. Members that are not known here may
// change what is asked for.
func readFilter(w *proof) (filter, error) {
	var f filter
	members, err := param[map[string]json.RawMessage](w, 0)
	if err != nil {
		return f, err
	}
	for name, raw := range members {
		if isNull(raw) {
			continue
		}
		switch name {
		case "blockHash":
			err = json.Unmarshal(raw, &f.hash)
		case "fromBlock":
			f.from, err = height(raw)
		case "toBlock":
			f.to, err = height(raw)
		case "address":
			f.addresses, err = oneOrMany[common.Address](raw)
		case "topics":
			var positions []json.RawMessage
			if err = json.Unmarshal(raw, &positions); err == nil && len(positions) > maxTopics {
				err = errors.New("more topics than a log has")
			}
			f.topics = make([][]common.Hash, len(positions))
			for i := range positions {
				if err == nil {
					f.topics[i], err = oneOrMany[common.Hash](positions[i])
				}
			}
		default:
			err = errors.New("not a member of a filter that is known")
		}
		if err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
	}
	if f.hash == nil && (isNull(members["fromBlock"]) || isNull(members["toBlock"])) {
		return f, errors.New("the question names no block, but the moment it is answered at")
	}
	if f.hash != nil && (!isNull(members["fromBlock"]) || !isNull(members["toBlock"])) {
		return f, errors.New("the question names a block and a range")
	}
	return f, nil
}

// height reads a number of a block.
func height(raw json.RawMessage) (uint64, error) {
	var n hexutil.Uint64
	if string(raw) == `"earliest"` {
		return 0, nil
	}
	err := json.Unmarshal(raw, &n)
	return uint64(n), err
}

// oneOrMany reads a value, a list of values, or nothing.
func oneOrMany[T any](raw json.RawMessage) ([]T, error) {
	if isNull(raw) {
		return nil, nil
	}
	var many []T
	if json.Unmarshal(raw, &many) == nil {
		return many, nil
	}
	var one T
	err := json.Unmarshal(raw, &one)
	return []T{one}, err
}

// matches says whether a log is asked for.
func (f filter) matches(log *types.Log) bool {
	if len(f.addresses) > 0 && !slices.Contains(f.addresses, log.Address) || len(f.topics) > len(log.Topics) {
		return false
	}
	for i, wanted := range f.topics {
		if len(wanted) > 0 && !slices.Contains(wanted, log.Topics[i]) {
			return false
		}
	}
	return true
}

// mayMatch says whether a block may hold logs that are asked for, by the bloom filter in its
// header, which never leaves one out.
func (f filter) mayMatch(bloom types.Bloom) bool {
	found := len(f.addresses) == 0
	for _, addr := range f.addresses {
		found = found || types.BloomLookup(bloom, addr)
	}
	for _, wanted := range f.topics {
		one := len(wanted) == 0
		for _, topic := range wanted {
			one = one || types.BloomLookup(bloom, topic)
		}
		found = found && one
	}
	return found
}

// logs proves an answer to eth_getLogs to be all logs in the receipts that match.
func (w *proof) logs() error {
	if isNull(w.answer.Result) {
		return errNull
	}
	f, err := readFilter(w)
	if err != nil {
		return err
	}
	var blocks []common.Hash
	if f.hash != nil {
		blocks = []common.Hash{*f.hash}
	} else if blocks, err = w.between(f.from, f.to); err != nil {
		return err
	}
	var want []*types.Log
	for _, hash := range blocks {
		h, err := w.header(hash)
		if err != nil {
			return err
		}
		w.on = Block{h.Number.Uint64(), hash}
		if h.Bloom == (types.Bloom{}) || !f.mayMatch(h.Bloom) {
			continue
		}
		r, err := w.receipts(hash)
		if err != nil {
			return err
		}
		want = append(want, r.Logs(f.matches)...)
	}
	missing, err := validation.ProveLogs(w.answer.Result, want)
	switch {
	case err != nil || missing == 0:
		return err
	case len(want) > missing && want[len(want)-missing-1].BlockHash == want[len(want)-missing].BlockHash:
		return validation.NewLie("logs", "%d logs of %d: the others of block %d are left out", len(want)-missing, len(want), want[len(want)-missing].BlockNumber)
	}
	return fmt.Errorf("%d logs of %d: those from block %d on are left out, which the provider may not have had yet",
		len(want)-missing, len(want), want[len(want)-missing].BlockNumber)
}

// between are the hashes of the canonical blocks in a range.
func (w *proof) between(from, to uint64) ([]common.Hash, error) {
	bound := w.set.LogBlocks.Get()
	if to < from {
		return nil, errors.New("the range is empty")
	}
	if to-from >= uint64(bound) {
		return nil, fmt.Errorf("more than %d blocks (gateway.verify.log_blocks)", bound)
	}
	var out []common.Hash
	for number := from; number <= to; number++ {
		hash, err := w.canonical(number)
		if err != nil {
			return nil, err
		}
		out = append(out, hash)
		if number == to { // the greatest number has no next
			break
		}
	}
	return out, nil
}
