package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

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
	// once: a write, sent to one provider once.
	once bool
	// subject: the answer itself says which block it rests on.
	subject bool
}

// policies is the table of methods with a treatment of their own.
var policies = map[string]policy{
	"eth_getTransactionByHash":                {class: cache.Transaction, block: -1, keep: true, subject: true},
	"eth_getTransactionReceipt":               {class: cache.Transaction, block: -1, keep: true, subject: true},
	"eth_getBlockByHash":                      {class: cache.Block, block: 0, byHash: true, keep: true},
	"eth_getBlockByNumber":                    {class: cache.Block, block: 0, keep: true},
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
	"eth_blockNumber":                         {class: cache.RPC, block: -1, keep: true},
	"eth_chainId":                             {class: cache.Block, block: -1, keep: true},
	"net_version":                             {class: cache.Block, block: -1, keep: true},
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

// policyFor returns the treatment of a method, and false for one that is not
// served. A method of the namespaces eth_, net_ and web3_ that is not in the table
// is passed on as a write is, to one provider once: nobody here knows that it is
// safe to repeat.
func policyFor(method string) (policy, bool) {
	if p, ok := policies[method]; ok {
		return p, true
	}
	if !isMethod(method) {
		return policy{}, false
	}
	for _, start := range refused {
		if strings.HasPrefix(method, start) {
			return policy{}, false
		}
	}
	for _, namespace := range []string{"eth_", "net_", "web3_"} {
		if strings.HasPrefix(method, namespace) {
			return policy{class: cache.RPC, block: -1, once: true}, true
		}
	}
	return policy{}, false
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

// methodLabel bounds the values of a metric's label.
func methodLabel(method string) string {
	if _, ok := policies[method]; ok {
		return method
	}
	return "other"
}

// blockParam says what the block parameter of a call names: a number, whether it
// is fixed, and whether the answer may be kept at all.
func (p policy) blockParam(params []json.RawMessage) (number uint64, fixed, keep bool) {
	if p.block < 0 {
		return 0, false, p.keep
	}
	if len(params) <= p.block {
		return 0, false, p.keep // the default is "latest"
	}
	raw := params[p.block]
	if raw[0] == '{' { // EIP-1898: {"blockHash": …} or {"blockNumber": …}
		var o struct{ BlockHash, BlockNumber string }
		if json.Unmarshal(raw, &o) != nil || o.BlockHash == "" && o.BlockNumber == "" {
			return 0, false, false
		}
		if o.BlockHash != "" {
			return 0, true, p.keep
		}
		return tag(o.BlockNumber, p.keep)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return 0, false, p.keep
	}
	if p.byHash || len(text) == 66 {
		return 0, true, p.keep
	}
	return tag(text, p.keep)
}

func tag(text string, keep bool) (uint64, bool, bool) {
	if text == "pending" {
		return 0, false, false
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	if err != nil || !strings.HasPrefix(text, "0x") {
		return 0, false, keep // latest, safe, finalized, earliest
	}
	return n, n != 0, keep
}

// restsOn reads which block an answer rests on: blockNumber of a transaction or
// receipt.
func restsOn(result []byte) (uint64, bool) {
	var o struct {
		BlockNumber string `json:"blockNumber"`
	}
	if json.Unmarshal(result, &o) != nil || len(o.BlockNumber) < 3 {
		return 0, false
	}
	n, err := strconv.ParseUint(o.BlockNumber[2:], 16, 64)
	return n, err == nil
}

// canonical rewrites parameters so that calls that mean the same are the same:
// no white space, members sorted, hexadecimal in lower case.
func canonical(params json.RawMessage) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(params))
	d.UseNumber()
	var list []any
	if err := d.Decode(&list); err != nil {
		return nil, err
	}
	return json.Marshal(lower(list))
}

func lower(v any) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, "0x") || strings.HasPrefix(v, "0X") {
			return strings.ToLower(v)
		}
	case []any:
		for i := range v {
			v[i] = lower(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = lower(v[k])
		}
	}
	return v
}
