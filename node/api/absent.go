package api

import (
	"encoding/json"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/cache"
)

// with is the answer that says more of two about what is in no block: a transaction that
// waits, and not null. The one before may be nil. Two of a quorum that say the same agree.
func (before *obtained) with(o obtained, quorum bool) obtained {
	same := before == nil || nothingIn(before.Result) == nothingIn(o.Result)
	if same && quorum {
		o.trust = cache.Agreed
	}
	if !same && nothingIn(o.Result) {
		return *before
	}
	return o
}

// quorum is how many providers must say that they know of nothing.
func (g *gateway) quorum() int {
	return max(1, min(g.upstreams.Heads().Quorum(), g.upstreams.Len()))
}

// isPending says whether an answer can be the transaction that is asked for, while it is in
// no block: its hash is that of its members. A transaction of a type that is not known here
// can be anything.
func isPending(params, result json.RawMessage) bool {
	var asked []common.Hash
	var claims struct{ Type string }
	var tx types.Transaction
	if json.Unmarshal(params, &asked) != nil || len(asked) == 0 {
		return true
	}
	if json.Unmarshal(result, &claims) != nil {
		return false
	}
	switch claims.Type {
	case "", "0x0", "0x1", "0x2", "0x3", "0x4":
		return tx.UnmarshalJSON(result) == nil && tx.Hash() == asked[0]
	}
	return true
}
