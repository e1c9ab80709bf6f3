package validation

import (
	"encoding/json"
	"fmt"

	"github.com/valyala/fastjson"
)

// shape says which members of a JSON object something is compared with: a hash, a root,
// or what follows from them. The value is the shape of the member where that is an object
// or a list of objects, else nil.
//
// Go reads {"value":1,"VALUE":2} as 2 and {"value":1,"value":2} as 2, others do not:
// names are compared exactly here, and none may come twice.
type shape map[string]shape

// with returns a shape with more members.
func (s shape) with(names ...string) shape {
	out := make(shape, len(s)+len(names))
	for name, inner := range s {
		out[name] = inner
	}
	for _, name := range names {
		out[name] = nil
	}
	return out
}

var (
	withdrawalShape = shape{}.with("index", "validatorIndex", "address", "amount")
	headerShape     = shape{"withdrawals": withdrawalShape}.with("hash", "parentHash", "sha3Uncles", "miner", "stateRoot",
		"transactionsRoot", "receiptsRoot", "logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData",
		"mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot",
		"requestsHash", "blockAccessListHash", "slotNumber", "size", "uncles", "transactions")

	legacyShape = shape{}.with("type", "hash", "nonce", "to", "gas", "gasPrice", "value", "input", "data", "chainId", "v", "r", "s",
		"yParity", "from", "blockHash", "blockNumber", "blockTimestamp", "transactionIndex")
	accessShape = func() shape {
		s := legacyShape.with()
		s["accessList"] = shape{}.with("address", "storageKeys")
		return s
	}()
	feeShape     = accessShape.with("maxFeePerGas", "maxPriorityFeePerGas")
	blobShape    = feeShape.with("maxFeePerBlobGas", "blobVersionedHashes")
	setCodeShape = func() shape {
		s := feeShape.with()
		s["authorizationList"] = shape{}.with("chainId", "address", "nonce", "yParity", "r", "s")
		return s
	}()
	// txShapes are those of the transaction types, in their order.
	txShapes = []shape{legacyShape, accessShape, feeShape, blobShape, setCodeShape}

	logShape = shape{}.with("address", "topics", "data", "blockHash", "blockNumber", "blockTimestamp", "transactionHash",
		"transactionIndex", "logIndex", "removed")
	receiptShape = shape{"logs": logShape}.with("type", "root", "status", "cumulativeGasUsed", "logsBloom", "transactionHash",
		"transactionIndex", "blockHash", "blockNumber", "blockTimestamp", "from", "to", "contractAddress", "gasUsed",
		"effectiveGasPrice", "blobGasUsed", "blobGasPrice")
	proofShape = shape{"storageProof": shape{}.with("key", "value", "proof")}.with("address", "accountProof", "balance", "codeHash",
		"nonce", "storageHash")
)

var parsers fastjson.ParserPool

// strict says, as foreign, which member of an answer nothing is compared with. txs are the
// types of the transactions in it, if it is a block with whole ones.
func strict(raw json.RawMessage, s shape, txs func(i int) shape) error {
	p := parsers.Get()
	defer parsers.Put(p)
	v, err := p.ParseBytes(raw)
	if err != nil {
		return &foreign{"", fmt.Sprintf("the answer is not JSON: %v", err)}
	}
	if name := stray(v, s, ""); name != "" {
		return &foreign{"", fmt.Sprintf("nothing proves the member %q", name)}
	}
	if txs == nil {
		return nil
	}
	for i, tx := range v.GetArray("transactions") {
		if name := stray(tx, txs(i), "transactions."); name != "" {
			return &foreign{"", fmt.Sprintf("nothing proves the member %q", name)}
		}
	}
	return nil
}

// stray is the name of a member that is not in a shape, or comes twice. A member that is
// null says nothing.
func stray(v *fastjson.Value, s shape, in string) (found string) {
	switch v.Type() {
	case fastjson.TypeArray:
		for _, item := range v.GetArray() {
			if found = stray(item, s, in); found != "" {
				return found
			}
		}
	case fastjson.TypeObject:
		members := v.GetObject()
		seen := make(map[string]bool, members.Len())
		members.Visit(func(key []byte, member *fastjson.Value) {
			if found != "" {
				return
			}
			name := string(key)
			inner, known := s[name]
			if seen[name] || !known && member.Type() != fastjson.TypeNull {
				found = in + name
				return
			}
			seen[name] = true
			if inner != nil {
				found = stray(member, inner, in+name+".")
			}
		})
	}
	return found
}
