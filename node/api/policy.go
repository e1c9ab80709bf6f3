package api

import (
	"strings"

	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/upstream"
)

// policy says how the gateway treats one JSON-RPC method.
type policy struct {
	class cache.Class
	// block is the index of the parameter that names a block, none for none.
	block int
	// names says how that parameter names it.
	names naming
	// byHash is the method that answers the same to the hash of the block, where the
	// method itself takes none.
	byHash string
	// keep is false for answers that are only shared by those who ask at the
	// same time.
	keep bool
	// once: a write, which is not made again where it may have been taken in.
	once bool
	// subject: the answer itself says which block it rests on.
	subject bool
	// local: the node knows the answer.
	local local
	// whole: the answer is the block that is named.
	whole bool
	// constant: the answer is the same for as long as there is the chain.
	constant bool
	// exists: null says that the providers know of no such thing, which a second one is
	// asked to confirm.
	exists bool
	// is what the answers look like; nothing for what is passed on as it is.
	is shape
	// future is what is said of a block that does not exist yet; nothing stands for null.
	future *upstream.RPCError
}

// none stands for a method that names no block.
const none = -1

// naming is how a parameter names a block.
type naming uint8

const (
	byNumber naming = iota // a number or a tag
	byAny                  // a number, a tag, or {"blockHash": …} (EIP-1898)
	byText                 // a number, a tag, or a hash
	byFilter               // the filter of eth_getLogs
	hashOnly               // a hash
)

// local is what the node answers itself.
type local uint8

const (
	notLocal local = iota
	localHead
	localChain
)

// What geth says of blocks that do not exist yet.
var (
	noHeader  = &upstream.RPCError{Code: -32000, Message: "header not found"}
	noRange   = &upstream.RPCError{Code: codeParams, Message: "block range extends beyond current head block"}
	noHistory = &upstream.RPCError{Code: -32000, Message: "request beyond head block"}
)

// unknown is the policy of reads that are not in the table, and unknownWrite that of
// writes: nobody here knows that these are safe to repeat.
var (
	unknown      = policy{class: cache.RPC, block: none}
	unknownWrite = policy{class: cache.RPC, block: none, once: true}
)

// policies is the table of methods with a treatment of their own.
var policies = map[string]policy{
	"eth_getTransactionByHash":                {class: cache.Transaction, is: aTransaction, block: none, keep: true, subject: true, exists: true},
	"eth_getTransactionReceipt":               {class: cache.Transaction, is: aReceipt, block: none, keep: true, subject: true, exists: true},
	"eth_getBlockByHash":                      {class: cache.Block, is: aBlock, names: hashOnly, keep: true, exists: true},
	"eth_getBlockByNumber":                    {class: cache.Block, is: aBlock, byHash: "eth_getBlockByHash", keep: true, whole: true, exists: true},
	"eth_getBlockReceipts":                    {class: cache.Block, is: receipts, names: byText, keep: true, exists: true},
	"eth_getBlockTransactionCountByHash":      {class: cache.Block, is: countOrNull, names: hashOnly, keep: true, exists: true},
	"eth_getBlockTransactionCountByNumber":    {class: cache.Block, is: countOrNull, byHash: "eth_getBlockTransactionCountByHash", keep: true, exists: true},
	"eth_getUncleCountByBlockHash":            {class: cache.Block, is: countOrNull, names: hashOnly, keep: true, exists: true},
	"eth_getUncleCountByBlockNumber":          {class: cache.Block, is: countOrNull, byHash: "eth_getUncleCountByBlockHash", keep: true, exists: true},
	"eth_getTransactionByBlockHashAndIndex":   {class: cache.Transaction, is: aTransaction, names: hashOnly, keep: true, exists: true},
	"eth_getTransactionByBlockNumberAndIndex": {class: cache.Transaction, is: aTransaction, byHash: "eth_getTransactionByBlockHashAndIndex", keep: true, exists: true},
	"eth_getBalance":                          {class: cache.Address, is: quantity, block: 1, names: byAny, keep: true, future: noHeader},
	"eth_getTransactionCount":                 {class: cache.Address, is: quantity, block: 1, names: byAny, keep: true, future: noHeader},
	"eth_getCode":                             {class: cache.Address, is: data, block: 1, names: byAny, keep: true, future: noHeader},
	"eth_getStorageAt":                        {class: cache.Address, is: data, block: 2, names: byAny, keep: true, future: noHeader},
	"eth_getProof":                            {class: cache.Address, is: aProof, block: 2, names: byAny, keep: true, future: noHeader},
	"eth_call":                                {class: cache.Address, is: data, block: 1, names: byAny, keep: true, future: noHeader},
	"eth_estimateGas":                         {class: cache.RPC, is: quantity, block: 1, names: byAny, future: noHeader},
	"eth_createAccessList":                    {class: cache.RPC, block: 1, names: byAny, future: noHeader},
	"eth_simulateV1":                          {class: cache.RPC, block: 1, names: byAny, future: noHeader},
	"eth_blockNumber":                         {class: cache.RPC, block: none, local: localHead},
	"eth_chainId":                             {class: cache.Block, block: none, local: localChain},
	"net_version":                             {class: cache.Block, block: none, keep: true, constant: true},
	"eth_gasPrice":                            {class: cache.RPC, is: quantity, block: none, keep: true},
	"eth_maxPriorityFeePerGas":                {class: cache.RPC, is: quantity, block: none, keep: true},
	"eth_blobBaseFee":                         {class: cache.RPC, is: quantity, block: none, keep: true},
	"eth_feeHistory":                          {class: cache.RPC, is: aFeeHistory, block: 1, keep: true, future: noHistory},
	"eth_getLogs":                             {class: cache.RPC, is: logs, names: byFilter, keep: true, exists: true, future: noRange},
	"web3_clientVersion":                      {class: cache.RPC, block: none, keep: true},
	"eth_syncing":                             {class: cache.RPC, block: none, keep: true},
	"net_listening":                           {class: cache.RPC, block: none, keep: true},
	"net_peerCount":                           {class: cache.RPC, block: none, keep: true},
	"eth_sendRawTransaction":                  {class: cache.RPC, block: none, once: true},
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

var answers fastjson.ParserPool
