package devchain

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"
)

// Gas prices of the yellow paper that value transfers and call data need.
const (
	gasTransaction   = 21_000
	gasZeroByte      = 4
	gasNonZeroByte   = 16
	gasListedAddress = 2_400
	gasListedSlot    = 1_900
	gasAuthorization = 25_000
	gasRevert        = 2_600
)

// A block holds at most as many blobs as EIP-7691's target, so that no excess
// builds up and a unit of blob gas always costs its least.
const (
	maxBlobGas   = 6 * params.BlobTxBlobGasPerBlob
	blobGasPrice = params.BlobTxMinBlobGasprice
)

// Errors of a transaction that cannot be in a block. Their words are geth's.
var (
	errNonceTooLow  = errors.New("nonce too low")
	errNonceTooHigh = errors.New("nonce too high")
	errFunds        = errors.New("insufficient funds for gas * price + value")
	errIntrinsicGas = errors.New("intrinsic gas too low")
	errFeeCap       = errors.New("max fee per gas less than block base fee")
	errTip          = errors.New("max priority fee per gas higher than max fee per gas")
	errCreation     = errors.New("contract creation is not supported: devchain has no EVM")
	errSenderCode   = errors.New("sender not an eoa")
	errNoBlobs      = errors.New("blobless blob transaction")
	errBlobs        = errors.New("too many blobs in transaction")
	errNoAuth       = errors.New("EIP-7702 transaction with empty auth list")
	errBlobFee      = errors.New("max fee per blob gas less than block blob gas fee")
	errType         = types.ErrTxTypeNotSupported
)

// gasOf is what a transaction uses when it does not revert.
func gasOf(tx *types.Transaction) uint64 {
	gas := uint64(gasTransaction)
	for _, b := range tx.Data() {
		if b == 0 {
			gas += gasZeroByte
		} else {
			gas += gasNonZeroByte
		}
	}
	for _, entry := range tx.AccessList() {
		gas += gasListedAddress + gasListedSlot*uint64(len(entry.StorageKeys))
	}
	gas += gasAuthorization * uint64(len(tx.SetCodeAuthorizations()))
	if to := tx.To(); to != nil && *to == TokenAddress {
		gas += gasTokenCall
	}
	return gas
}

// admit says whether tx could be mined on s; a nonce that is too high is wrapped
// so that a pool may keep it.
func (s *state) admit(tx *types.Transaction, from common.Address, baseFee *big.Int) error {
	switch tx.Type() {
	case types.LegacyTxType, types.AccessListTxType, types.DynamicFeeTxType:
	case types.BlobTxType:
		switch {
		case len(tx.BlobHashes()) == 0:
			return errNoBlobs
		case tx.BlobGas() > maxBlobGas:
			return errBlobs
		case tx.BlobGasFeeCap().Cmp(big.NewInt(blobGasPrice)) < 0:
			return errBlobFee
		}
	case types.SetCodeTxType:
		if len(tx.SetCodeAuthorizations()) == 0 {
			return errNoAuth
		}
	default:
		return errType
	}
	if tx.To() == nil {
		return errCreation
	}
	a := s.account(from)
	if _, delegated := types.ParseDelegation(a.code); len(a.code) > 0 && !delegated {
		return errSenderCode
	}
	if tx.GasTipCap().Cmp(tx.GasFeeCap()) > 0 {
		return errTip
	}
	if tx.GasFeeCap().Cmp(baseFee) < 0 {
		return errFeeCap
	}
	if want := gasOf(tx); tx.Gas() < want {
		return fmt.Errorf("%w: have %d, want %d", errIntrinsicGas, tx.Gas(), want)
	}
	cost, overflow := uint256.FromBig(tx.Cost())
	if overflow || a.balance.Lt(cost) {
		return errFunds
	}
	switch {
	case tx.Nonce() < a.nonce:
		return fmt.Errorf("%w: next nonce %d, tx nonce %d", errNonceTooLow, a.nonce, tx.Nonce())
	case tx.Nonce() > a.nonce:
		return fmt.Errorf("%w: next nonce %d, tx nonce %d", errNonceTooHigh, a.nonce, tx.Nonce())
	}
	return nil
}

// apply executes tx, which has been admitted, and returns its receipt without
// the place in the block.
func (s *state) apply(tx *types.Transaction, from, coinbase common.Address, baseFee *big.Int) *types.Receipt {
	price := effectivePrice(tx, baseFee)
	receipt := &types.Receipt{
		Type:              tx.Type(),
		Status:            types.ReceiptStatusSuccessful,
		GasUsed:           gasOf(tx),
		TxHash:            tx.Hash(),
		EffectiveGasPrice: price,
		Logs:              []*types.Log{},
	}
	s.update(from, func(a *account) { a.nonce++ })
	for _, auth := range tx.SetCodeAuthorizations() {
		s.delegate(auth, tx.ChainId())
	}
	if *tx.To() == TokenAddress {
		if log, ok := s.callToken(from, tx.Data(), tx.Value()); ok {
			receipt.Logs = append(receipt.Logs, log)
		} else {
			receipt.Status = types.ReceiptStatusFailed
			receipt.GasUsed = receipt.GasUsed - gasTokenCall + gasRevert
		}
	} else {
		value := uint256.MustFromBig(tx.Value())
		s.update(from, func(a *account) { a.balance.Sub(&a.balance, value) })
		s.credit(*tx.To(), value)
	}
	gas := uint256.NewInt(receipt.GasUsed)
	fee := new(uint256.Int).Mul(gas, uint256.MustFromBig(price))
	s.update(from, func(a *account) { a.balance.Sub(&a.balance, fee) })
	if tx.BlobGas() > 0 {
		receipt.BlobGasUsed, receipt.BlobGasPrice = tx.BlobGas(), big.NewInt(blobGasPrice)
		burnt := uint256.NewInt(tx.BlobGas() * blobGasPrice)
		s.update(from, func(a *account) { a.balance.Sub(&a.balance, burnt) })
	}
	tip := new(uint256.Int).Mul(gas, uint256.MustFromBig(new(big.Int).Sub(price, baseFee)))
	s.credit(coinbase, tip)
	receipt.Bloom = types.CreateBloom(receipt)
	return receipt
}

// delegate gives an account the code of another, as EIP-7702 has it. One that does
// not hold is passed over.
func (s *state) delegate(auth types.SetCodeAuthorization, chainID *big.Int) {
	if !auth.ChainID.IsZero() && auth.ChainID.CmpBig(chainID) != 0 {
		return
	}
	authority, err := auth.Authority()
	if err != nil {
		return
	}
	a := s.account(authority)
	if _, delegated := types.ParseDelegation(a.code); a.nonce != auth.Nonce || len(a.code) > 0 && !delegated {
		return
	}
	s.update(authority, func(a *account) {
		a.nonce++
		a.code = nil
		if auth.Address != (common.Address{}) {
			a.code = types.AddressToDelegation(auth.Address)
		}
	})
}

// effectivePrice is what the sender pays for one unit of gas.
func effectivePrice(tx *types.Transaction, baseFee *big.Int) *big.Int {
	price := new(big.Int).Add(baseFee, tx.GasTipCap())
	if price.Cmp(tx.GasFeeCap()) > 0 {
		price.Set(tx.GasFeeCap())
	}
	return price
}

// nextBaseFee follows EIP-1559 with an elasticity of 2 and a denominator of 8.
func nextBaseFee(parent *types.Header) *big.Int {
	target := parent.GasLimit / 2
	fee := new(big.Int).Set(parent.BaseFee)
	if parent.GasUsed == target {
		return fee
	}
	delta := new(big.Int)
	if parent.GasUsed > target {
		delta.SetUint64(parent.GasUsed - target)
	} else {
		delta.SetUint64(target - parent.GasUsed)
	}
	delta.Mul(delta, parent.BaseFee)
	delta.Div(delta, new(big.Int).SetUint64(target))
	delta.Div(delta, big.NewInt(8))
	if parent.GasUsed > target {
		if delta.Sign() == 0 {
			delta.SetUint64(1)
		}
		return fee.Add(fee, delta)
	}
	return fee.Sub(fee, delta)
}
