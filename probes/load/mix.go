package load

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ledgerRows is how many verdicts a request of kind ledger reads.
const ledgerRows = 200

// draw gives the builders of requests what they ask for.
type draw struct {
	*Subjects
	skew   skewed
	random *rand.Rand
}

func (d draw) block() uint64       { return d.Blocks[d.skew.draw(len(d.Blocks), d.random)] }
func (d draw) transaction() string { return d.Transactions[d.skew.draw(len(d.Transactions), d.random)] }
func (d draw) address() string     { return d.Addresses[d.skew.draw(len(d.Addresses), d.random)] }

// kind is one kind of request. Those of the API are asked of nodes alone; the
// others, JSON-RPC calls, of a node's gateway under the prefix rpc. and of endpoints
// by their own name.
type kind struct {
	name, doc string
	needs     func(*Subjects) int // how many subjects there are for it; nil when it needs none
	api       func(draw) request
	call      func(draw) string
}

const gatewayPrefix = "rpc."

func blocks(s *Subjects) int       { return len(s.Blocks) }
func transactions(s *Subjects) int { return len(s.Transactions) }
func addresses(s *Subjects) int    { return len(s.Addresses) }

func get(status int, format string, args ...any) request {
	return request{method: http.MethodGet, path: fmt.Sprintf(format, args...), status: status}
}

// kinds are all of them.
var kinds = []kind{
	{name: "block", doc: "the verdict on a block", needs: blocks,
		api: func(d draw) request { return get(http.StatusOK, "/v1/blocks/%d", d.block()) }},
	{name: "transaction", doc: "the verdict on a transaction", needs: transactions,
		api: func(d draw) request { return get(http.StatusOK, "/v1/transactions/%s", d.transaction()) }},
	{name: "address", doc: "the verdict on an address", needs: addresses,
		api: func(d draw) request { return get(http.StatusOK, "/v1/addresses/%s", d.address()) }},
	{name: "ledger", doc: fmt.Sprintf("the newest %d verdicts of the ledger", ledgerRows),
		api: func(draw) request { return get(http.StatusOK, "/v1/validations?limit=%d", ledgerRows) }},
	{name: "absent", doc: "a transaction that does not exist: 404 is the right answer",
		api: func(d draw) request { return get(http.StatusNotFound, "/v1/transactions/0x%064x", d.random.Uint64()) }},
	{name: "malformed", doc: "what is no hash: 400 is the right answer",
		api: func(draw) request { return get(http.StatusBadRequest, "/v1/transactions/0xnothex") }},
	{name: "block", doc: "eth_getBlockByNumber with transactions", needs: blocks,
		call: func(d draw) string { return fmt.Sprintf(`"eth_getBlockByNumber","params":["0x%x",true]`, d.block()) }},
	{name: "transaction", doc: "eth_getTransactionByHash", needs: transactions,
		call: func(d draw) string { return `"eth_getTransactionByHash","params":["` + d.transaction() + `"]` }},
	{name: "receipt", doc: "eth_getTransactionReceipt", needs: transactions,
		call: func(d draw) string { return `"eth_getTransactionReceipt","params":["` + d.transaction() + `"]` }},
	{name: "address", doc: "eth_getBalance at the newest block", needs: addresses,
		call: func(d draw) string { return `"eth_getBalance","params":["` + d.address() + `","latest"]` }},
	{name: "head", doc: "eth_blockNumber",
		call: func(draw) string { return `"eth_blockNumber","params":[]` }},
}

// called is what the kind is called on a target; ok is false where it is not known.
func (k kind) called(rpc bool) (name string, ok bool) {
	switch {
	case rpc:
		return k.name, k.call != nil
	case k.call != nil:
		return gatewayPrefix + k.name, true
	}
	return k.name, true
}

// request builds one request for a target.
func (k kind) request(rpc bool, d draw) request {
	switch {
	case k.api != nil:
		return k.api(d)
	case rpc:
		return rpcRequest("", k.call(d))
	}
	return rpcRequest("/", k.call(d))
}

// Kinds lists the kinds of requests that a target knows, each with what it is.
func Kinds(rpc bool) (names, docs []string) {
	for _, k := range kinds {
		if name, ok := k.called(rpc); ok {
			names, docs = append(names, name), append(docs, k.doc)
		}
	}
	return names, docs
}

// Share is a kind of request and how much of the load it is, in proportion to the
// other weights.
type Share struct {
	Kind   string  `json:"kind"`
	Weight float64 `json:"weight"`
}

// Mix is what a load consists of.
type Mix []Share

// DefaultMix is what is asked for when nothing else was said.
func DefaultMix() Mix { return Mix{{"block", 60}, {"transaction", 30}, {"address", 10}} }

// ParseMix reads KIND=WEIGHT,…: "block=60,transaction=30,address=10".
func ParseMix(text string) (Mix, error) {
	var m Mix
	for part := range strings.SplitSeq(text, ",") {
		name, weight, found := strings.Cut(strings.TrimSpace(part), "=")
		w, err := strconv.ParseFloat(weight, 64)
		if !found || err != nil || !(w >= 0) || w > 1e9 {
			return nil, fmt.Errorf("%.40q is no KIND=WEIGHT such as block=60", part)
		}
		if slices.ContainsFunc(m, func(s Share) bool { return s.Kind == name }) {
			return nil, fmt.Errorf("%.40q stands there twice", name)
		}
		if w > 0 {
			m = append(m, Share{name, w})
		}
	}
	if len(m) == 0 {
		return nil, fmt.Errorf("a mix of nothing: give one kind a weight")
	}
	return m, nil
}

func (m Mix) String() string {
	parts := make([]string, len(m))
	for i, s := range m {
		parts[i] = s.Kind + "=" + strconv.FormatFloat(s.Weight, 'g', -1, 64)
	}
	return strings.Join(parts, ",")
}

// chooser draws kinds by their weight.
type chooser struct {
	kinds []kind
	sums  []float64
}

// on checks the mix against what a target knows and the subjects there are.
func (m Mix) on(rpc bool, s *Subjects) (chooser, error) {
	var c chooser
	sum := 0.0
	for _, share := range m {
		i := slices.IndexFunc(kinds, func(k kind) bool { name, ok := k.called(rpc); return ok && name == share.Kind })
		if i < 0 {
			names, _ := Kinds(rpc)
			return c, fmt.Errorf("%.40q is no kind of request here: there are %s", share.Kind, strings.Join(names, ", "))
		}
		if k := kinds[i]; k.needs != nil && k.needs(s) == 0 {
			return c, fmt.Errorf("there is no subject for requests of kind %s (%s): leave it out of the mix, or list some in a file", share.Kind, s)
		}
		sum += share.Weight
		c.kinds, c.sums = append(c.kinds, kinds[i]), append(c.sums, sum)
	}
	return c, nil
}

func (c chooser) draw(random *rand.Rand) int {
	at := random.Float64() * c.sums[len(c.sums)-1]
	for i, s := range c.sums {
		if at < s {
			return i
		}
	}
	return len(c.sums) - 1
}
