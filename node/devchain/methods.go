package devchain

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
)

// methods are the calls a provider answers.
var methods = map[string]func(*query) (any, error){
	"web3_clientVersion": func(*query) (any, error) { return "bizra-devchain/1", nil },
	"net_version":        func(q *query) (any, error) { return strconv.FormatUint(q.claimedChainID(), 10), nil },
	"net_listening":      func(*query) (any, error) { return true, nil },
	"eth_syncing":        func(*query) (any, error) { return false, nil },
	"eth_accounts":       func(*query) (any, error) { return []string{}, nil },
	"eth_chainId":        func(q *query) (any, error) { return hexutil.Uint64(q.claimedChainID()), nil },
	"eth_blockNumber":    func(q *query) (any, error) { return hexutil.Uint64(q.headBlock().NumberU64()), nil },
	"eth_gasPrice": func(q *query) (any, error) {
		return (*hexutil.Big)(new(big.Int).Add(nextBaseFee(q.headBlock().Header()), suggestedTip)), nil
	},
	"eth_maxPriorityFeePerGas":  func(*query) (any, error) { return (*hexutil.Big)(suggestedTip), nil },
	"eth_getBlockByNumber":      (*query).getBlock,
	"eth_getBlockByHash":        (*query).getBlock,
	"eth_getBlockReceipts":      (*query).getBlockReceipts,
	"eth_getTransactionByHash":  (*query).getTransaction,
	"eth_getTransactionReceipt": (*query).getReceipt,
	"eth_getBalance":            (*query).getBalance,
	"eth_getTransactionCount":   (*query).getNonce,
	"eth_getCode":               (*query).getCode,
	"eth_getStorageAt":          (*query).getStorage,
	"eth_getProof":              (*query).getProof,
	"eth_getLogs":               (*query).getLogs,
	"eth_call":                  (*query).ethCall,
	"eth_estimateGas":           (*query).estimateGas,
	"eth_sendRawTransaction":    (*query).sendRaw,
}

var suggestedTip = big.NewInt(1_000_000_000)

func (q *query) claimedChainID() uint64 {
	if q.fault.ChainID != 0 {
		return q.fault.ChainID
	}
	return q.cfg.ChainID
}

func (q *query) getBlock() (any, error) {
	var full bool
	if err := q.param(1, "bool", &full); len(q.params) > 1 && err != nil {
		return nil, err
	}
	if len(q.params) == 0 {
		return nil, invalidParams("missing value for required argument 0")
	}
	b, err := q.block(0)
	if err != nil || b == nil {
		return nil, err
	}
	return q.falsifyBlock(blockFields(b, full)), nil
}

func (q *query) getBlockReceipts() (any, error) {
	b, err := q.block(0)
	if err != nil || b == nil {
		return nil, err
	}
	out := make([]any, len(b.receipts))
	for i := range b.receipts {
		out[i] = q.falsifyReceipt(receiptFields(b, i))
	}
	return out, nil
}

func (q *query) getTransaction() (any, error) {
	h, err := q.hashParam(0)
	if err != nil {
		return nil, err
	}
	mined, waiting := q.transaction(h)
	switch {
	case mined.block != nil:
		return q.falsifyTransaction(minedFields(mined.block, mined.index)), nil
	case waiting != nil:
		return q.falsifyTransaction(txFields(waiting.tx, waiting.from)), nil
	}
	return nil, nil
}

func (q *query) getReceipt() (any, error) {
	h, err := q.hashParam(0)
	if err != nil {
		return nil, err
	}
	if mined, _ := q.transaction(h); mined.block != nil {
		return q.falsifyReceipt(receiptFields(mined.block, mined.index)), nil
	}
	return nil, nil
}

func (q *query) getBalance() (any, error) {
	addr, err := q.addressParam(0)
	if err != nil {
		return nil, err
	}
	s, err := q.state(1)
	if err != nil {
		return nil, err
	}
	return (*hexutil.U256)(q.falsifyBalance(&s.account(addr).balance)), nil
}

func (q *query) getNonce() (any, error) {
	addr, err := q.addressParam(0)
	if err != nil {
		return nil, err
	}
	s, err := q.state(1)
	if err != nil {
		return nil, err
	}
	nonce := s.account(addr).nonce
	if len(q.params) > 1 && string(q.params[1]) == `"pending"` {
		for _, w := range q.Chain.pending() {
			if w.from == addr && w.tx.Nonce() == nonce {
				nonce++
			}
		}
	}
	return hexutil.Uint64(nonce), nil
}

func (q *query) getCode() (any, error) {
	addr, err := q.addressParam(0)
	if err != nil {
		return nil, err
	}
	s, err := q.state(1)
	if err != nil {
		return nil, err
	}
	return hexutil.Bytes(s.account(addr).code), nil
}

func (q *query) getStorage() (any, error) {
	addr, err := q.addressParam(0)
	if err != nil {
		return nil, err
	}
	slot, err := q.slotParam(1)
	if err != nil {
		return nil, err
	}
	s, err := q.state(2)
	if err != nil {
		return nil, err
	}
	value := s.storageAt(addr, slot)
	return hexutil.Bytes(common.Hash(value.Bytes32()).Bytes()), nil
}

// slotParam reads a storage key, which may be short of leading zeros.
func (q *query) slotParam(i int) (common.Hash, error) {
	var text string
	if err := q.param(i, "storage key", &text); err != nil {
		return common.Hash{}, err
	}
	return parseSlot(text)
}

func parseSlot(text string) (common.Hash, error) {
	if len(text) > 66 {
		return common.Hash{}, invalidParams("storage key too long")
	}
	raw := common.FromHex(text)
	if len(raw) == 0 && text != "0x" && text != "0x0" {
		return common.Hash{}, invalidParams("storage key is not hex")
	}
	return common.BytesToHash(raw), nil
}

func (q *query) getProof() (any, error) {
	addr, err := q.addressParam(0)
	if err != nil {
		return nil, err
	}
	var keys []string
	if err := q.param(1, "list of storage keys", &keys); err != nil {
		return nil, err
	}
	if len(keys) > 1024 {
		return nil, invalidParams("too many storage keys")
	}
	slots := make([]common.Hash, len(keys))
	for i, key := range keys {
		if slots[i], err = parseSlot(key); err != nil {
			return nil, err
		}
	}
	s, err := q.state(2)
	if err != nil {
		return nil, err
	}
	leaf, nodes, storage, err := s.prove(addr, slots)
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	leaf.Balance = q.falsifyBalance(leaf.Balance)
	return proofFields(addr, leaf, nodes, storage), nil
}

func (q *query) ethCall() (any, error) {
	var msg struct {
		To    *common.Address `json:"to"`
		Data  hexutil.Bytes   `json:"data"`
		Input hexutil.Bytes   `json:"input"`
	}
	if err := q.param(0, "call object", &msg); err != nil {
		return nil, err
	}
	s, err := q.state(1)
	if err != nil {
		return nil, err
	}
	if msg.To == nil || *msg.To != TokenAddress {
		return hexutil.Bytes{}, nil
	}
	input := msg.Input
	if len(input) == 0 {
		input = msg.Data
	}
	out, ok := s.readToken(input)
	if !ok {
		return nil, &rpcError{Code: 3, Message: "execution reverted", Data: "0x"}
	}
	return hexutil.Bytes(out), nil
}

func (q *query) estimateGas() (any, error) {
	var msg struct {
		To    *common.Address `json:"to"`
		Data  hexutil.Bytes   `json:"data"`
		Input hexutil.Bytes   `json:"input"`
	}
	if err := q.param(0, "call object", &msg); err != nil {
		return nil, err
	}
	if msg.To == nil {
		return nil, errCreation
	}
	data := msg.Input
	if len(data) == 0 {
		data = msg.Data
	}
	return hexutil.Uint64(gasOf(types.NewTx(&types.LegacyTx{To: msg.To, Data: data}))), nil
}

func (q *query) sendRaw() (any, error) {
	var raw hexutil.Bytes
	if err := q.param(0, "raw transaction", &raw); err != nil {
		return nil, err
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return nil, err
	}
	if err := q.Chain.Send(tx); err != nil {
		return nil, err
	}
	return tx.Hash(), nil
}

func (q *query) falsifyBalance(b *uint256.Int) *uint256.Int {
	if q.fault.Lie&LieBalance == 0 {
		return b
	}
	return new(uint256.Int).AddUint64(b, 1_000_000_000_000_000_000)
}
