package devchain

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
)

// addTraffic signs new transactions and puts them into the block being built.
// The caller holds mining.
func (c *Chain) addTraffic(s *state, baseFee *big.Int, include func(*types.Transaction, common.Address) bool) error {
	draw := func() int { return c.cfg.MinTx + c.traffic.IntN(c.cfg.MaxTx-c.cfg.MinTx+1) }
	// Demand answers the price, or the base fee would wander without end.
	n := max(draw(), draw())
	if baseFee.Cmp(big.NewInt(initialBaseFee)) > 0 {
		n = min(draw(), draw())
	}
	for added := 0; added < n; {
		i := c.traffic.IntN(len(c.keys))
		from := c.addrs[i]
		payment, err := c.payment(s, i, baseFee)
		if err != nil {
			return fmt.Errorf("traffic: %w", err)
		}
		tx, err := types.SignNewTx(c.keys[i], c.signer, payment)
		if err != nil {
			return fmt.Errorf("traffic: %w", err)
		}
		switch {
		case s.admit(tx, from, baseFee) == nil && include(tx, from):
			added++
		case tx.Type() == types.BlobTxType: // the block is full of blobs
		default:
			return nil // the account is out of funds or the block is full
		}
	}
	return nil
}

// payment is a random transfer of value or tokens from an account, of a random
// type.
func (c *Chain) payment(s *state, account int, baseFee *big.Int) (types.TxData, error) {
	r, from := c.traffic, c.addrs[account]
	to := c.addrs[r.IntN(len(c.addrs))]
	value := new(big.Int).SetUint64(r.Uint64N(1_000_000_000_000_000))
	var (
		data   []byte
		access types.AccessList
	)
	if r.IntN(5) < 2 {
		amount := uint256.NewInt(r.Uint64N(1_000_000_000_000_000_000))
		if r.Float64() < c.cfg.Reverts {
			amount = new(uint256.Int).AddUint64(s.tokenBalance(from), 1)
		}
		data, value = transferInput(to, amount), new(big.Int)
		access = types.AccessList{{Address: TokenAddress, StorageKeys: []common.Hash{tokenSlot(from), tokenSlot(to)}}}
		to = TokenAddress
	}
	var (
		tip      = new(big.Int).SetUint64(100_000_000 + r.Uint64N(1_900_000_000))
		feeCap   = new(big.Int).Add(new(big.Int).Mul(baseFee, big.NewInt(2)), tip)
		nonce    = s.account(from).nonce
		gas      = uint64(80_000)
		chainID  = new(big.Int).SetUint64(c.cfg.ChainID)
		gasPrice = new(big.Int).Add(baseFee, tip)
	)
	switch kind := r.IntN(16); {
	case kind < 4:
		return &types.LegacyTx{Nonce: nonce, GasPrice: gasPrice, Gas: gas, To: &to, Value: value, Data: data}, nil
	case kind < 8:
		return &types.AccessListTx{ChainID: chainID, Nonce: nonce, GasPrice: gasPrice, Gas: gas, To: &to, Value: value, Data: data, AccessList: access}, nil
	case kind < 14:
		return &types.DynamicFeeTx{ChainID: chainID, Nonce: nonce, GasTipCap: tip, GasFeeCap: feeCap, Gas: gas, To: &to, Value: value, Data: data}, nil
	case kind < 15:
		blob := common.BytesToHash(c.derive("blob", r.Uint64()))
		blob[0] = 0x01 // EIP-4844: of a KZG commitment
		return &types.BlobTx{ChainID: uint256.MustFromBig(chainID), Nonce: nonce, GasTipCap: uint256.MustFromBig(tip), GasFeeCap: uint256.MustFromBig(feeCap),
			Gas: gas, To: to, Value: uint256.MustFromBig(value), Data: data, BlobFeeCap: uint256.NewInt(1_000_000_000), BlobHashes: []common.Hash{blob}}, nil
	default:
		other := (account + 1 + r.IntN(len(c.keys)-1)) % len(c.keys)
		auth, err := types.SignSetCode(c.keys[other], types.SetCodeAuthorization{
			ChainID: *uint256.MustFromBig(chainID), Address: TokenAddress, Nonce: s.account(c.addrs[other]).nonce,
		})
		return &types.SetCodeTx{ChainID: uint256.MustFromBig(chainID), Nonce: nonce, GasTipCap: uint256.MustFromBig(tip), GasFeeCap: uint256.MustFromBig(feeCap),
			Gas: gas + gasAuthorization, To: to, Value: uint256.MustFromBig(value), Data: data, AuthList: []types.SetCodeAuthorization{auth}}, err
	}
}
