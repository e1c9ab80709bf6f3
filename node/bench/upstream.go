package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/rpc"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/upstream"
)

// answers is a JSON-RPC server on loopback that answers every question with the
// same result, as cheaply as net/http can.
var answers = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	for name, result := range map[string]string{
		"small": `"0x12a05f200"`,
		"20 KB": `{"logs":["` + strings.Repeat("0123456789abcdef", 1280) + `"]}`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var id struct{ ID json.RawMessage }
			body, err := io.ReadAll(r.Body)
			if err != nil || json.Unmarshal(body, &id) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id.ID, result)
		}))
		out[name] = server.URL // runs until the program ends
	}
	return out
})

func upstreamScenes() []scene {
	var out []scene
	for _, size := range []string{"small", "20 KB"} {
		contenders := []contender{
			{"bizra, Set.Call", func() func(int) { return setCall(answers()[size]) }},
			{"go-ethereum, rpc.Client", func() func(int) { return ethCall(answers()[size]) }},
			{"(a bare http.Client)", func() func(int) { return bareCall(answers()[size]) }},
		}
		out = append(out,
			scene{"upstream, " + size, false, contenders, 20},
			scene{"upstream, " + size + ", parallel", true, contenders, 20})
	}
	return out
}

// orPanic is for what fails only when this program is wrong.
func orPanic[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// setCall is all of a call: choice, breaker, hedge, budget and metrics.
func setCall(url string) func(int) {
	registry := settings.NewRegistry()
	s, b := upstream.Declare(registry), breaker.Declare(registry, "upstream")
	if err := registry.Load(settings.SourceFlag, []settings.Change{{Key: "upstream.providers", Value: "a=" + url + ",b=" + url + ",c=" + url}}); err != nil {
		panic(err)
	}
	set := orPanic(upstream.New(s, func(name string) *breaker.Breaker { return breaker.New(name, "upstream", b, breaker.WithProber()) },
		prometheus.NewRegistry(), nil, upstream.Chain{}))
	return func(times int) {
		for range times {
			orPanic(set.Call(context.Background(), upstream.Question{Method: "eth_gasPrice", Params: json.RawMessage("[]")}))
		}
	}
}

func ethCall(url string) func(int) {
	client := orPanic(rpc.DialHTTP(url))
	return func(times int) {
		for range times {
			var result json.RawMessage
			if err := client.CallContext(context.Background(), &result, "eth_gasPrice"); err != nil {
				panic(err)
			}
		}
	}
}

func bareCall(url string) func(int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"eth_gasPrice","params":[]}`)
	return func(times int) {
		for range times {
			resp := orPanic(client.Post(url, "application/json", bytes.NewReader(body)))
			orPanic(io.ReadAll(resp.Body))
			_ = resp.Body.Close()
		}
	}
}
