package api_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/bizra/bizra-top/node/devchain"
)

// cell is one question with its right answer.
type cell struct {
	name, class, body string
	want              rpc
	anyOf             func(json.RawMessage) string // in the place of want: why an answer is wrong
}

// cells are the questions that a client asks while a block is the newest. Where a question
// names a moment, its truth is asked for the block that this is.
func (s *scene) cells(head uint64) (list []cell) {
	s.Helper()
	number, old, ahead := hexutil.EncodeUint64(head), hexutil.EncodeUint64(head-10), hexutil.EncodeUint64(head+100)
	add := func(class, what, method string, params, truth []any) {
		name := method
		if what != "" {
			name += " " + what
		}
		list = append(list, cell{name: name, class: class, body: request(method, params...), want: s.truth(s, request(method, truth...))})
	}
	plain := func(class, what, method string, params ...any) { add(class, what, method, params, params) }
	block, _ := s.real.Block(head)
	older, _ := s.real.Block(head - 10)
	hash := block.Hash()
	last := block.Transactions()[len(block.Transactions())-1]
	first := older.Transactions()[0]

	plain("", "", "eth_chainId")
	add("blocks", "latest", "eth_getBlockByNumber", []any{"latest", false}, []any{number, false})
	plain("blocks", "newest", "eth_getBlockByNumber", number, true)
	plain("blocks", "number", "eth_getBlockByNumber", old, true)
	plain("blocks", "number, light", "eth_getBlockByNumber", hexutil.EncodeUint64(head-11), false)
	plain("blocks", "which is not there yet", "eth_getBlockByNumber", ahead, false)
	plain("blocks", "", "eth_getBlockByHash", hash, false)
	plain("blocks", "older", "eth_getBlockByHash", older.Hash(), true)
	plain("blocks", "of none", "eth_getBlockByHash", nobody, false)
	list = append(list, s.finalized(head))

	plain("transactions", "newest", "eth_getTransactionByHash", last.Hash())
	plain("transactions", "older", "eth_getTransactionByHash", first.Hash())
	plain("transactions", "of none", "eth_getTransactionByHash", nobody)

	plain("receipts", "newest", "eth_getTransactionReceipt", last.Hash())
	plain("receipts", "older", "eth_getTransactionReceipt", first.Hash())
	plain("receipts", "of none", "eth_getTransactionReceipt", nobody)
	plain("receipts", "number", "eth_getBlockReceipts", old)
	plain("receipts", "hash", "eth_getBlockReceipts", hash)
	add("receipts", "latest", "eth_getBlockReceipts", []any{"latest"}, []any{number})

	filter := func(from, to string) map[string]any {
		return map[string]any{"fromBlock": from, "toBlock": to, "address": devchain.TokenAddress}
	}
	plain("logs", "range", "eth_getLogs", filter(hexutil.EncodeUint64(head-12), hexutil.EncodeUint64(head-4)))
	plain("logs", "range up to the newest", "eth_getLogs", filter(hexutil.EncodeUint64(head-5), number))
	plain("logs", "none in range", "eth_getLogs", map[string]any{"fromBlock": old, "toBlock": number, "address": common.Address{1}})
	add("logs", "latest", "eth_getLogs", []any{map[string]any{"fromBlock": "latest"}}, []any{map[string]any{"fromBlock": number, "toBlock": number}})
	add("logs", "to latest", "eth_getLogs", []any{filter(old, "latest")}, []any{filter(old, number)})
	plain("logs", "hash", "eth_getLogs", map[string]any{"blockHash": s.withLogs(head)})

	account := s.real.Accounts()[head%7]
	slot := crypto.Keccak256Hash(append(common.LeftPadBytes(common.FromHex(account), 32), make([]byte, 32)...))
	for _, q := range []struct {
		method string
		params []any
	}{
		{"eth_getBalance", []any{account}}, {"eth_getCode", []any{devchain.TokenAddress}},
		{"eth_getStorageAt", []any{devchain.TokenAddress, slot}}, {"eth_getTransactionCount", []any{account}},
		{"eth_call", []any{map[string]any{"to": devchain.TokenAddress, "data": "0x70a08231" + strings.Repeat("0", 24) + account[2:]}}},
	} {
		class := "state"
		if q.method == "eth_call" {
			class = "calls"
		}
		with := func(at ...any) []any { return append(append([]any{}, q.params...), at...) }
		add(class, "latest", q.method, with("latest"), with(number))
		add(class, "", q.method, with(), with(number))
		plain(class, "number", q.method, with(old)...)
		plain(class, "hash", q.method, with(map[string]any{"blockHash": hash})...)
	}
	plain("state", "of nobody", "eth_getBalance", common.Address{0xfe}, number)
	plain("state", "of nobody", "eth_getCode", common.Address{0xfe}, number)
	plain("state", "which is not there yet", "eth_getBalance", account, ahead)
	return append(list, s.sending())
}

// withLogs is the newest block that has logs.
func (s *scene) withLogs(head uint64) common.Hash {
	for n := head; n > 0; n-- {
		b, _ := s.real.Block(n)
		for _, r := range s.real.Receipts(b.Hash()) {
			if len(r.Logs) > 0 {
				return b.Hash()
			}
		}
	}
	s.Fatal("the chain has no logs")
	return common.Hash{}
}

// finalized asks for the final block. Which it is depends on who knows the tag: it must be
// one of the chain, not above the one that is final there, and that one where the honest
// are more than one.
func (s *scene) finalized(head uint64) cell {
	newest, _ := s.real.Head()
	const depth = 64
	return cell{name: "eth_getBlockByNumber finalized", class: "blocks", body: request("eth_getBlockByNumber", "finalized", false), anyOf: func(result json.RawMessage) string {
		var b struct{ Number hexutil.Uint64 }
		switch err := json.Unmarshal(result, &b); {
		case err != nil:
			return fmt.Sprintf("%v: %.200s", err, result)
		case uint64(b.Number)+depth > newest, s.honest > 1 && uint64(b.Number)+depth != newest:
			return fmt.Sprintf("block %d is final where the newest is %d", b.Number, newest)
		}
		if want := s.truth(s, request("eth_getBlockByNumber", b.Number, false)).Result; !same(s, result, want) {
			return fmt.Sprintf("%.300s\n\tinstead of %.300s", result, want)
		}
		return ""
	}}
}

// sending is a transaction that nobody has sent yet. It stays in the pool: no block is mined.
func (s *scene) sending() cell {
	n := int(s.sent.Add(1))
	from := n % len(s.real.Accounts())
	address := common.HexToAddress(s.real.Accounts()[from])
	tx, err := s.real.Sign(from, &types.DynamicFeeTx{ChainID: new(big.Int).SetUint64(s.real.ChainID()), Nonce: s.real.Nonce(address) + uint64(n/len(s.real.Accounts())),
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11), Gas: 21000, To: &address, Value: big.NewInt(int64(n))})
	if err != nil {
		s.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		s.Fatal(err)
	}
	return cell{name: "eth_sendRawTransaction", body: request("eth_sendRawTransaction", hexutil.Bytes(raw)), want: rpc{Result: json.RawMessage(`"` + tx.Hash().Hex() + `"`)}}
}
