package validation

import (
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
)

// ethereumChains are the chains that follow Ethereum's fee and gas rules: its
// main net and public test nets, and the id that geth's developer chain and this
// project's devchain have.
var ethereumChains = map[uint64]bool{1: true, 11155111: true, 17000: true, 560048: true, 1337: true}

// lenient says that the chain may have its own rules for fees, gas limits and
// timestamps: what does not follow Ethereum's is then noted, not failed.
func (j Judge) lenient() bool {
	switch j.set.ConsensusRules.Get() {
	case rulesEthereum:
		return false
	case rulesNone:
		return true
	}
	return !ethereumChains[j.chainID]
}

// broken records a rule that a block does not follow.
func (q *inquiry) broken(name, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if q.judge.lenient() {
		q.exempt(name, "%s; the chain may have its own rule (validation.consensus_rules)", text)
		return
	}
	q.fail(name, "", "%s", text)
}

// recordParent records the link to the parent and what follows from it.
func (q *inquiry) recordParent(b blockAnswer, r reply[headerAnswer]) {
	skew := q.set.ClockSkew.Get()
	ahead := time.Until(time.Unix(int64(min(b.Time, 1<<40)), 0))
	future := ahead > skew
	if b.headForeign != "" {
		for _, name := range []string{"parent", "gas_limit", "base_fee", "timestamp"} {
			q.skip(name, "%s", b.headForeign)
		}
		return
	}
	if future { // either clock may be wrong, and a client of the chain too would wait and see
		q.skip("timestamp", "%d is %s ahead of this host's clock", b.Time, ahead.Round(time.Second))
	}
	if b.number() == 0 {
		q.exempt("parent", "the genesis block has no parent")
		q.exempt("gas_limit", "the genesis block has no parent")
		q.exempt("base_fee", "the genesis block has no parent")
		if !future {
			q.pass("timestamp", "", "%d is not in the future", b.Time)
		}
		return
	}
	parent := r.value
	if r.err != nil {
		if errors.Is(r.err, errAbsent) {
			q.skip("parent", "no provider has the parent %s", b.ParentHash)
		} else {
			q.trouble("parent", r.provider, r.err)
		}
		for _, name := range []string{"gas_limit", "base_fee"} {
			q.skip(name, "the parent is not known")
		}
		if !future {
			q.skip("timestamp", "the parent is not known")
		}
		return
	}
	if parent.number()+1 != b.number() {
		q.fail("parent", r.provider, "the block with the parent hash has the number %d", parent.number())
	} else {
		q.pass("parent", r.provider, "block %d hashes to the parent hash %s", parent.number(), b.ParentHash)
	}
	if !future {
		q.recordTimestamp(b, parent)
	}
	q.recordGasLimit(b.Header, parent.Header)
	q.recordBaseFee(b.Header, parent.Header)
}

func (q *inquiry) recordTimestamp(b blockAnswer, parent headerAnswer) {
	switch {
	case b.Time > parent.Time:
		q.pass("timestamp", "", "%d s after the parent and not in the future", b.Time-parent.Time)
	case b.Time == parent.Time:
		q.broken("timestamp", "%d is the parent's too", b.Time)
	default:
		q.fail("timestamp", "", "%d is %d s before the parent", b.Time, parent.Time-b.Time)
	}
}

// elasticity is by how much a block may exceed the gas target since EIP-1559.
const elasticity = 2

// recordGasLimit checks that the limit moved by less than a 1024th.
func (q *inquiry) recordGasLimit(b, parent *types.Header) {
	before := parent.GasLimit
	if b.BaseFee != nil && parent.BaseFee == nil { // the London block
		before *= elasticity
	}
	delta := max(b.GasLimit, before) - min(b.GasLimit, before)
	if bound := before / 1024; delta >= bound || b.GasLimit < 5000 {
		q.broken("gas_limit", "%d after %d moves by more than a 1024th", b.GasLimit, before)
		return
	}
	q.pass("gas_limit", "", "%d after %d, within a 1024th", b.GasLimit, before)
}

// recordBaseFee computes the base fee that EIP-1559 gives.
func (q *inquiry) recordBaseFee(b, parent *types.Header) {
	if b.BaseFee == nil {
		if parent.BaseFee != nil {
			q.broken("base_fee", "the parent has one, the block has none")
			return
		}
		q.exempt("base_fee", "the block is from before EIP-1559")
		return
	}
	want := big.NewInt(1_000_000_000)
	if parent.BaseFee != nil {
		if want = nextBaseFee(parent); want == nil {
			q.broken("base_fee", "the parent's gas limit of %d allows none", parent.GasLimit)
			return
		}
	}
	if want.Cmp(b.BaseFee) != 0 {
		q.broken("base_fee", "%s wei, where EIP-1559 gives %s", b.BaseFee, want)
		return
	}
	q.pass("base_fee", "", "%s wei, as EIP-1559 gives after %d of %d gas", b.BaseFee, parent.GasUsed, parent.GasLimit)
}

// nextBaseFee follows EIP-1559; it is nil for a parent without a gas target.
func nextBaseFee(parent *types.Header) *big.Int {
	target := parent.GasLimit / elasticity
	if target == 0 {
		return nil
	}
	up := parent.GasUsed > target
	delta := new(big.Int).SetUint64(max(parent.GasUsed, target) - min(parent.GasUsed, target))
	delta.Mul(delta, parent.BaseFee)
	delta.Div(delta, new(big.Int).SetUint64(target))
	delta.Div(delta, big.NewInt(8))
	if up && delta.Sign() == 0 {
		delta.SetUint64(1)
	}
	if up {
		return delta.Add(parent.BaseFee, delta)
	}
	return delta.Sub(parent.BaseFee, delta)
}
