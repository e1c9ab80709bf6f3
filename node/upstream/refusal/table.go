package refusal

// table is tried from the top. The order is part of it:
//
//   - A revert comes first. Its text is written by the author of a contract, who may put
//     any other row's words into it.
//   - Verdicts come before limits, and both before faults, because several clients use the
//     codes of faults for them.
//   - What faults a provider by its words comes behind the codes of invalid parameters.
//     Such messages quote the parameters, which strangers write: no word of theirs may
//     make a provider rest or open its breaker.
//   - The status of HTTP decides only where the words do not.
//
// Patterns are in small letters.
var table = []row{
	{class: Verdict, codes: []int{3}},
	{class: Verdict, text: []string{"execution reverted", "vm exception while processing", "vm execution error", "^reverted", "^revert", "transaction reverted",
		"transaction: revert", "contract_revert_executed", "reverted with", "estimategasexecutionerror", "call reverted"}},
	{class: Known, text: []string{"already known", "known transaction", "alreadyknown", "same hash was already imported", "existing tx with same hash",
		"transaction already exists", "already in mempool", "already exists in cache", "already in the pool", "transaction already imported", "tx already known"}},

	// Of the virtual machine.
	{class: Verdict, text: []string{"invalid opcode", "opcode*not defined", "bad instruction", "bad jump destination", "invalidfeopcode", "opcodenotfound", "stack underflow", "stackunderflow",
		"stack overflow", "stackoverflow", "stack limit reached", "invalid jump destination", "invalidjump", "write protection", "return data out of bounds",
		"contract address collision", "createcollision", "max code size exceeded", "max initcode size", "max call depth", "must not begin with 0xef",
		"gas uint64 overflow", "nonce uint64 overflow", "transaction execution error", "evm error", "transaction processing could not be completed",
		"state change during static call", "statechangeduringstaticcall", "call to a non-contract"}},
	// Of the transaction.
	{class: Verdict, text: []string{"nonce too low", "nonce is too low", "nonce too high", "nonce is too high", "nonce has max value", "nonce too far", "nonce is too distant", "invalid nonce",
		"oldnonce", "noncegap", "gapped-nonce", "lower nonce exists", "nonce has already been used",
		"insufficient funds", "insufficientfunds", "insufficient balance", "upfront cost exceeds", "insufficient maxfeepergas", "sender doesn't have enough funds", "lack of funds",
		"intrinsic gas", "intrinsicgas", "insufficient gas for floor", "gas too low", "gas is too low", "gas limit is too low", "gaslimitexceeded", "exceeds block gas limit", "exceeds block's gas limit",
		"transaction gas limit too high", "gas limit reached", "gas limit overflow",
		"underpriced", "feetoolow", "fee too low", "gas price below", "gas price too low", "gas price supplied is too low", "gas price less than", "less than block base fee", "less than block blob gas fee",
		"priority fee", "maxfeepergas", "maxpriorityfeepergas", "max fee per gas higher", "miner premium", "tip above fee cap", "gasprice*specified", "below current base fee", "below current blob base fee",
		"invalid sender", "invalid signature", "invalid transaction v, r, s", "invalid chain id", "wrong chainid", "chainid does not match", "incorrect chainid", "chain id is none", "chainid is required", "chainid not supported",
		"transaction type not supported", "tx type not supported", "invalid transaction type", "typed transaction too short", "rlp: ", "rlp decode", "rlp is not", "oversized data", "negative value", "invalid transaction",
		"failed to decode signed transaction", "empty transaction data", "sender not an eoa", "not an externally owned", "transaction size exceeds", "blob*mismatch", "blob transaction", "too many blobs",
		"kzg", "eip-7702", "in-flight transaction limit", "account limit exceeded", "address already reserved", "authority already reserved", "future transaction tries to replace"}},
	{class: Verdict, text: []string{"gas required exceeds allowance (0)"}}, // of an account that has nothing

	// The question is too large for this provider. First what counts blocks.
	{class: Limit, teaches: TheSpan, method: "eth_getLogs", text: []string{"block range is too", "block range too", "block range limit", "block range exceed", "block range should", "block range greater", "block range extends over",
		"maximum block range", "max block range", "max range", "range is too large", "range too large", "range is too wide", "range limit", "exceeds the range", "exceeds maximum rpc range", "limited to a*range",
		"limited to*block", "limited to 0 - ", "up to a*block range", "too many blocks", "ranges over*block", "range over*block", "limit the query to at most", "blocks distance", "maximum allowed number of requested blocks",
		"max is*blocks", "query must be smaller than size", "exceed maximum block", "block range*not supported", "block count exceeds", "exceeds max block"}},
	{class: Limit, text: []string{"query returned more than", "exceeds max results", "too many results", "response size", "size exceeded", "response too large", "response is too big", "response too big", "result set too large", "results limit",
		"query exceeds limit", "less number of address", "too many addresses", "too many topics", "request entity too large", "request body too large", "content too large", "body size", "too large request", "try with this block range", "number of logs",
		"exceeds maximum rpc"}},
	{class: Limit, codes: []int{-32005}, method: "eth_getLogs", text: []string{"^limit exceeded", "^request exceeds defined limit"}},
	{class: Limit, codes: []int{-38026}},
	{class: Limit, text: []string{"gas cap", "gas required exceeds", "out of gas", "outofgas", "gas limit is too high", "gas limit too high", "exceeds the configured cap", "fee cap exceeded", "only replay-protected", "txpool is full", "pool is full", "out of capacity"}},
	{class: Limit, text: []string{"execution aborted (timeout", "execution timeout", "execution timed out", "request timed out", "request timeout", "query timed out", "query timeout", "timeout expired", "timed out while", "took too long",
		"deadline exceeded", "depth limit", "proof window", "tracing timeout", "trace timeout", "timeout exceeded"}},
	{class: Limit, codes: []int{-32016}, text: []string{"timeout"}},

	{class: Limit, teaches: TheSpan, codes: []int{-32614}},

	// The question is wrong. What refuses it with these codes quotes it: from here on none
	// of its words counts.
	{class: State, teaches: TheState, codes: []int{-32602}, text: []string{"^archive requests"}},
	{class: Verdict, codes: []int{-32602, -32700}},

	// What this provider does not have.
	{class: Method, teaches: TheMethod, codes: []int{-32601, -32604, -32612, -32613}},
	{class: Method, teaches: TheMethod, text: []string{"method*does not exist", "method*not exist", "method not found", "method*not supported", "unsupported method", "method*unsupported", "method*not available", "method*unavailable", "method*not whitelisted",
		"method*not allowed", "method*disabled", "method not enabled", "method*not enabled", "namespace is disabled", "no such method", "unknown method", "is not included in your current plan", "no available nodes for method",
		"^not implemented", "method*not implemented", "custom tracer"}},
	{class: State, teaches: TheState, text: []string{"missing trie node", "historical state", "state is not available", "state not available", "no state available", "no state found", "world state unavailable", "state unavailable", "state has been pruned",
		"state pruning", "state is pruned", "pruned state", "due to pruning", "state histories", "^archive", "archive state", "archive node", "archive data", "archive plan", "archival", "unable to find state", "state root*not found", "triedb", "layer stale",
		"requires an archive", "database is pruned", "only the last*blocks", "older than*blocks"}},
	{class: Block, codes: []int{4444, -39001}},
	{class: Block, text: []string{"header not found", "header for hash not found", "unknown block", "block not found", "block #*not found", "block body not found", "block*does not exist", "block*cannot be found", "could not find block", "block could not be found",
		"block is not available", "block*not available", "block requested not found", "block*is out of range", "extends beyond current head", "beyond the head", "resource not found", "requested data is not available", "pruned history", "history has been pruned",
		"after last accepted block", "cannot query unfinalized", "finalized header not found", "safe header not found", "still syncing", "not synced", "sync is still in progress", "node is syncing", "is not yet synced", "indexing is in progress",
		"not yet available", "not been indexed", "lower height", "is greater than latest", "greater than the latest", "higher than the latest", "behind the requested", "receipts not found", "hash is not currently canonical", "invalid block height", "block number is in the future",
		"header range not found", "missing block", "ancient"}},

	{class: Verdict, text: []string{"^invalid argument", "^missing value for required argument", "^too many arguments", "^invalid params", "^invalid parameter", "cannot unmarshal", "^json: ", "hex string", "invalid address", "invalid block range", "invalid hex",
		"exceed max topics", "exceed max addresses", "cannot specify both", "^invalid input", "^invalid block number", "filter not found", "^invalid filter"}},

	{class: Quota, codes: []int{429, -32029, -32090, -32097}},
	{class: Quota, text: []string{"rate limit", "rate-limit", "ratelimit", "rate is limited", "too many requests", "too many queued", "request rate", "compute units", "capacity limit", "capacity exceeded", "over capacity", "request count exceeded", "quota",
		"per second", "/second", "/sec", "request limit", "requests limit", "requests limited", "calls limit", "call limit", "throughput", "out of credits", "enough credits", "credits limit", "credit limit", "insufficient credits", "payment required",
		"free tier", "usage limit", "concurrency limit", "concurrent requests", "throttl", "slow down", "requests per", "exceeded your", "has exceeded", "spend limit", "upgrade your plan", "upgrade to increase", "limit reached"}},
	{class: Unavailable, text: []string{"no backend", "backend offline", "no available upstream", "no available node", "no upstream", "service unavailable", "service is unavailable", "temporarily unavailable", "bad gateway", "overloaded", "too much load", "upstream connect error",
		"connection refused", "no nodes available", "no healthy", "under maintenance", "server busy", "server is busy", "server shutting down"}},
	{class: Auth, codes: []int{-40100}},
	{class: Auth, text: []string{"unauthorized", "unauthorised", "authenticat", "not authorized", "api key", "apikey", "api-key", "access key", "access token", "invalid token", "invalid project id", "access denied", "forbidden", "not enabled for this app", "project id settings",
		"origin not allowed", "not allowed to access", "account is suspended", "account suspended", "has been disabled", "unsupported network", "unsupported chain", "chain is not supported", "network is not supported", "network not supported", "chain not supported", "network mismatch"}},
	{class: Internal, codes: []int{-32015}, text: []string{"gateway timeout"}},
	{class: Verdict, codes: []int{-32003, -32010, -32015, -38010, -38011, -38012, -38013, -38014, -38015, -38020, -38021, -38024, -38025}},
	{class: Quota, codes: []int{-32005}},
	{class: Method, teaches: TheMethod, codes: []int{-32004}},

	{class: Quota, status: []int{429, 402}},
	{class: Auth, status: []int{401, 403, 407}},
	{class: Limit, status: []int{413, 414}},
	{class: Method, status: []int{501}},
	{class: Internal, text: []string{"internal error", "internal server error", "internal eth error", "internal blocking task", "handler crashed", "panic", "gateway timeout", "unexpected error", "server error", "database", "leveldb", "pebble", "context canceled", "connection reset", "something went wrong", "try again"}},
	{class: Internal, codes: []int{-32603}},
	{class: Internal, status: []int{500, 501, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530}},
}
