package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/bizra/bizra-top/node/devchain"
)

// behaviour is what a provider does that is not as it should be. The zero value is honest.
// What it does, it does in every answer: to clients' questions, to the watch, to proofs.
type behaviour struct {
	name  string
	fault devchain.Fault                 // of the devchain's own provider
	chain func(*world) []*devchain.Chain // another chain than the real one, for each bad provider
	// instead is what is answered without asking the chain; nil where it is asked.
	instead func(question) *said
	// change makes something else of an answer's result.
	change func(q question, result any) any
	with   map[string]string // settings
	// headless: two providers, one of which does this, agree on no block.
	headless bool
	// silent: it never has a vote on the head.
	silent bool
	// alike: two that do this say the same, so that a second bad provider lags instead.
	alike bool
}

// question is what a provider is asked. bad counts the bad providers, so that two of them
// do not say the same.
type question struct {
	method string
	params []json.RawMessage
	bad    int
	*world
}

// said is an answer that does not come from the chain: a result, an error, or any text.
type said struct {
	status              int
	result, fault, text string
}

// handler is a provider that behaves so, in front of one that does not.
func (b behaviour) handler(t testing.TB, w *world, bad int, honest http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req struct {
			ID     json.RawMessage
			Method string
			Params []json.RawMessage
		}
		if err != nil || json.Unmarshal(body, &req) != nil {
			t.Errorf("%v: %s", err, body)
		}
		q := question{req.Method, req.Params, bad, w}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if b.instead != nil {
			if s := b.instead(q); s != nil {
				s.write(rw, req.ID)
				return
			}
		}
		if b.change == nil {
			honest.ServeHTTP(rw, r)
			return
		}
		recorder := httptest.NewRecorder()
		honest.ServeHTTP(recorder, r)
		var answer map[string]any
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			t.Errorf("%v: %s", err, recorder.Body)
		}
		if result, ok := answer["result"]; ok {
			answer["result"] = b.change(q, result)
		}
		out, err := json.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		_, _ = rw.Write(out)
	})
}

func (s *said) write(w http.ResponseWriter, id json.RawMessage) {
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	switch {
	case s.fault != "":
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":%s}`, id, s.fault)
	case s.result != "":
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, s.result)
	default:
		_, _ = io.WriteString(w, s.text)
	}
}

// always gives one answer to everything.
func always(s said) func(question) *said { return func(question) *said { return &s } }

// watched are the methods that the watch asks. Who answers these well is taken for healthy.
var watched = []string{"eth_chainId", "eth_blockNumber", "eth_getBlockByNumber", "eth_getBlockByHash"}

// unwatched gives one answer to everything but what the watch asks.
func unwatched(s said) func(question) *said {
	return func(q question) *said {
		if slices.Contains(watched, q.method) {
			return nil
		}
		return &s
	}
}

func only(method string, s said) func(question) *said {
	return func(q question) *said {
		if q.method != method {
			return nil
		}
		return &s
	}
}

// text reads a parameter that is a string.
func (q question) text(i int) (s string) {
	if i < len(q.params) {
		_ = json.Unmarshal(q.params[i], &s) // what is none is empty
	}
	return s
}

// ahead claims a newest block that does not exist.
func ahead(claim func(head uint64) uint64) func(question, any) any {
	return func(q question, result any) any {
		head, _ := q.real.Head()
		number := hexutil.EncodeUint64(claim(head) - uint64(q.bad))
		switch block, ok := result.(map[string]any); {
		case q.method == "eth_blockNumber":
			return number
		case q.method == "eth_getBlockByNumber" && ok && !strings.HasPrefix(q.text(0), "0x"):
			block["number"] = number
			block["hash"] = common.Hash{0xa, byte(q.bad)}.Hex()
		}
		return result
	}
}

// stateAt says which parameter of a method names the block of a state.
var stateAt = map[string]int{"eth_getBalance": 1, "eth_getTransactionCount": 1, "eth_getCode": 1, "eth_getStorageAt": 2, "eth_getProof": 2, "eth_call": 1}

// pruned has no state below a depth.
func pruned(depth uint64) func(question) *said {
	return func(q question) *said {
		i, ok := stateAt[q.method]
		if !ok || i >= len(q.params) {
			return nil
		}
		head, _ := q.real.Head()
		for n := head - depth; n <= head; n++ {
			b, _ := q.real.Block(n)
			if p := string(q.params[i]); strings.Contains(p, b.Hash().Hex()) || strings.Contains(p, `"`+hexutil.EncodeUint64(n)+`"`) {
				return nil
			}
		}
		return &said{fault: `{"code":-32000,"message":"missing trie node 1f6c6d9c (path ) state 0x1f6c6d9c is not available"}`}
	}
}

// short refuses logs of more than some blocks.
func short(blocks uint64) func(question) *said {
	return func(q question) *said {
		var f struct{ FromBlock, ToBlock *hexutil.Uint64 }
		if q.method != "eth_getLogs" || json.Unmarshal(q.params[0], &f) != nil || f.FromBlock == nil || f.ToBlock == nil ||
			uint64(*f.ToBlock-*f.FromBlock) < blocks {
			return nil
		}
		return &said{fault: fmt.Sprintf(`{"code":-32005,"message":"block range is too wide, maximum block range: %d"}`, blocks)}
	}
}

// others answers everything that the watch does not ask with one value.
func others(result string) func(question) *said { return unwatched(said{result: result}) }

// behaviours are what a provider does that is no lie about the content of an answer.
var behaviours = []behaviour{
	{name: "lags by 1", fault: devchain.Fault{Stale: 1}},
	{name: "lags by 3", fault: devchain.Fault{Stale: 3}},
	{name: "lags by 20", fault: devchain.Fault{Stale: 20}},
	{name: "claims 900 more blocks", change: ahead(func(head uint64) uint64 { return head + 900 })},
	{name: "claims block 2^63-1", change: ahead(func(uint64) uint64 { return 1<<63 - 1 })},
	{name: "quota in words", instead: always(said{fault: `{"code":-32005,"message":"daily request count exceeded, request rate limited"}`}), silent: true},
	{name: "quota for state", instead: only("eth_getBalance", said{fault: `{"code":-32005,"message":"project ID request rate exceeded"}`})},
	{name: "quota as 429", instead: unwatched(said{status: 429, text: "slow down"})},
	{name: "401", instead: always(said{status: 401, fault: `{"code":-32600,"message":"Must be authenticated!"}`}), silent: true},
	{name: "500 for reads", instead: unwatched(said{status: 500, text: "Internal Server Error"})},
	{name: "internal error", instead: unwatched(said{fault: `{"code":-32603,"message":"Internal error"}`})},
	{name: "reset", fault: devchain.Fault{Reset: true}, silent: true},
	{name: "wrong chain", fault: devchain.Fault{ChainID: 5}, chain: func(w *world) []*devchain.Chain { return w.foreign() }, silent: true},
	{name: "fork of 3", chain: func(w *world) []*devchain.Chain { return w.forks() }},
	{name: "fork of 70", chain: func(w *world) []*devchain.Chain { return w.deep() }, headless: true, silent: true},
	{name: "pruned", instead: pruned(2)},
	{name: "no method", instead: unwatched(said{fault: `{"code":-32601,"message":"Method not found"}`})},
	{name: "no proofs", instead: only("eth_getProof", said{fault: `{"code":-32601,"message":"Method not found"}`})},
	{name: "range limit", instead: short(3)},
	{name: "slow", fault: devchain.Fault{Latency: 150 * time.Millisecond}, with: map[string]string{"upstream.hedge_after": "0.95"}},
	{name: "null for everything", instead: always(said{result: "null"}), alike: true, silent: true},
	{name: "null for reads", instead: others("null"), alike: true},
	{name: "null for blocks", instead: only("eth_getBlockByHash", said{result: "null"}), alike: true},
	{name: "{} for everything", instead: always(said{result: "{}"}), silent: true},
	{name: "{} for reads", instead: others("{}")},
	{name: "[] for reads", instead: others("[]"), alike: true},
	{name: "empty text for reads", instead: others(`""`)},
	{name: "a text for reads", instead: others(`"Please upgrade"`)},
	{name: "a number for reads", instead: others("7")},
	{name: "garbage", instead: always(said{text: "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"}), silent: true},
	{name: "cut short", instead: unwatched(said{text: `{"jsonrpc":"2.0","id":1,"result":{"hash":"0x`})},
}
