package devchain

import (
	"bytes"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// TokenAddress is the account that behaves as an ERC-20 token.
var TokenAddress = common.HexToAddress("0x70ce000000000000000000000000000000000001")

// tokenCode is what eth_getCode answers for the token: PUSH0 PUSH0 REVERT after
// a marker. Nothing executes it.
var tokenCode = append([]byte("\x60\x80\x60\x40\x52bizra devchain token"), 0x5f, 0x5f, 0xfd)

var (
	selectorTransfer  = crypto.Keccak256([]byte("transfer(address,uint256)"))[:4]
	selectorBalanceOf = crypto.Keccak256([]byte("balanceOf(address)"))[:4]
	selectorDecimals  = crypto.Keccak256([]byte("decimals()"))[:4]
	topicTransfer     = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
)

// gasTokenCall is what the token's code would cost on top of the intrinsic gas.
const gasTokenCall = 29_210

// tokenSlot is where a balance lies in the token's storage: entry addr of the
// mapping in slot 0.
func tokenSlot(addr common.Address) common.Hash {
	var buf [64]byte
	copy(buf[12:32], addr[:])
	return crypto.Keccak256Hash(buf[:])
}

// transferInput is the call data of transfer(to, amount).
func transferInput(to common.Address, amount *uint256.Int) []byte {
	word := amount.Bytes32()
	return bytes.Join([][]byte{selectorTransfer, common.LeftPadBytes(to[:], 32), word[:]}, nil)
}

// callToken runs a transaction's call of the token. It returns false, having
// changed nothing, when the token would revert.
func (s *state) callToken(from common.Address, input []byte, value *big.Int) (*types.Log, bool) {
	if value.Sign() != 0 || len(input) != 68 || !bytes.Equal(input[:4], selectorTransfer) {
		return nil, false
	}
	to := common.BytesToAddress(input[4:36])
	amount := new(uint256.Int).SetBytes(input[36:68])
	held := s.tokenBalance(from)
	if held.Lt(amount) {
		return nil, false
	}
	s.setTokenBalance(from, new(uint256.Int).Sub(held, amount))
	s.setTokenBalance(to, new(uint256.Int).Add(s.tokenBalance(to), amount))
	return &types.Log{
		Address: TokenAddress,
		Topics:  []common.Hash{topicTransfer, common.BytesToHash(from[:]), common.BytesToHash(to[:])},
		Data:    common.CopyBytes(input[36:68]),
	}, true
}

// readToken answers an eth_call to the token; false means it reverts.
func (s *state) readToken(input []byte) ([]byte, bool) {
	switch {
	case len(input) == 36 && bytes.Equal(input[:4], selectorBalanceOf):
		word := s.tokenBalance(common.BytesToAddress(input[4:36])).Bytes32()
		return word[:], true
	case len(input) == 4 && bytes.Equal(input, selectorDecimals):
		return common.LeftPadBytes([]byte{18}, 32), true
	}
	return nil, false
}
