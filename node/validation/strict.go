package validation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/valyala/fastjson"
)

// shape says which members of a JSON object something is compared with: a hash, a root,
// or what follows from them.
//
// Go reads {"value":1,"VALUE":2} as 2 and {"value":1,"value":2} as 2, others do not:
// names are compared exactly here, and none may come twice. To Go a list that is missing
// is an empty one, to others it is not: lists must be there.
type shape struct {
	members map[string]*shape // the shape of a member that is an object or a list of them, else nil
	lists   []string          // members that must be there
	apart   bool              // looked at apart from this
}

// shapeOf returns a shape with the members of another, which may be nil, and more, of which
// the lists must be there.
func shapeOf(s *shape, lists map[string]*shape, names ...string) *shape {
	out := &shape{members: map[string]*shape{}}
	if s != nil {
		maps.Copy(out.members, s.members)
		out.lists = slices.Clone(s.lists)
	}
	for name, inner := range lists {
		out.members[name] = inner
		out.lists = append(out.lists, name)
	}
	for _, name := range names {
		out.members[name] = nil
	}
	return out
}

var (
	headerShape = shapeOf(nil, map[string]*shape{"uncles": nil, "transactions": {apart: true}},
		"hash", "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty", "number",
		"gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot", "blobGasUsed",
		"excessBlobGas", "parentBeaconBlockRoot", "requestsHash", "blockAccessListHash", "slotNumber", "size")
	withdrawnShape = shapeOf(headerShape, map[string]*shape{
		"withdrawals": shapeOf(nil, nil, "index", "validatorIndex", "address", "amount")})

	legacyShape = shapeOf(nil, nil, "type", "hash", "nonce", "to", "gas", "gasPrice", "value", "input", "data", "chainId", "v", "r", "s",
		"yParity", "from", "blockHash", "blockNumber", "blockTimestamp", "transactionIndex")
	accessShape  = shapeOf(legacyShape, map[string]*shape{"accessList": shapeOf(nil, map[string]*shape{"storageKeys": nil}, "address")})
	feeShape     = shapeOf(accessShape, nil, "maxFeePerGas", "maxPriorityFeePerGas")
	blobShape    = shapeOf(feeShape, map[string]*shape{"blobVersionedHashes": nil}, "maxFeePerBlobGas")
	setCodeShape = shapeOf(feeShape, map[string]*shape{
		"authorizationList": shapeOf(nil, nil, "chainId", "address", "nonce", "yParity", "r", "s")})
	// txShapes are those of the transaction types, in their order.
	txShapes = []*shape{legacyShape, accessShape, feeShape, blobShape, setCodeShape}

	logShape = shapeOf(nil, map[string]*shape{"topics": nil}, "address", "data", "blockHash", "blockNumber", "blockTimestamp",
		"transactionHash", "transactionIndex", "logIndex", "removed")
	receiptShape = shapeOf(nil, map[string]*shape{"logs": logShape}, "type", "root", "status", "cumulativeGasUsed", "logsBloom",
		"transactionHash", "transactionIndex", "blockHash", "blockNumber", "blockTimestamp", "from", "to", "contractAddress", "gasUsed",
		"effectiveGasPrice", "blobGasUsed", "blobGasPrice")
	proofShape = shapeOf(nil, map[string]*shape{"accountProof": nil, "storageProof": shapeOf(nil, map[string]*shape{"proof": nil}, "key", "value")},
		"address", "balance", "codeHash", "nonce", "storageHash")
)

var parsers fastjson.ParserPool

// Stray is the error for an answer that is proved but for members that nothing is compared
// with.
type Stray struct{ Members []string }

// Error names one of them: answers are long.
func (s *Stray) Error() string { return fmt.Sprintf("nothing proves the member %q", s.Members[0]) }

// maxStray bounds how many are listed.
const maxStray = 8

// strict says which members of an answer nothing is compared with, as [Stray], and as
// foreign what may be read in more than one way. txs are the shapes of the transactions in
// it, if it is a block with whole ones.
func strict(raw json.RawMessage, s *shape, txs func(i int) *shape) error {
	p := parsers.Get()
	defer parsers.Put(p)
	if values(raw) > len(raw)/8+64 { // each takes ten times as much memory as here
		return &foreign{"", "the answer holds more values than anything that is proved"}
	}
	v, err := p.ParseBytes(raw)
	if err != nil {
		return &foreign{"", fmt.Sprintf("the answer is not JSON: %v", err)}
	}
	var found Stray
	why := found.in(v, s, "")
	for i, tx := range v.GetArray("transactions") {
		var of *shape // a hash
		if txs != nil {
			of = txs(i)
		}
		why = cmp.Or(why, found.in(tx, of, "transactions."))
	}
	switch {
	case why != "":
		return &foreign{"", why}
	case len(found.Members) > 0:
		return &found
	}
	return nil
}

// in collects the members that are not in a shape, and says which comes twice, is empty or
// is missing. A member that is null says nothing.
func (f *Stray) in(v *fastjson.Value, s *shape, path string) (why string) {
	if s != nil && s.apart {
		return ""
	}
	switch v.Type() {
	case fastjson.TypeString:
		if len(v.GetStringBytes()) == 0 { // which go-ethereum reads as zero
			return fmt.Sprintf("a string in %q is empty", path)
		}
	case fastjson.TypeArray:
		for _, item := range v.GetArray() {
			if why = f.in(item, s, path); why != "" {
				return why
			}
		}
	case fastjson.TypeObject:
		return f.inObject(v, s, path)
	}
	return ""
}

func (f *Stray) inObject(v *fastjson.Value, s *shape, path string) (why string) {
	if s == nil {
		s = &shape{} // there should be none
	}
	members := v.GetObject()
	seen := make(map[string]bool, members.Len())
	members.Visit(func(key []byte, member *fastjson.Value) {
		name := string(key)
		inner, known := s.members[name]
		switch {
		case why != "":
		case seen[name]:
			why = fmt.Sprintf("the member %q comes twice", path+name)
		case known:
			why = f.in(member, inner, path+name+".")
		case member.Type() == fastjson.TypeNull, slices.Contains(f.Members, path+name):
		case len(f.Members) == maxStray:
			why = fmt.Sprintf("nothing proves more than %d members", maxStray)
		default:
			f.Members = append(f.Members, path+name)
		}
		seen[name] = true
	})
	for _, name := range s.lists {
		if list := v.Get(name); why == "" && (list == nil || list.Type() != fastjson.TypeArray) {
			why = fmt.Sprintf("the member %q is missing", path+name)
		}
	}
	return why
}

// values is how many values there are in JSON, at least.
func values(raw json.RawMessage) int {
	return bytes.Count(raw, []byte{','}) + bytes.Count(raw, []byte{'['}) + bytes.Count(raw, []byte{'{'})
}
