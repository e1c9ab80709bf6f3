package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/validation"
)

// costs returns how many upstream requests something makes.
func (r *rig) costs(what func()) uint64 {
	before := r.requests()
	what()
	return r.requests() - before
}

func TestWhatMeansTheSameIsAskedOnce(t *testing.T) {
	r := start(t, options{with: unverified})
	account := r.net.Chain.Accounts()[0]
	for name, bodies := range map[string][]string{
		"white space": {
			`{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x1",false]}`,
			"\n{ \"params\" : [ \"0x1\" ,\tfalse ] , \"method\" : \"eth_getBlockByNumber\" , \"id\" : \"other\" , \"jsonrpc\" : \"2.0\" } ",
		},
		"hex case": {request("eth_getBalance", account, "0xA"), request("eth_getBalance", strings.ToLower(account), "0xa"),
			request("eth_getBalance", "0X"+strings.ToUpper(account[2:]), "0xA")},
		"order of members": {
			`{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"` + devchain.TokenAddress.Hex() + `","data":"0x70A08231` + strings.Repeat("0", 24) + account[2:] + `"},"0x3"]}`,
			`{"id":1,"jsonrpc":"2.0","params":[{"data":"0x70a08231` + strings.Repeat("0", 24) + strings.ToLower(account[2:]) + `","to":"` + strings.ToLower(devchain.TokenAddress.Hex()) + `"},"0x3"],"method":"eth_call"}`,
		},
		"absent and empty parameters": {`{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice"}`, `{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":[]}`,
			`{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":null}`},
	} {
		var first rpc
		if n := r.costs(func() { first = r.call(bodies[0]) }); n != 1 || first.Error != nil {
			t.Errorf("%s: %d requests for the first, %+v", name, n, first.Error)
		}
		if n := r.costs(func() {
			for _, body := range bodies[1:] {
				if got := r.call(body); string(got.Result) != string(first.Result) {
					t.Errorf("%s: %s and %s", name, first.Result, got.Result)
				}
			}
		}); n != 0 {
			t.Errorf("%s: %d requests for the others", name, n)
		}
	}
}

func TestWhatDiffersIsAskedEachTime(t *testing.T) {
	r := start(t, options{with: unverified})
	n := r.costs(func() {
		for _, params := range [][]any{{"0x1", false}, {"0x1", true}, {"0x2", false}, {"0x3", false}} {
			if got := r.call(request("eth_getBlockByNumber", params...)); got.Error != nil {
				t.Errorf("%v: %+v", params, got.Error)
			}
		}
	})
	if n != 4 {
		t.Errorf("%d requests", n)
	}
}

// together makes the same call many times at once.
func (r *rig) together(times int, call func()) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for range times {
		wg.Go(func() { <-begin; call() })
	}
	close(begin)
	wg.Wait()
}

func TestIdenticalColdRequestsBecomeOne(t *testing.T) {
	r := start(t, options{})
	body := request("eth_getBlockByNumber", "0x1", true)
	if n := r.costs(func() {
		r.together(200, func() {
			if got := r.call(body); got.Error != nil || len(got.Result) < 100 {
				t.Errorf("%d %+v", got.status, got.Error)
			}
		})
	}); n != 1 {
		t.Errorf("200 requests became %d", n)
	}
	member := request("eth_getBlockByNumber", "0x9", true)
	if n := r.costs(func() { r.send("POST", "/", "["+strings.Repeat(member+",", 99)+member+"]") }); n != 1 {
		t.Errorf("100 members of a batch became %d", n)
	}
}

func TestIdenticalColdVerdictsBecomeOne(t *testing.T) {
	r := start(t, options{})
	path := "/v1/transactions/" + r.transaction()
	ids := make(chan string, 100)
	r.together(100, func() { v, _ := r.verdict(path); ids <- v.ID })
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Fatal("more than one verdict was reached")
		}
	}
	rows := r.listed("")
	t.Logf("100 requests at once, %d verdict in the ledger", len(rows))
	if len(rows) != 1 {
		t.Errorf("%d rows in the ledger", len(rows))
	}
}

func TestASecondLookComesFromMemory(t *testing.T) {
	r := start(t, options{})
	for _, path := range []string{"/v1/transactions/" + r.transaction(), "/v1/blocks/3", "/v1/addresses/" + r.net.Chain.Accounts()[0]} {
		first, a := r.verdict(path)
		if a.header.Get("X-Cache") != "origin" || first.Outcome != validation.Valid {
			t.Errorf("%s: %v %s", path, a.header, a.body)
		}
		upper := strings.Replace(path, "0x", "0X", 1)
		for _, again := range []string{path, upper} {
			if n := r.costs(func() {
				v, b := r.verdict(again)
				if b.header.Get("X-Cache") != "l1" || v.ID != first.ID || string(b.body) != string(a.body) {
					t.Errorf("%s: %v %s", again, b.header, b.body)
				}
			}); n != 0 {
				t.Errorf("%s: %d requests", again, n)
			}
		}
	}
	if rows := r.listed(""); len(rows) != 3 {
		t.Errorf("%d rows in the ledger, want 3", len(rows))
	}
}

// signed returns a payment as eth_sendRawTransaction takes it.
func (r *rig) signed(value int64) (raw, hash string) {
	r.Helper()
	from := common.HexToAddress(r.net.Chain.Accounts()[0])
	tx, err := r.net.Chain.Sign(0, &types.DynamicFeeTx{ChainID: new(big.Int).SetUint64(r.net.Chain.ChainID()), Nonce: r.net.Chain.Nonce(from),
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11), Gas: 21000, To: &from, Value: big.NewInt(value)})
	if err != nil {
		r.Fatal(err)
	}
	b, err := tx.MarshalBinary()
	if err != nil {
		r.Fatal(err)
	}
	return hexutil.Encode(b), tx.Hash().Hex()
}

// heard counts what providers are asked, by method.
type heard struct {
	mu    sync.Mutex
	asked map[string]int
}

func (h *heard) of(method string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[method]
}

// listen puts a counter in front of a provider.
func (h *heard) listen(t *testing.T) func(int, string) string {
	return func(_ int, u string) string {
		target, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			var req struct{ Method string }
			if err != nil || json.Unmarshal(body, &req) != nil {
				t.Errorf("%v: %s", err, body)
			}
			h.mu.Lock()
			h.asked[req.Method]++
			h.mu.Unlock()
			r.Body = io.NopCloser(bytes.NewReader(body))
			proxy.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
}

// A signed transaction goes to gateway.broadcast providers, to each once; other writes to
// one. No answer is kept. Reads that are not in the table are made again, as those that are.
func TestWritesAreSentOnceAndNotKept(t *testing.T) {
	h := &heard{asked: map[string]int{}}
	r := start(t, options{url: h.listen(t), with: map[string]string{"gateway.broadcast": "2"}})
	raw, hash := r.signed(1)
	for n := range 2 {
		if got := r.call(request("eth_sendRawTransaction", raw)); string(got.Result) != `"`+hash+`"` {
			t.Fatalf("%+v", got)
		}
		r.await("two providers", func() bool { return h.of("eth_sendRawTransaction") == 2*n+2 })
	}
	r.fault(devchain.Fault{ErrorRate: 1})
	for method, want := range map[string]int{"eth_sendRawTransaction": 3, "eth_sendBundle": 1, "eth_somethingNew": 4} {
		// The watch asks a failing provider too, so only the method is counted.
		before := h.of(method)
		if got := r.call(request(method, raw)); h.of(method) != before+want || got.Error == nil || got.status != 502 {
			t.Errorf("%s was sent %d times, %d", method, h.of(method)-before, got.status)
		}
	}
}

func TestPendingTransactionsAreAskedAgain(t *testing.T) {
	r := start(t, options{with: map[string]string{"cache.ttl.rpc": "50ms", "cache.ttl.not_found": "50ms"}})
	raw, hash := r.signed(2)
	receipt := request("eth_getTransactionReceipt", hash)
	if got := r.call(receipt); string(got.Result) != "null" {
		t.Fatalf("%s", got.Result)
	}
	r.call(request("eth_sendRawTransaction", raw))
	lookup := request("eth_getTransactionByHash", hash)
	if got := r.call(lookup); !strings.Contains(string(got.Result), `"blockNumber":null`) {
		t.Fatalf("%s", got.Result)
	}
	if _, err := r.net.Chain.Mine(); err != nil {
		t.Fatal(err)
	}
	r.await("the mined transaction", func() bool { return !strings.Contains(string(r.call(lookup).Result), `"blockNumber":null`) })
	r.await("its receipt", func() bool { return string(r.call(receipt).Result) != "null" })
}

func TestMovingAnswersAreNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		with map[string]string
		body string
		cost uint64 // a second provider is asked to confirm what is not there
	}{
		"not found": {map[string]string{"cache.ttl.not_found": "100ms"}, request("eth_getTransactionReceipt", common.Hash{1}), 2},
		"latest":    {map[string]string{"cache.ttl.rpc": "100ms"}, request("eth_getBlockByNumber", "latest", false), 1},
		"default":   {map[string]string{"cache.ttl.rpc": "100ms"}, request("eth_getBalance", devchain.TokenAddress.Hex()), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			maps.Copy(c.with, unverified)
			r := start(t, options{with: c.with})
			if n := r.costs(func() { r.call(c.body) }); n != c.cost {
				t.Errorf("%d requests at first", n)
			}
			// A slow machine may take longer than the time to live for this one.
			began := time.Now()
			if n := r.costs(func() { r.call(c.body) }); n != 0 && time.Since(began) < 50*time.Millisecond {
				t.Errorf("%d requests while it is kept", n)
			}
			time.Sleep(150 * time.Millisecond)
			if n := r.costs(func() { r.call(c.body) }); n != c.cost {
				t.Errorf("%d requests after its time", n)
			}
		})
	}
	r := start(t, options{})
	pending := request("eth_getTransactionCount", r.net.Chain.Accounts()[0], "pending")
	if n := r.costs(func() { r.call(pending); r.call(pending) }); n != 2 {
		t.Errorf("%d requests for two looks at pending", n)
	}
}

func TestBatchesOfVerdicts(t *testing.T) {
	r := start(t, options{})
	tx, account := r.transaction(), r.net.Chain.Accounts()[0]
	body, _ := json.Marshal(map[string]any{"subjects": []map[string]string{
		{"kind": "transaction", "id": tx}, {"kind": "transaction", "id": "0x12"}, {"kind": "block", "id": "0x3"},
		{"kind": "contract", "id": tx}, {"kind": "address", "id": account}, {"kind": "transaction", "id": nobody},
		{"kind": "transaction", "id": strings.ToUpper(tx)}, {"kind": "block", "id": "\x1b[31m"},
	}})
	a := r.send("POST", "/v1/validations", string(body))
	var got struct {
		Results []struct {
			Kind, ID, Error string
			Verdict         *validation.Verdict
		}
	}
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 || len(got.Results) != 8 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	want := []string{"valid", "hash", "valid", "kind", "valid", "not_found", "valid", "block"}
	for i, m := range got.Results {
		if m.Verdict != nil && string(m.Verdict.Outcome) == want[i] && m.Error == "" || m.Verdict == nil && strings.Contains(m.Error, want[i]) {
			continue
		}
		t.Errorf("member %d: %+v, want %s", i, m, want[i])
	}
	if first, again := got.Results[0].Verdict, got.Results[6].Verdict; first != nil && again != nil && first.ID != again.ID {
		t.Error("the same subject twice in a batch got two verdicts")
	}
	if strings.Contains(string(a.body), "\\u001b") {
		t.Error("escape codes come back")
	}
}

func TestTheLedgerIsFiltered(t *testing.T) {
	r := start(t, options{})
	tx, account := r.transaction(), r.net.Chain.Accounts()[0]
	began := time.Now().UTC()
	for _, path := range []string{"/v1/transactions/" + tx, "/v1/transactions/" + nobody, "/v1/blocks/0xb", "/v1/addresses/" + account} {
		r.verdict(path)
	}
	last := time.Now().UTC().Add(time.Second)
	for query, want := range map[string]int{
		"": 4, "?kind=transaction": 2, "?kind=block": 1, "?outcome=not_found": 1, "?kind=transaction&outcome=valid": 1, "?outcome=invalid": 0,
		"?subject=" + tx: 1, "?subject=0x" + strings.ToUpper(tx[2:]): 1, "?subject=" + strings.ToUpper(tx): 1,
		"?subject=" + account: 1, "?subject=" + strings.ToLower(account): 1, "?subject=0X" + strings.ToUpper(account[2:]): 1,
		"?subject=11": 1, "?subject=0xb": 1, "?subject=0xB": 1, "?subject=nothing": 0,
		"?limit=3": 3, "?limit=1000": 4,
		"?since=" + began.Format(time.RFC3339Nano): 4, "?until=" + began.Format(time.RFC3339Nano): 0,
		"?since=" + last.Format(time.RFC3339): 0, "?until=" + last.Add(time.Second).Format(time.RFC3339): 4,
		"?since=" + url.QueryEscape(began.In(time.FixedZone("", 7200)).Format(time.RFC3339Nano)): 4,
	} {
		if got := r.listed(query); len(got) != want {
			t.Errorf("%s: %d rows, want %d", query, len(got), want)
		}
	}
	rows := r.listed("")
	if !slices.IsSortedFunc(rows, func(a, b validation.Verdict) int { return b.At.Compare(a.At) }) {
		t.Error("the newest is not first")
	}
}

func TestHealth(t *testing.T) {
	r := start(t, options{})
	for path, parts := range map[string]bool{"/health": true, "/health/ready": false, "/health/live": false} {
		a := r.get(path)
		var h struct {
			Status string
			Checks map[string][]struct{ ComponentID string }
		}
		if err := json.Unmarshal(a.body, &h); err != nil || a.status != 200 || h.Status != "pass" ||
			a.header.Get("Content-Type") != "application/health+json" || (len(h.Checks["upstreams"]) == 3) != parts {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	r.hold("forced-open")
	for path, status := range map[string]int{"/health": 503, "/health/ready": 503, "/health/live": 200} {
		if a := r.get(path); a.status != status {
			t.Errorf("%s without providers: %d %s", path, a.status, a.body)
		}
	}
	if a := r.get("/metrics"); !strings.Contains(string(a.body), `bizra_http_requests_total{code="503",route="GET /health"} 1`) {
		t.Errorf("no count of what was answered")
	}
}
