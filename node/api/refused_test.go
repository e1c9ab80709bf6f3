package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// refuse is how a provider refuses one method: a status and the error of JSON-RPC.
type refuse struct {
	status int
	fault  string
}

// refusing puts something between the node and each provider that refuses a method.
func refusing(t *testing.T, method string, by map[int]refuse) func(int, string) string {
	return func(i int, address string) string {
		target, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			var req struct {
				ID     json.RawMessage
				Method string
			}
			if err != nil || json.Unmarshal(body, &req) != nil {
				t.Errorf("%v: %s", err, body)
			}
			if no, ok := by[i]; ok && req.Method == method {
				w.WriteHeader(no.status)
				_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":%s}`, req.ID, no.fault)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			proxy.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
}

// everybody refuses in the same way.
func everybody(status int, fault string) map[int]refuse {
	no := refuse{status, fault}
	return map[int]refuse{0: no, 1: no, 2: no}
}

// What a client gets of an error is what the provider has sent, to the byte.
func TestErrorsReachClientsAsTheyCame(t *testing.T) {
	long := strings.Repeat("Log response size exceeded. ", 40) + "this block range should work: [0x1, 0x2]"
	for name, fault := range map[string]string{
		"revert":       `{"code":3,"message":"execution reverted: <no> & \"no\"","data":"0x08c379a00000"}`,
		"nethermind":   `{"code":-32015,"message":"VM execution error.","data":"Reverted 0x08c379a0"}`,
		"long":         `{"code":-32602,"message":"` + long + `"}`,
		"data of size": `{"code":-32000,"message":"nonce too low","data":{"b" : [1, 2.50, null],"a":"<&>"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, options{url: refusing(t, "eth_call", everybody(200, fault))})
			a := r.send("POST", "/", request("eth_call", map[string]any{}, "latest"))
			if want := `{"jsonrpc":"2.0","id":1,"error":` + fault + `}`; a.status != 200 || string(a.body) != want {
				t.Errorf("%d %s, not %s", a.status, a.body, want)
			}
		})
	}
}

func TestARefusalOfOneProviderIsNotNoticed(t *testing.T) {
	for name, no := range map[string]refuse{
		"quota":  {429, `{"code":-32005,"message":"daily request count exceeded, request rate limited"}`},
		"key":    {401, `{"code":-32600,"message":"Must be authenticated!"}`},
		"state":  {200, `{"code":-32000,"message":"missing trie node 1f6c (path )"}`},
		"block":  {200, `{"code":-32000,"message":"header not found"}`},
		"method": {200, `{"code":-32601,"message":"Method not found"}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, options{url: refusing(t, "eth_getBalance", map[int]refuse{0: no, 1: no})})
			for i := range 10 {
				if got := r.call(request("eth_getBalance", fmt.Sprintf("0x%040x", i), "0x5")); got.Error != nil || string(got.Result) != `"0x0"` {
					t.Errorf("%d %+v", got.status, got.Error)
				}
			}
		})
	}
}

// ethers and others fall back to another method by geth's words.
func TestAMethodThatNobodyServes(t *testing.T) {
	r := start(t, options{url: refusing(t, "eth_newThing", everybody(400, `{"code":-32600,"message":"Unsupported method: eth_newThing on ETH_MAINNET"}`))})
	got := r.call(request("eth_newThing"))
	if got.Error == nil || got.Error.Code != -32601 || got.Error.Message != "the method eth_newThing does not exist/is not available" || got.status != 200 {
		t.Errorf("%d %+v", got.status, got.Error)
	}
}

func TestWhenEveryProviderRefusesForItsQuota(t *testing.T) {
	r := start(t, options{url: refusing(t, "eth_getBalance", everybody(200, `{"code":-32005,"message":"project ID request rate exceeded","data":{"rate":{"backoff_seconds":20}}}`))})
	for range 2 {
		a := r.send("POST", "/", request("eth_getBalance", nobody[:42], "latest"))
		if after := a.header.Get("Retry-After"); a.status != http.StatusTooManyRequests || !strings.Contains(string(a.body), `"code":-32005`) || after != "20" && after != "19" {
			t.Errorf("%d, Retry-After %q: %s", a.status, after, a.body)
		}
	}
}
