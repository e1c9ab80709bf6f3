package refusal_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/upstream/refusal"
)

// said is one wording of real software.
type said struct {
	by      string
	method  string
	status  int
	code    int
	message string
	want    refusal.Class
}

const (
	call  = "eth_call"
	logs  = "eth_getLogs"
	send  = "eth_sendRawTransaction"
	gas   = "eth_estimateGas"
	trace = "debug_traceTransaction"
)

var verdicts = []said{
	{"geth", call, 200, 3, "execution reverted: ERC20: transfer amount exceeds balance", refusal.Verdict},
	{"geth", call, 200, -32000, "execution reverted", refusal.Verdict},
	{"geth, HTTP 400", call, 400, 3, "execution reverted: rate limit exceeded", refusal.Verdict},
	{"a proxy, HTTP 429", call, 429, 3, "execution reverted: Too Many Requests", refusal.Verdict},
	{"erigon, HTTP 500", call, 500, -32000, "execution reverted", refusal.Verdict},
	{"nethermind", call, 200, -32015, "VM execution error.", refusal.Verdict},
	{"nethermind, new", call, 200, 3, "execution reverted", refusal.Verdict},
	{"besu", call, 200, -32000, "Execution reverted (ERC20: insufficient allowance)", refusal.Verdict},
	{"openethereum", call, 200, -32015, "VM execution error", refusal.Verdict},
	{"openethereum", gas, 200, -32015, "Transaction execution error.", refusal.Verdict},
	{"ganache", call, 200, -32000, "VM Exception while processing transaction: revert Ownable: caller is not the owner", refusal.Verdict},
	{"hardhat", call, 200, -32603, "Error: VM Exception while processing transaction: reverted with reason string 'unauthorized'", refusal.Verdict},
	{"anvil", call, 200, 3, "execution reverted: revert: nope", refusal.Verdict},
	{"arbitrum", gas, 200, -32000, "gas estimation failed: execution reverted", refusal.Verdict},
	{"moonbeam", call, 200, -32603, "VM Exception while processing transaction: revert", refusal.Verdict},
	{"hedera", call, 200, 3, "[Request ID: 3f1] execution reverted: CONTRACT_REVERT_EXECUTED", refusal.Verdict},
	{"geth", call, 200, -32000, "invalid opcode: INVALID", refusal.Verdict},
	{"reth", call, 200, -32003, "EVM error: InvalidFEOpcode", refusal.Verdict},
	{"geth", call, 200, -32000, "stack underflow (0 <=> 1)", refusal.Verdict},
	{"geth", call, 200, -32000, "invalid jump destination", refusal.Verdict},
	{"geth", send, 200, -32000, "nonce too low: address 0x71562b71999873DB5b286dF957af199Ec94617F7, tx: 4 state: 8", refusal.Verdict},
	{"besu", send, 200, -32001, "Nonce too low", refusal.Verdict},
	{"nethermind", send, 200, -32010, "OldNonce, Current nonce: 8, nonce of rejected tx: 4", refusal.Verdict},
	{"openethereum", send, 200, -32010, "Transaction nonce is too low. Try incrementing the nonce.", refusal.Verdict},
	{"geth", send, 200, -32000, "insufficient funds for gas * price + value: balance 0, tx cost 21000000000000, overshot 21000000000000", refusal.Verdict},
	{"besu", send, 200, -32004, "Upfront cost exceeds account balance", refusal.Verdict},
	{"nethermind", send, 200, -32010, "InsufficientFunds, Account balance: 0, cumulative cost: 21000", refusal.Verdict},
	{"reth", send, 200, -32003, "insufficient funds for gas * price + value: have 0 want 21000", refusal.Verdict},
	{"geth", send, 200, -32000, "replacement transaction underpriced", refusal.Verdict},
	{"besu", send, 200, -32009, "Gas price below configured minimum gas price", refusal.Verdict},
	{"nethermind", send, 200, -32010, "FeeTooLow, EffectivePriorityFeePerGas too low", refusal.Verdict},
	{"bor", send, 200, -32000, "transaction underpriced: gas tip cap 1, minimum needed 25000000000", refusal.Verdict},
	{"nitro", send, 200, -32000, "max fee per gas less than block base fee: address 0x0, maxFeePerGas: 1 baseFee: 10000000", refusal.Verdict},
	{"geth", send, 200, -32000, "intrinsic gas too low: gas 20000, minimum needed 21000", refusal.Verdict},
	{"besu", send, 200, -32003, "Intrinsic gas exceeds gas limit", refusal.Verdict},
	{"besu", send, 200, -32005, "Transaction gas limit exceeds block gas limit", refusal.Verdict},
	{"geth", send, 200, -32000, "invalid chain id for signer: have 5 want 1", refusal.Verdict},
	{"op-geth", send, 200, -32000, "transaction type not supported", refusal.Verdict},
	{"geth", send, 200, -32000, "rlp: expected input list for types.LegacyTx", refusal.Verdict},
	{"geth, simulate", "eth_simulateV1", 200, -38014, "not enough", refusal.Verdict},
	{"geth", gas, 200, -32000, "gas required exceeds allowance (0)", refusal.Verdict},
	{"geth", call, 200, -32602, "invalid argument 0: hex string has length 38, want 40 for common.Address", refusal.Verdict},
	{"geth", call, 200, -32602, "missing value for required argument 0", refusal.Verdict},
	{"nethermind", call, 200, -32602, "Invalid params", refusal.Verdict},
	{"besu", call, 200, -32602, "Invalid block number params", refusal.Verdict},
	{"EIP-1474", call, 200, -32602, "Invalid method parameter(s)", refusal.Verdict},
	{"reth", logs, 200, -32602, "invalid block range params", refusal.Verdict},

	{"geth", send, 200, -32000, "already known", refusal.Known},
	{"besu", send, 200, -32000, "Known transaction", refusal.Known},
	{"nethermind", send, 200, -32010, "AlreadyKnown", refusal.Known},
	{"openethereum", send, 200, -32010, "Transaction with the same hash was already imported.", refusal.Known},
	{"erigon", send, 200, -32000, "INTERNAL_ERROR: existing tx with same hash", refusal.Known},
	{"old geth", send, 200, -32000, "known transaction: 0xabc", refusal.Known},
	{"sei", send, 200, -32000, "tx already exists in cache", refusal.Known},
}

var limits = []said{
	{"Alchemy", logs, 400, -32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0xc5dc00, 0xc614a7]", refusal.Limit},
	{"Alchemy, free", logs, 400, -32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.", refusal.Limit},
	{"Infura", logs, 200, -32005, "query returned more than 10000 results. Try with this block range [0x112A880, 0x112A8A4].", refusal.Limit},
	{"QuickNode", logs, 413, -32614, "eth_getLogs is limited to a 10,000 range", refusal.Limit},
	{"Ankr", logs, 200, -32600, "block range is too wide", refusal.Limit},
	{"Ankr, TAC", logs, 200, -32000, "maximum [from, to] blocks distance: 10000", refusal.Limit},
	{"Chainstack", logs, 403, -32000, "Block range limit exceeded. See more details at https://docs.chainstack.com/docs/limits#evm-range-limits", refusal.Limit},
	{"dRPC", logs, 400, 35, "ranges over 10000 blocks are not supported on freetier", refusal.Limit},
	{"dRPC", logs, 408, 30, "Request timeout on the free tier, please upgrade your tier to the paid one", refusal.Limit},
	{"Cloudflare", logs, 200, -32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: 800", refusal.Limit},
	{"BlockPI", logs, 200, -32602, "eth_getLogs is limited to 1024 block range. Please check the parameter requirements at https://docs.blockpi.io", refusal.Limit},
	{"LlamaRPC", logs, 200, -32602, "query exceeds max results 20000, retry with the range 24383075-24383096", refusal.Limit},
	{"PublicNode", logs, 200, -32701, "exceed maximum block range: 50000", refusal.Limit},
	{"Blast", logs, 200, -32000, "The block range exceeds the range allowed for your plan (20000 > 10000)", refusal.Limit},
	{"Tenderly", logs, 200, -32602, "Try with this block range [0x1, 0x2]", refusal.Limit},
	{"thirdweb", logs, 200, -32602, "Maximum allowed number of requested blocks is 1000", refusal.Limit},
	{"1RPC", logs, 200, -32001, "response size should not greater than 10000000 bytes", refusal.Limit},
	{"Avalanche", logs, 200, -32000, "requested too many blocks from 1 to 5000, maximum is set to 2048", refusal.Limit},
	{"Base", logs, 503, -32000, "block range too large", refusal.Limit},
	{"Coinbase", logs, 200, -32602, "please limit the query to at most 1000 blocks", refusal.Limit},
	{"Merkle", logs, 200, -32000, "eth_getLogs range is too large, max is 10k blocks", refusal.Limit},
	{"Harmony", logs, 200, -32000, "query must be smaller than size 1024", refusal.Limit},
	{"Moonriver", logs, 200, -32603, "block range is too wide (maximum 1024)", refusal.Limit},
	{"BSC", logs, 200, -32005, "limit exceeded", refusal.Limit},
	{"besu", logs, 200, -32005, "Requested range exceeds maximum RPC range limit", refusal.Limit},
	{"reth", logs, 200, -32602, "query exceeds max block range 100000", refusal.Limit},
	{"Hyperliquid", logs, 200, -32602, "query exceeds max block range 50", refusal.Limit},
	{"nitro", logs, 200, -32000, "logs matched by query exceeds limit of 10000", refusal.Limit},
	{"op-geth's proxyd", logs, 200, -32020, "backend response too large", refusal.Limit},
	{"proxyd", logs, 413, -32021, "request body too large", refusal.Limit},
	{"geth", call, 200, -32003, "response too large", refusal.Limit},
	{"geth", call, 200, -32000, "execution aborted (timeout = 5s)", refusal.Limit},
	{"reth", call, 200, -32000, "execution aborted (timeout = 30s)", refusal.Limit},
	{"geth", call, 200, -32002, "request timed out", refusal.Limit},
	{"besu", trace, 200, -32603, "Timeout expired", refusal.Limit},
	{"QuickNode", trace, 200, -32000, "query timeout exceeded. Please upgrade", refusal.Limit},
	{"geth", call, 200, -32000, "out of gas", refusal.Limit},
	{"geth", gas, 200, -32000, "gas required exceeds allowance (50000000)", refusal.Limit},
	{"geth, simulate", "eth_simulateV1", 200, -32000, "RPC gas cap exhausted: need 100, remaining 1", refusal.Limit},
	{"geth, simulate", "eth_simulateV1", 200, -38026, "too many blocks", refusal.Limit},
	{"geth", send, 200, -32000, "tx fee (2.10 ether) exceeds the configured cap (1.00 ether)", refusal.Limit},
	{"geth", send, 200, -32000, "txpool is full", refusal.Limit},
	{"nginx", logs, 413, 0, "<html><title>413 Request Entity Too Large</title></html>", refusal.Limit},
}

var faults = []said{
	{"geth", trace, 200, -32601, "the method debug_traceTransaction does not exist/is not available", refusal.Method},
	{"besu", trace, 200, -32604, "Method not enabled", refusal.Method},
	{"nethermind", trace, 200, -32600, "The method debug_traceTransaction is found but the namespace is disabled for http://+:8545.", refusal.Method},
	{"Alchemy", trace, 400, -32600, "Unsupported method: debug_traceTransaction on ETH_MAINNET", refusal.Method},
	{"QuickNode", trace, 401, -32601, "method debug_traceTransaction is not included in your current plan", refusal.Method},
	{"proxyd", trace, 403, -32001, "rpc method is not whitelisted", refusal.Method},
	{"Infura", trace, 405, -32004, "The method debug_traceTransaction is not supported", refusal.Method},
	{"dRPC", trace, 400, 12, "method is not available", refusal.Method},
	{"EIP-1474", trace, 200, -32004, "not here", refusal.Method},

	{"geth", call, 200, -32000, "missing trie node 1f6cb6bc32fd54ac (path ) state 0x1f6cb6bc32fd54ac is not available, not found", refusal.State},
	{"geth, path scheme", call, 200, -32000, "historical state 1f6cb6bc32fd54ac is not available", refusal.State},
	{"geth", trace, 200, -32000, "required historical state unavailable (reexec=128)", refusal.State},
	{"bor", call, 200, -32000, "missing trie node 8d4b (path )", refusal.State},
	{"erigon", call, 200, -32000, "old data not available due to pruning", refusal.State},
	{"nethermind", call, 200, -32002, "No state available for block 19426587 (0x3f9e02)", refusal.State},
	{"besu", call, 200, -32000, "World state unavailable", refusal.State},
	{"openethereum", call, 200, -32000, "This request is not supported because your node is running with state pruning. Run with --pruning=archive.", refusal.State},
	{"PublicNode", call, 403, -32602, "Archive requests require a personal token. Get one at: https://www.allnodes.com/publicnode", refusal.State},
	{"geth, indexing", call, 200, -32000, "state histories haven't been fully indexed yet", refusal.State},

	{"geth", call, 200, -32000, "header not found", refusal.Block},
	{"geth", logs, 200, -32000, "unknown block", refusal.Block},
	{"reth", call, 200, -32001, "block not found: 0x1b4", refusal.Block},
	{"reth", logs, 200, -32000, "block range extends beyond current head block", refusal.Block},
	{"reth", call, 200, 4444, "pruned history unavailable", refusal.Block},
	{"besu", call, 200, -32008, "Initial sync is still in progress", refusal.Block},
	{"besu", call, 200, -39001, "Unknown block", refusal.Block},
	{"nethermind", logs, 200, -32000, "One of the blocks specified in filter (fromBlock, toBlock or blockHash) cannot be found.", refusal.Block},
	{"geth", "eth_getTransactionReceipt", 200, -32000, "transaction indexing is in progress", refusal.Block},
	{"Avalanche", call, 200, -32000, "cannot query unfinalized data", refusal.Block},
	{"dRPC", logs, 200, 1, "no available upstreams to process a request. Cause - Upstream lower height 42810022 of type RECEIPTS is greater than 35662252", refusal.Block},
	{"proxyd", call, 400, -32019, "block is out of range", refusal.Block},

	{"Alchemy", call, 200, 429, "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore this message.", refusal.Quota},
	{"Alchemy", call, 429, 429, "Monthly capacity limit exceeded. Visit https://dashboard.alchemy.com/settings/billing to upgrade your scaling policy for continued service.", refusal.Quota},
	{"Infura", call, 429, -32005, "daily request count exceeded, request rate limited", refusal.Quota},
	{"Infura", call, 200, -32005, "project ID request rate exceeded", refusal.Quota},
	{"QuickNode", call, 200, -32007, "50/second request limit reached - reduce calls per second or upgrade your account at quicknode.com", refusal.Quota},
	{"QuickNode", trace, 200, -32009, "trace requests limited to 10/sec", refusal.Quota},
	{"Ankr", call, 200, -32029, "not now", refusal.Quota},
	{"Chainstack", call, 429, -32005, "You've exceeded the RPS limit available on the current plan.", refusal.Quota},
	{"Pokt", call, 200, -32000, "Rate limit exceeded", refusal.Quota},
	{"Blast", call, 429, -32005, "Project ID is out of credits", refusal.Quota},
	{"Polygon", call, 200, -32090, "Too many requests, reason: call rate limit exhausted, retry in 10s", refusal.Quota},
	{"proxyd", call, 429, -32016, "over rate limit", refusal.Quota},
	{"BSC", call, 200, -32005, "limit exceeded", refusal.Quota},
	{"nethermind", call, 200, -32005, "Unable to start new queued requests. Too many queued requests.", refusal.Quota},
	{"nginx", call, 429, 0, "<html><title>429</title></html>", refusal.Quota},
	{"LlamaRPC", call, 402, 0, "", refusal.Quota},

	{"Alchemy", call, 401, -32600, "Must be authenticated!", refusal.Auth},
	{"Alchemy", call, 403, -32600, "MATIC_MAINNET is not enabled for this app. Visit this page to enable the network", refusal.Auth},
	{"Infura", call, 401, -32600, "invalid project id", refusal.Auth},
	{"Infura", call, 403, -32002, "rejected due to project ID settings", refusal.Auth},
	{"Ankr", call, 403, -32000, "Unauthorized: You must authenticate your request with an API key.", refusal.Auth},
	{"Tenderly", call, 401, -32004, "Unauthorized", refusal.Auth},
	{"besu", call, 401, -40100, "Unauthorized", refusal.Auth},
	{"nginx", call, 401, 0, "", refusal.Auth},
	{"Cloudflare", call, 403, 0, "error code: 1020", refusal.Auth},

	{"proxyd", call, 503, -32011, "no backend is currently healthy to serve traffic", refusal.Unavailable},
	{"proxyd", call, 503, -32010, "backend offline", refusal.Unavailable},
	{"dRPC", call, 500, 19, "Service is temporarily unavailable", refusal.Unavailable},
	{"geth", call, 200, -32603, "method handler crashed", refusal.Internal},
	{"Cloudflare", call, 200, -32603, "Internal error", refusal.Internal},
	{"proxyd", call, 504, -32015, "gateway timeout", refusal.Internal},
	{"X Layer", call, 200, 19, "Temporary internal error. Please retry", refusal.Internal},
	{"a proxy", call, 500, -32099, "", refusal.Internal},

	{"new software", call, 200, -32050, "the moon is in the seventh house", refusal.Unknown},
	{"new software", call, 200, -32000, "", refusal.Unknown},
}

func TestRealWordingsAreUnderstood(t *testing.T) {
	n := 0
	for _, rows := range [][]said{verdicts, limits, faults} {
		for _, s := range rows {
			n++
			got := refusal.Read(refusal.Said{Method: s.method, Status: s.status, Code: s.code, Message: s.message})
			if got.Class != s.want {
				t.Errorf("%s: %d %d %q is %s, not %s", s.by, s.status, s.code, s.message, got.Class, s.want)
			}
		}
	}
	t.Logf("%d wordings", n)
}

func TestWhatARefusalTeaches(t *testing.T) {
	for _, c := range []struct {
		s    refusal.Said
		want refusal.Capability
	}{
		{refusal.Said{Method: trace, Code: -32601, Message: "Method not found"}, refusal.TheMethod},
		{refusal.Said{Method: call, Code: -32000, Message: "missing trie node 12 (path )"}, refusal.TheState},
		{refusal.Said{Method: logs, Code: -32701, Message: "exceed maximum block range: 50000"}, refusal.TheSpan},
		{refusal.Said{Method: logs, Code: -32005, Message: "query returned more than 10000 results"}, refusal.Nothing},
		{refusal.Said{Method: call, Code: -32000, Message: "header not found"}, refusal.Nothing},
		{refusal.Said{Method: call, Code: -32000, Message: "block range too large"}, refusal.Nothing},
	} {
		if got := refusal.Read(c.s).Teaches; got != c.want {
			t.Errorf("%+v teaches %d, not %d", c.s, got, c.want)
		}
	}
}

// A message about a parameter quotes the parameter. Whoever writes it must not be able to
// make a provider rest, be out of order, or lack anything.
func TestQuotedParametersFaultNobody(t *testing.T) {
	for _, words := range []string{"rate limit exceeded", "Too Many Requests", "unauthorized", "internal error", "no backend is currently healthy",
		"missing trie node", "method not found", "header not found"} {
		for _, s := range []refusal.Said{
			{Method: "eth_getBalance", Status: 200, Code: -32602, Message: `invalid type: string "` + words + `", expected a block`},
			{Method: call, Status: 400, Code: -32602, Message: "invalid argument 1: " + words},
			{Method: call, Status: 200, Code: 3, Message: "execution reverted: " + words},
			{Method: call, Status: 200, Code: -32603, Message: "VM Exception while processing transaction: revert " + words},
		} {
			if got := refusal.Read(s); got.Class != refusal.Verdict || got.Teaches != refusal.Nothing {
				t.Errorf("%q is %s", s.Message, got.Class)
			}
		}
	}
}

func TestWhenAProviderWantsToBeAskedAgain(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	header := func(name, value string) http.Header { h := http.Header{}; h.Set(name, value); return h }
	for name, c := range map[string]struct {
		h    http.Header
		s    refusal.Said
		want time.Duration
	}{
		"Retry-After":          {h: header("Retry-After", "7"), want: 7 * time.Second},
		"Retry-After, a date":  {h: header("Retry-After", now.Add(time.Minute).UTC().Format(http.TimeFormat)), want: time.Minute},
		"RateLimit-Reset":      {h: header("RateLimit-Reset", "30"), want: 30 * time.Second},
		"X-RateLimit-Reset":    {h: header("X-RateLimit-Reset", "1700000012"), want: 12 * time.Second},
		"in milliseconds":      {h: header("X-RateLimit-Reset", "1700000012500"), want: 12500 * time.Millisecond},
		"over":                 {h: header("X-RateLimit-Reset", "1600000000")},
		"negative":             {h: header("Retry-After", "-5")},
		"no number":            {h: header("Retry-After", "soon")},
		"NaN":                  {h: header("Retry-After", "NaN")},
		"Infura's data":        {s: refusal.Said{Data: []byte(`{"rate":{"allowed_rps":10,"backoff_seconds":30.5,"current_rps":13.3},"see":"https://infura.io/dashboard"}`)}, want: 30500 * time.Millisecond},
		"data of others":       {s: refusal.Said{Data: []byte(`{"try_again_in":"12.5s"}`)}, want: 12500 * time.Millisecond},
		"retry in 10s":         {s: refusal.Said{Message: "Too many requests, reason: call rate limit exhausted, retry in 10s"}, want: 10 * time.Second},
		"try again in minutes": {s: refusal.Said{Message: "Rate limited. Try again in 2 minutes."}, want: 2 * time.Minute},
		"milliseconds":         {s: refusal.Said{Message: "please retry after 250ms"}, want: 250 * time.Millisecond},
		"seconds, in words":    {s: refusal.Said{Message: "retry in 4 seconds"}, want: 4 * time.Second},
		"a range of blocks":    {s: refusal.Said{Message: "query exceeds max results 20000, retry with the range 24383075-24383096"}},
		"nothing":              {},
	} {
		if got := refusal.Wait(c.h, c.s, now); got != c.want {
			t.Errorf("%s: %s, not %s", name, got, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("eth_call", 429, -32005, "retry in 10s", `{"rate":{"backoff_seconds":30}}`, "5")
	f.Add("", 0, 0, "\xff\xfe", "{", "NaN")
	f.Add("eth_getLogs", 200, 35, strings.Repeat("block range ", 1000), "[]", "1e400")
	f.Fuzz(func(t *testing.T, method string, status, code int, message, data, header string) {
		s := refusal.Said{Method: method, Status: status, Code: code, Message: message, Data: []byte(data)}
		if r := refusal.Read(s); r.Class.Final() && (r.Class.Ill() || r.Teaches != refusal.Nothing) {
			t.Errorf("%+v", r)
		}
		if d := refusal.Wait(http.Header{"Retry-After": {header}}, s, time.Unix(1_700_000_000, 0)); d < 0 {
			t.Errorf("wait of %s", d)
		}
	})
}
