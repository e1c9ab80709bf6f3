package devchain

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/holiman/uint256"
)

const (
	// gasLimit makes the traffic's average block about half full, so that the
	// base fee moves both ways.
	gasLimit       = 1_300_000
	initialBaseFee = 1_000_000_000
	maxWithdrawals = 4
)

var (
	coinbase  = common.HexToAddress("0xc01bba5e00000000000000000000000000000001")
	extraData = []byte("bizra devchain")
)

// genesis funds the accounts and the token's holders.
func (c *Chain) genesis() (*block, error) {
	s := newState()
	ether := uint256.NewInt(1_000_000_000_000_000_000)
	for _, addr := range c.addrs {
		s.credit(addr, new(uint256.Int).Mul(ether, uint256.NewInt(10_000)))
		s.setTokenBalance(addr, new(uint256.Int).Mul(ether, uint256.NewInt(1_000_000)))
	}
	s.update(TokenAddress, func(a *account) { a.nonce, a.code = 1, tokenCode })
	root, err := s.commit()
	if err != nil {
		return nil, err
	}
	header := c.header(nil)
	header.Number = new(big.Int)
	header.Time = uint64(c.cfg.GenesisTime.Unix())
	header.BaseFee = big.NewInt(initialBaseFee)
	header.ParentBeaconRoot = new(common.Hash)
	header.Root = root
	return seal(header, s, nil, nil, nil, types.Withdrawals{}), nil
}

// header returns a header with the fields that do not depend on the content.
func (c *Chain) header(parent *block) *types.Header {
	var blobGas, excess uint64
	requests := types.EmptyRequestsHash
	h := &types.Header{
		UncleHash:     types.EmptyUncleHash,
		Coinbase:      coinbase,
		Difficulty:    new(big.Int),
		GasLimit:      c.cfg.GasLimit,
		Extra:         extraData,
		BlobGasUsed:   &blobGas,
		ExcessBlobGas: &excess,
		RequestsHash:  &requests,
	}
	if parent == nil {
		return h
	}
	number := parent.NumberU64() + 1
	beacon := common.BytesToHash(c.derive("beacon root", number^c.salt<<48))
	h.ParentHash = parent.hash
	h.Number = new(big.Int).SetUint64(number)
	h.BaseFee = nextBaseFee(parent.Header())
	h.ParentBeaconRoot = &beacon
	h.MixDigest = common.BytesToHash(c.derive("randao", number^c.salt<<48))
	return h
}

// build makes the block after parent from the traffic and the waiting
// transactions. It publishes nothing. The caller holds mining.
func (c *Chain) build(parent *block, notBefore uint64) (*block, error) {
	header := c.header(parent)
	header.Time = max(parent.Time()+c.step, notBefore)
	s := parent.state.next()

	var (
		txs      []*types.Transaction
		senders  []common.Address
		receipts types.Receipts
	)
	include := func(tx *types.Transaction, from common.Address) bool {
		if header.GasUsed+tx.Gas() > header.GasLimit || *header.BlobGasUsed+tx.BlobGas() > maxBlobGas {
			return false
		}
		receipt := s.apply(tx, from, header.Coinbase, header.BaseFee)
		header.GasUsed += receipt.GasUsed
		*header.BlobGasUsed += tx.BlobGas()
		receipt.CumulativeGasUsed = header.GasUsed
		txs, senders, receipts = append(txs, tx), append(senders, from), append(receipts, receipt)
		return true
	}
	for _, w := range c.pending() {
		if s.admit(w.tx, w.from, header.BaseFee) == nil {
			include(w.tx, w.from)
		}
	}
	if c.cfg.Traffic {
		if err := c.addTraffic(s, header.BaseFee, include); err != nil {
			return nil, err
		}
	}
	withdrawals := c.withdrawals(header.Number.Uint64())
	for _, w := range withdrawals {
		gwei := new(uint256.Int).Mul(uint256.NewInt(w.Amount), uint256.NewInt(1_000_000_000))
		s.credit(w.Address, gwei)
	}
	root, err := s.commit()
	if err != nil {
		return nil, err
	}
	header.Root = root
	return seal(header, s, txs, senders, receipts, withdrawals), nil
}

// seal computes the roots and the hash, and gives receipts and logs their place.
func seal(h *types.Header, s *state, txs []*types.Transaction, senders []common.Address, receipts types.Receipts, w types.Withdrawals) *block {
	b := &block{
		Block:    types.NewBlock(h, &types.Body{Transactions: txs, Withdrawals: w}, receipts, trie.NewStackTrie(nil)),
		receipts: receipts,
		senders:  senders,
		state:    s,
	}
	b.hash = b.Hash()
	logs := uint(0)
	for i, r := range receipts {
		r.BlockHash, r.BlockNumber, r.TransactionIndex = b.hash, b.Number(), uint(i)
		for _, log := range r.Logs {
			log.BlockHash, log.BlockNumber, log.BlockTimestamp = b.hash, b.NumberU64(), b.Time()
			log.TxHash, log.TxIndex, log.Index = r.TxHash, uint(i), logs
			logs++
		}
	}
	return b
}

// withdrawals follow from the seed and the height, up to four a block.
func (c *Chain) withdrawals(number uint64) types.Withdrawals {
	sum := sha256.Sum256(c.derive("withdrawals", number))
	out := make(types.Withdrawals, int(sum[0])%(maxWithdrawals+1))
	for i := range out {
		out[i] = &types.Withdrawal{
			Index:     number*maxWithdrawals + uint64(i),
			Validator: uint64(binary.BigEndian.Uint32(sum[4*i+1:])) % 1_000_000,
			Address:   c.addrs[int(sum[20+i])%len(c.addrs)],
			Amount:    uint64(binary.BigEndian.Uint16(sum[24+i:])) + 1,
		}
	}
	return out
}
