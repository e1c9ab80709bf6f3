package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Whatever a client sends to the gateway, the answer is JSON or nothing, and the
// node lives.
func FuzzGateway(f *testing.F) {
	for _, seed := range []string{
		"", " ", "null", "7", `""`, "{}", "[]", "[[]]", "[null]", "[{},7]", "\xff", "\u00a0[", "[", "{", `{"jsonrpc"`,
		request("eth_chainId"), "[" + request("eth_chainId") + "," + request("eth_blockNumber") + "]",
		request("eth_getBlockByNumber", nil, false), request("eth_getBlockByNumber", map[string]any{"blockHash": 7}, false),
		request("eth_getBalance", nobody, map[string]any{}), request("eth_getBalance", nobody, []any{}), request("eth_getBalance", "0x", ""),
		request("eth_getBlockByHash", 7, false), request("eth_getBlockByHash", "0x", false), request("eth_getTransactionByHash"),
		request("eth_getTransactionReceipt", nobody), request("eth_sendRawTransaction", "0x02"), request("eth_\x00"), request("debug_x"),
		`{"jsonrpc":"2.0","id":1e999,"method":"eth_getBalance","params":[1e999,-0,"0X",{"a":{"b":[]}}]}`,
		`{"jsonrpc":"2.0","id":-,"method":"eth_chainId"}`, `{"jsonrpc":"2.0","ID":1,"Method":"eth_chainId","PARAMS":[]}`,
		`{"jsonrpc":"2.0","id":"\ud800","method":"eth_chainId","params":["\ud800"]}`,
		`{"jsonrpc":"2.0","method":"eth_chainId","id":1,"id":{}}`, strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 10_000),
	} {
		f.Add([]byte(seed))
	}
	r := start(f, options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		one := *r
		one.TB = t
		a := one.send(http.MethodPost, "/", string(body))
		switch {
		case a.status == http.StatusNoContent && len(a.body) == 0:
		case a.status == 0 || a.status >= 500 || !json.Valid(a.body):
			t.Errorf("%q: %d %q", body, a.status, a.body)
		}
	})
}
