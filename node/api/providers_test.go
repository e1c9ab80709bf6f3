package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/validation"
)

// both asks the gateway and for a verdict, and expects the same status of both.
func (r *rig) both(t *testing.T, status ...int) (rpc, answer) {
	t.Helper()
	g := r.call(request("eth_getBlockByNumber", "0x2", false))
	v := r.get("/v1/blocks/3")
	if g.Error == nil || !slices.Contains(status, g.status) || g.Error.Message == "" {
		t.Errorf("gateway: %d %+v", g.status, g.Error)
	}
	if !slices.Contains(status, v.status) {
		t.Errorf("verdict: %d %s", v.status, v.body)
	}
	detail(t, v)
	if v.status == http.StatusServiceUnavailable && v.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	return g, v
}

func TestHungProvidersDoNotHoldClients(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.deadline": "400ms"}})
	r.fault(devchain.Fault{Hang: true})
	began := time.Now()
	r.both(t, http.StatusGatewayTimeout, http.StatusServiceUnavailable)
	if took := time.Since(began); took > 3*time.Second { // two requests of 400 ms
		t.Errorf("answered after %s", took)
	}
	batch := "[" + strings.Repeat(request("eth_gasPrice")+",", 60) + request("net_version") + "]"
	began = time.Now()
	if a := r.send("POST", "/", batch); a.status != http.StatusOK || strings.Count(string(a.body), `"error"`) != 61 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the batch was answered after %s", took)
	}
}

func TestOneHungProviderIsNotNoticed(t *testing.T) {
	r := start(t, options{with: map[string]string{"upstream.attempt_timeout": "200ms"}})
	r.fault(devchain.Fault{Hang: true}, 0)
	for n := range 6 {
		if g := r.call(request("eth_getBlockByNumber", fmt.Sprintf("0x%x", n), false)); g.Error != nil || len(g.Result) < 100 {
			t.Errorf("%d %+v", g.status, g.Error)
		}
	}
}

func TestProvidersThatServeWebPages(t *testing.T) {
	r := start(t, options{})
	r.fault(devchain.Fault{HTML: true})
	g, v := r.both(t, http.StatusBadGateway)
	for _, text := range []string{g.Error.Message, detail(t, v)} {
		if !strings.Contains(text, "dev-") || !strings.Contains(text, "not JSON-RPC") {
			t.Errorf("%q names neither provider nor fault", text)
		}
	}
}

func TestProvidersOnAnotherChain(t *testing.T) {
	r := start(t, options{faults: func(int) devchain.Fault { return devchain.Fault{ChainID: 5} }})
	r.await("the providers' chain", func() bool {
		return !slices.ContainsFunc(r.set.Status(), func(s upstream.Status) bool { return s.State != "wrong chain" })
	})
	if g, v := r.both(t, http.StatusServiceUnavailable); !strings.Contains(g.Error.Message, "wrong chain") {
		t.Errorf("%+v %s", g.Error, v.body)
	}
	if a := r.get("/health/ready"); a.status != http.StatusServiceUnavailable {
		t.Errorf("ready: %d", a.status)
	}
}

func TestNothingIsAskedBeforeTheChainIsKnown(t *testing.T) {
	// All of them are on another chain, and slow to say so.
	r := start(t, options{faults: func(int) devchain.Fault { return devchain.Fault{ChainID: 5, Latency: 300 * time.Millisecond} }})
	if g := r.call(request("net_version")); g.Error == nil || g.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s: the answer of another chain", g.status, g.Result)
	}
	for _, s := range r.set.Status() {
		if s.Healthy {
			t.Errorf("%s is taken to be healthy", s.Name)
		}
	}
}

func (r *rig) hold(state breaker.State) {
	r.Helper()
	for _, b := range r.breakers {
		if err := b.Force(state, "test"); err != nil {
			r.Fatal(err)
		}
	}
}

func TestOpenBreakersAnswerAtOnce(t *testing.T) {
	r := start(t, options{})
	held, cached := request("eth_getBlockByNumber", "0x1", false), "/v1/transactions/"+r.transaction()
	first := r.call(held)
	if v, _ := r.verdict(cached); v.Outcome != validation.Valid || first.Error != nil {
		t.Fatalf("%+v %+v", v, first)
	}
	r.hold(breaker.ForcedOpen)
	began := time.Now()
	g, _ := r.both(t, http.StatusServiceUnavailable)
	if took := time.Since(began); took > time.Second {
		t.Errorf("refused after %s", took)
	}
	if !strings.Contains(g.Error.Message, string(breaker.ForcedOpen)) {
		t.Errorf("%q does not say why", g.Error.Message)
	}
	if a := r.send("POST", "/", request("eth_sendRawTransaction", "0x00")); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if again := r.call(held); string(again.Result) != string(first.Result) {
		t.Errorf("what is cached is not served: %+v", again)
	}
	if a := r.get(cached); a.status != http.StatusOK || a.header.Get("X-Cache") != "l1" {
		t.Errorf("what is cached is not served: %d %s", a.status, a.body)
	}
}

func TestOverloadIsShedAtOnce(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_in_flight": "1", "upstream.attempt_timeout": "1s", "upstream.attempts": "1"}})
	r.fault(devchain.Fault{Hang: true})
	var wg sync.WaitGroup
	defer wg.Wait()
	before := r.requests()
	wg.Go(func() { r.call(request("eth_gasPrice")) })
	r.await("the slow request", func() bool { return r.requests() > before })
	began := time.Now()
	g, _ := r.both(t, http.StatusServiceUnavailable)
	if took := time.Since(began); took > time.Second || g.Error.Code != -32002 {
		t.Errorf("shed after %s: %+v", took, g.Error)
	}
	for path, status := range map[string]int{"/health": 200, "/health/live": 200, "/health/ready": 200, "/metrics": 200} {
		if a := r.get(path); a.status != status {
			t.Errorf("%s under overload: %d", path, a.status)
		}
	}
	r.fault(devchain.Fault{})
}

func TestLiesOfAllMakeAVerdictInvalid(t *testing.T) {
	for name, c := range map[string]struct {
		lie  devchain.Lie
		path func(*rig) string
		want string // the check
	}{
		"block hash, by number":        {devchain.LieBlockHash, func(*rig) string { return "/v1/blocks/3" }, "block_hash"},
		"block hash, of a transaction": {devchain.LieBlockHash, func(r *rig) string { return "/v1/transactions/" + r.transaction() }, "block_hash"},
		"transaction":                  {devchain.LieTransaction, func(r *rig) string { return "/v1/transactions/" + r.transaction() }, "transaction_hash"},
		"receipt":                      {devchain.LieReceipt, func(r *rig) string { return "/v1/transactions/" + r.transaction() }, "receipts_root"},
		"balance":                      {devchain.LieBalance, func(r *rig) string { return "/v1/addresses/" + r.net.Chain.Accounts()[1] }, "balance"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, options{})
			r.fault(devchain.Fault{Lie: c.lie})
			v, a := r.verdict(c.path(r))
			if a.status != 200 || v.Outcome != validation.Invalid || !strings.HasPrefix(v.Reason, c.want+": ") || len(v.Liars) == 0 {
				t.Errorf("%d %s by %v: %s", a.status, v.Outcome, v.Liars, v.Reason)
			}
		})
	}
}

func TestTheLieOfOneIsFoundOut(t *testing.T) {
	transaction := func(r *rig, n int) string { return "/v1/transactions/" + r.net.Chain.RecentTransactions(n + 1)[n] }
	for name, c := range map[string]struct {
		lie  devchain.Lie
		path func(r *rig, n int) string
	}{
		"block hash":  {devchain.LieBlockHash, func(_ *rig, n int) string { return fmt.Sprintf("/v1/blocks/%d", n+1) }},
		"transaction": {devchain.LieTransaction, transaction},
		"receipt":     {devchain.LieReceipt, transaction},
		"balance":     {devchain.LieBalance, func(r *rig, n int) string { return "/v1/addresses/" + r.net.Chain.Accounts()[n] }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, options{})
			r.fault(devchain.Fault{Latency: 20 * time.Millisecond}, 0, 2)
			// Who is best is asked first: a few questions make that the liar.
			for n := range 12 {
				r.call(request("eth_getBlockByNumber", fmt.Sprintf("0x%x", n), false))
			}
			r.fault(devchain.Fault{Lie: c.lie}, 1)
			// Which provider gets which question hangs on their speed; among
			// ten verdicts one rests on the liar.
			var liars []string
			for n := 0; n < 10 && liars == nil; n++ {
				v, _ := r.verdict(c.path(r, n))
				if liars = v.Liars; v.Outcome != validation.Valid {
					t.Errorf("%s by %v: %s", v.Outcome, v.Liars, v.Reason)
				}
			}
			if !slices.Equal(liars, []string{"dev-b"}) {
				t.Errorf("liars: %v", liars)
			}
			for _, s := range r.set.Status() {
				if (s.Lies > 0) != (s.Name == "dev-b") {
					t.Errorf("%s: %d lies", s.Name, s.Lies)
				}
				if s.Name == "dev-b" && !strings.HasPrefix(s.LastError, "lied: ") {
					t.Errorf("%s: %q", s.Name, s.LastError)
				}
			}
		})
	}
}

// What a system call, a driver or a provider says is the operator's: addresses and texts of
// others go to the log, and a client is told what happened in the node's own words.
func TestClientsAreToldInOurOwnWords(t *testing.T) {
	r := start(t, options{url: func(int, string) string { return "http://127.0.0.1:1" }, with: map[string]string{"upstream.attempts": "1", "upstream.chain_id": "0"},
		faults: func(int) devchain.Fault { return devchain.Fault{} }})
	r.hold(breaker.ForcedClosed)
	for _, path := range []string{"/v1/blocks/1", "/v1/transactions/" + nobody} {
		if a := r.get(path); strings.Contains(string(a.body), "dial tcp") || strings.Contains(string(a.body), "127.0.0.1:1") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if g := r.call(request("eth_gasPrice")); g.Error == nil || strings.Contains(g.Error.Message, "dial") || strings.Contains(g.Error.Message, "127.0.0.1") {
		t.Errorf("%+v", g.Error)
	}
}

func TestSecretsOfProvidersAppearNowhere(t *testing.T) {
	// Some providers quote the path, and the key in it, where they refuse.
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, pass, _ := req.BasicAuth()
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"%s:%s may not use %s","data":"%s"}}`, user, pass, req.URL.Path, pass)
	}))
	t.Cleanup(echo.Close)
	// Others quote the Authorization header, in which the password is base64.
	quoting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"denied: %s","data":{"header":"%[1]s"}}}`, req.Header.Get("Authorization"))
	}))
	t.Cleanup(quoting.Close)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, "Cannot POST %s", req.URL.Path)
	}))
	t.Cleanup(page.Close)
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "http://elsewhere.invalid"+req.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(moved.Close)
	for name, urls := range map[string][]string{
		"refused": {"http://127.0.0.1:1"}, "echo": {echo.URL}, "quoting": {quoting.URL}, "page": {page.URL},
		"moved": {moved.URL}, "mixed": {echo.URL, page.URL, moved.URL}, "honest": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, options{
				with:   map[string]string{"upstream.chain_id": "0"}, // or nobody would be asked anything
				faults: func(int) devchain.Fault { return devchain.Fault{} },
				url: func(i int, own string) string {
					if urls == nil {
						return own
					}
					return urls[i%len(urls)]
				},
			})
			r.hold(breaker.ForcedClosed)
			// send fails the test where a secret is seen.
			for range 3 {
				r.call(request("eth_gasPrice"))
				r.call(request("eth_sendRawTransaction", "0x00"))
				r.get("/v1/blocks/1")
				r.get("/v1/transactions/" + nobody)
				r.get("/health")
				r.get("/metrics")
			}
			if text := fmt.Sprintf("%+v", r.set.Status()); strings.Contains(text, password) || strings.Contains(text, pathKey) {
				t.Errorf("the state of the providers shows a secret: %s", text)
			}
		})
	}
}
