package validation

import (
	"errors"
	"math"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

const (
	mainnet = 1
	// homestead is the main net's first block in which the s of a signature may
	// only be in the lower half of the curve's order (EIP-2). Ethereum's other
	// chains have had that rule since their first block.
	homestead = 1_150_000
	// unmined is the height of a transaction that is in no block.
	unmined = math.MaxUint64
)

// sender recovers who signed a transaction that is in a block with a number.
func (j Judge) sender(tx *types.Transaction, number uint64) (common.Address, error) {
	id := tx.ChainId()
	switch {
	case id != nil && id.Sign() > 0:
		return types.Sender(types.LatestSignerForChainID(id), tx)
	case tx.Type() != types.LegacyTxType:
		return common.Address{}, errors.New("the transaction names no chain")
	case j.lenient(), j.chainID == mainnet && number < homestead:
		return types.Sender(types.FrontierSigner{}, tx)
	}
	return types.Sender(types.HomesteadSigner{}, tx)
}

// unsigned says that a transaction has no signature at all, as those have that a
// chain's own protocol puts into blocks.
func unsigned(tx *types.Transaction) bool {
	v, r, s := tx.RawSignatureValues()
	return v.Sign() == 0 && r.Sign() == 0 && s.Sign() == 0
}
