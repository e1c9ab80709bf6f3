package api

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/upstream"
)

// sends says whether a method is a write, which is not made twice: it sends a transaction,
// or work, or takes one back. All others are reads.
func sends(method string) bool {
	for _, start := range []string{"eth_send", "eth_submit", "eth_resend", "eth_cancel"} {
		if strings.HasPrefix(method, start) {
			return true
		}
	}
	return false
}

// sendRaw is the write that may be made many times: a transaction is the same wherever it
// is sent.
const sendRaw = "eth_sendRawTransaction"

// question is what the providers are asked for a call that names a block, or a range of
// them. Only a height that one of them has reached is demanded.
func (g *gateway) question(m *method, name string, params json.RawMessage, b named) upstream.Question {
	q := upstream.Question{Method: name, Params: params}
	head := g.upstreams.Head()
	switch {
	case name == "eth_getLogs":
		q.Height, q.Span = logRange(params, head)
	case b.number <= head:
		q.Height, q.State = b.number, m.class == cache.Address
	}
	return q
}

// logRange is the last block that a filter of logs names, as far as it is reached, and how
// many blocks the filter spans; 0 and 0 for one block by its hash.
func logRange(params json.RawMessage, head uint64) (last, span uint64) {
	var list []struct{ FromBlock, ToBlock, BlockHash string }
	if json.Unmarshal(params, &list) != nil || len(list) == 0 || list[0].BlockHash != "" {
		return 0, 0
	}
	from, to := height(list[0].FromBlock, head), height(list[0].ToBlock, head)
	if to < from {
		return 0, 0
	}
	if to < head {
		last = to
	}
	return last, to - from + 1
}

// height is the number of a block parameter, at most head.
func height(text string, head uint64) uint64 {
	if text == "earliest" {
		return 0
	}
	digits, ok := strings.CutPrefix(text, "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return head
	}
	return min(n, head)
}
