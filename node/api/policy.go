package api

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/cache"
)

// policy says how the gateway treats one JSON-RPC method.
type policy struct {
	class cache.Class
	// block is the index of the parameter that names a block, -1 for none.
	block int
	// byHash: the block parameter is a hash, whose content cannot change.
	byHash bool
	// keep is false for answers that are only shared by those who ask at the
	// same time.
	keep bool
	// once: a write, which is not made again where it may have been taken in.
	once bool
	// subject: the answer itself says which block it rests on.
	subject bool
	// head: the answer is the number of the newest block.
	head bool
	// whole: the answer is the block that is named.
	whole bool
	// constant: the answer is the same for as long as there is the chain.
	constant bool
}

// unknown is the policy of reads that are not in the table, and unknownWrite that of
// writes: nobody here knows that these are safe to repeat.
var (
	unknown      = policy{class: cache.RPC, block: -1}
	unknownWrite = policy{class: cache.RPC, block: -1, once: true}
)

// policies is the table of methods with a treatment of their own.
var policies = map[string]policy{
	"eth_getTransactionByHash":                {class: cache.Transaction, block: -1, keep: true, subject: true},
	"eth_getTransactionReceipt":               {class: cache.Transaction, block: -1, keep: true, subject: true},
	"eth_getBlockByHash":                      {class: cache.Block, block: 0, byHash: true, keep: true},
	"eth_getBlockByNumber":                    {class: cache.Block, block: 0, keep: true, whole: true},
	"eth_getBlockReceipts":                    {class: cache.Block, block: 0, keep: true},
	"eth_getBlockTransactionCountByHash":      {class: cache.Block, block: 0, byHash: true, keep: true},
	"eth_getBlockTransactionCountByNumber":    {class: cache.Block, block: 0, keep: true},
	"eth_getTransactionByBlockHashAndIndex":   {class: cache.Transaction, block: 0, byHash: true, keep: true},
	"eth_getTransactionByBlockNumberAndIndex": {class: cache.Transaction, block: 0, keep: true},
	"eth_getBalance":                          {class: cache.Address, block: 1, keep: true},
	"eth_getTransactionCount":                 {class: cache.Address, block: 1, keep: true},
	"eth_getCode":                             {class: cache.Address, block: 1, keep: true},
	"eth_getStorageAt":                        {class: cache.Address, block: 2, keep: true},
	"eth_getProof":                            {class: cache.Address, block: 2, keep: true},
	"eth_call":                                {class: cache.Address, block: 1, keep: true},
	"eth_blockNumber":                         {class: cache.RPC, block: -1, keep: true, head: true},
	"eth_chainId":                             {class: cache.Block, block: -1, keep: true, constant: true},
	"net_version":                             {class: cache.Block, block: -1, keep: true, constant: true},
	"eth_gasPrice":                            {class: cache.RPC, block: -1, keep: true},
	"eth_maxPriorityFeePerGas":                {class: cache.RPC, block: -1, keep: true},
	"eth_blobBaseFee":                         {class: cache.RPC, block: -1, keep: true},
	"eth_feeHistory":                          {class: cache.RPC, block: -1, keep: true},
	"eth_getLogs":                             {class: cache.RPC, block: -1, keep: true},
	"web3_clientVersion":                      {class: cache.RPC, block: -1, keep: true},
	"eth_estimateGas":                         {class: cache.RPC, block: -1},
	"eth_createAccessList":                    {class: cache.RPC, block: -1},
	"eth_simulateV1":                          {class: cache.RPC, block: -1},
	"eth_syncing":                             {class: cache.RPC, block: -1, keep: true},
	"net_listening":                           {class: cache.RPC, block: -1, keep: true},
	"net_peerCount":                           {class: cache.RPC, block: -1, keep: true},
	"eth_sendRawTransaction":                  {class: cache.RPC, block: -1, once: true},
}

// refused are the starts of methods that need a provider's keys or keep state
// there.
var refused = []string{"eth_sign", "eth_sendTransaction", "eth_newFilter", "eth_newBlockFilter", "eth_newPendingTransactionFilter",
	"eth_getFilter", "eth_uninstallFilter", "eth_subscribe", "eth_unsubscribe", "eth_accounts", "eth_requestAccounts"}

// passedOn says whether a method that is not in the table is served all the same.
func passedOn(method string) bool {
	if !isMethod(method) {
		return false
	}
	for _, start := range refused {
		if strings.HasPrefix(method, start) {
			return false
		}
	}
	for _, namespace := range []string{"eth_", "net_", "web3_"} {
		if strings.HasPrefix(method, namespace) {
			return true
		}
	}
	return false
}

// isMethod says whether a text can be the name of a method, so that nothing else
// a client sends reaches a provider in that place.
func isMethod(text string) bool {
	for _, c := range []byte(text) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return len(text) <= 64
}

// named is the block that a call names.
type named struct {
	number uint64 // 0 for none, for the first one, and for what moves, such as latest
	byHash bool
	keep   bool // whether the answer may be kept at all
}

// blockParam says which block a call names; params is a JSON array.
func (p policy) blockParam(params json.RawMessage) named {
	none := named{keep: p.keep}
	var list []json.RawMessage
	if p.block < 0 || json.Unmarshal(params, &list) != nil || len(list) <= p.block {
		return none // the default is "latest"
	}
	raw := list[p.block]
	if raw[0] == '{' { // EIP-1898: {"blockHash": …} or {"blockNumber": …}
		var o struct{ BlockHash, BlockNumber string }
		switch {
		case json.Unmarshal(raw, &o) != nil || o.BlockHash == "" && o.BlockNumber == "":
			return named{}
		case o.BlockHash != "":
			return named{byHash: true, keep: p.keep}
		}
		return p.tag(o.BlockNumber)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return none
	}
	if p.byHash || len(text) == 66 {
		return named{byHash: true, keep: p.keep}
	}
	return p.tag(text)
}

func (p policy) tag(text string) named {
	if text == "pending" {
		return named{}
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	if err != nil || !strings.HasPrefix(text, "0x") {
		return named{keep: p.keep} // latest, safe, finalized, earliest
	}
	return named{number: n, keep: p.keep}
}

// tellsHead says whether the answer to a call names the head of the chain.
func (p policy) tellsHead(b named, params string) bool {
	return p.head || p.whole && b.number == 0 && strings.HasPrefix(params, `["latest"`)
}

// headIn reads a block number, or that of a block; 0 where there is none.
func headIn(result []byte) uint64 {
	if block, ok := restsOn(result, "hash", "number"); ok {
		return block.Number
	}
	digits := strings.TrimPrefix(strings.Trim(string(result[:min(len(result), 32)]), `"`), "0x")
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0
	}
	return n
}

var answers fastjson.ParserPool

// restsOn reads which block an answer rests on from two of its members, such as
// blockHash and blockNumber of a receipt; false where it names none.
func restsOn(result []byte, hash, number string) (cache.BlockRef, bool) {
	parser := answers.Get()
	defer answers.Put(parser)
	v, err := parser.ParseBytes(result)
	if err != nil {
		return cache.BlockRef{}, false
	}
	var block cache.BlockRef
	text := v.GetStringBytes(hash)
	if len(text) != 2+2*len(block.Hash) {
		return cache.BlockRef{}, false
	}
	if _, err := hex.Decode(block.Hash[:], text[2:]); err != nil {
		return cache.BlockRef{}, false
	}
	digits, ok := strings.CutPrefix(string(v.GetStringBytes(number)), "0x")
	block.Number, err = strconv.ParseUint(digits, 16, 64)
	return block, ok && err == nil
}
