package upstream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/upstream"
)

// answer is how a provider answers: what is asked for clients, and what the node asks itself
// it always answers well.
type answer func(w http.ResponseWriter, id json.RawMessage)

// says answers with an error of JSON-RPC.
func says(status, code int, message string, data ...string) answer {
	return func(w http.ResponseWriter, id json.RawMessage) {
		text, _ := json.Marshal(message)
		with := ""
		if len(data) > 0 {
			with = `,"data":` + data[0]
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%s%s}}`, id, code, text, with)
	}
}

// plain answers with a status alone.
func plain(status int) answer {
	return func(w http.ResponseWriter, _ json.RawMessage) { w.WriteHeader(status) }
}

func gives(result string) answer {
	return func(w http.ResponseWriter, id json.RawMessage) {
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, id, result)
	}
}

// reset cuts the connection without an answer.
func reset(http.ResponseWriter, json.RawMessage) { panic(http.ErrAbortHandler) }

// crowd is a set of providers p0, p1, …, each of which answers in its way.
func crowd(t *testing.T, with map[string]string, answers ...answer) (rig, []*atomic.Int64) {
	t.Helper()
	var urls []string
	var counts []*atomic.Int64
	for _, a := range answers {
		asked := &atomic.Int64{}
		url, _ := answering(t, func(w http.ResponseWriter, method string, id json.RawMessage) {
			switch method {
			case "eth_blockNumber":
				gives(`"0x100"`)(w, id)
			case "eth_chainId":
				gives(`"0x1"`)(w, id)
			case "eth_getBlockByNumber": // it tells its height alone
				gives("null")(w, id)
			default:
				asked.Add(1)
				a(w, id)
			}
		})
		urls, counts = append(urls, url), append(counts, asked)
	}
	r := set(t, urls, with)
	t.Cleanup(func() { r.runOnce(t) })
	return r, counts
}

var balance = upstream.Question{Method: "eth_getBalance", Params: json.RawMessage(`["0x00","latest"]`)}

// untouched says that no breaker has counted a failure.
func (r rig) untouched(t *testing.T) {
	t.Helper()
	for name, b := range r.breakers {
		if s := b.Snapshot(); s.Failures > 0 || s.Slow > 0 || s.State != breaker.Closed {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A provider answered 401 or 403, or said in a JSON-RPC error that its quota is spent, and
// 92 of 100 calls failed at the client although another provider was well.
func TestAProviderWithoutKeyOrQuotaFailsNoCall(t *testing.T) {
	for name, bad := range map[string]answer{
		"401":                  plain(401),
		"403":                  plain(403),
		"Alchemy, no key":      says(401, -32600, "Must be authenticated!"),
		"Alchemy, other chain": says(403, -32600, "MATIC_MAINNET is not enabled for this app."),
		"Alchemy, quota":       says(200, 429, "Your app has exceeded its compute units per second capacity."),
		"Infura, quota":        says(200, -32005, "daily request count exceeded, request rate limited"),
		"Pokt, quota":          says(200, -32000, "Rate limit exceeded"),
		"429":                  plain(429),
		"402":                  plain(402),
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := crowd(t, nil, bad, gives(`"0x7"`))
			for i := range 100 {
				if a, err := r.Call(t.Context(), balance); err != nil || string(a.Result) != `"0x7"` {
					t.Fatalf("call %d: %s %v", i, a.Result, err)
				}
			}
			if s := r.breakers["p0"].Snapshot(); s.Failures > 0 != (strings.HasPrefix(name, "40") && name != "402" || strings.Contains(name, "key") || strings.Contains(name, "chain")) {
				t.Errorf("the breaker has counted %d failures", s.Failures)
			}
		})
	}
}

// A provider lacked the state, the method or the block, and 6 to 10 of 10 calls failed
// although another provider has it. It is asked once, and then last.
func TestAProviderThatLacksSomethingFailsNoCall(t *testing.T) {
	old := upstream.Question{Method: "eth_getBalance", Params: json.RawMessage(`["0x00","0x10"]`), Height: 0x10, State: true}
	for name, c := range map[string]struct {
		q       upstream.Question
		bad     answer
		learned string
	}{
		"state":  {old, says(200, -32000, "missing trie node 1f6c (path ) state 0x1f6c is not available, not found"), "pruned below 240"},
		"method": {upstream.Question{Method: "debug_traceTransaction", Params: json.RawMessage(`["0x00"]`)}, says(200, -32601, "Method not found"), "no debug_traceTransaction"},
		"block":  {balance, says(200, -32000, "header not found"), ""},
		"logs":   {upstream.Question{Method: "eth_getLogs", Params: json.RawMessage(`[{}]`), Span: 20_000}, says(200, -32602, "eth_getLogs is limited to a 10,000 range"), "logs ≤ 19999"},
	} {
		t.Run(name, func(t *testing.T) {
			r, asked := crowd(t, nil, c.bad, gives(`"0x7"`))
			r.run(t)
			eventually(t, "the heads", func() bool { s := r.Status(); return s[0].Head == 0x100 && s[1].Head == 0x100 })
			for i := range 10 {
				if a, err := r.Call(t.Context(), c.q); err != nil || string(a.Result) != `"0x7"` {
					t.Fatalf("call %d: %s %v", i, a.Result, err)
				}
			}
			s := r.Status()[0]
			if n := asked[0].Load(); c.learned != "" && n > 1 {
				t.Errorf("it was asked %d times", n)
			}
			if got := strings.Join(s.Lacks, ", "); got != c.learned && asked[0].Load() > 0 {
				t.Errorf("learned %q, not %q", got, c.learned)
			}
			r.untouched(t)
		})
	}
}

// One client asked a question that is over every provider's limit, four times at once: the
// breakers of all opened, and other clients lost a third of their calls.
func TestAQuestionOverALimitOpensNoBreaker(t *testing.T) {
	for name, limit := range map[string]answer{
		"range":     says(400, -32602, "query exceeds max block range 1000"),
		"results":   says(200, -32005, "query returned more than 10000 results"),
		"timeout":   says(200, -32000, "execution aborted (timeout = 5s)"),
		"gas":       says(200, -32000, "out of gas"),
		"too large": plain(413),
		"crash":     says(200, -32603, "method handler crashed"),
		"oversized": gives(`"` + strings.Repeat("0", 80<<10) + `"`),
		"no words":  says(200, -32050, "no"),
	} {
		t.Run(name, func(t *testing.T) {
			either := func(w http.ResponseWriter, id json.RawMessage) { limit(w, id) }
			var urls []string
			for range 3 {
				url, _ := answering(t, func(w http.ResponseWriter, method string, id json.RawMessage) {
					if method == "eth_getLogs" {
						either(w, id)
						return
					}
					number(w, method, id)
				})
				urls = append(urls, url)
			}
			r := set(t, urls, map[string]string{"upstream.max_body": "64KiB"})
			r.run(t)
			eventually(t, "the providers", func() bool { return r.Status()[0].Healthy && r.Status()[2].Healthy })
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 20 {
						if _, err := r.Call(t.Context(), upstream.Question{Method: "eth_getLogs", Params: json.RawMessage("[{}]")}); err == nil || errors.Is(err, upstream.ErrUnavailable) {
							t.Errorf("%v", err)
						}
					}
				})
			}
			for range 100 {
				if _, err := r.Call(t.Context(), balance); err != nil {
					t.Errorf("another client: %v", err)
				}
			}
			wg.Wait()
			r.untouched(t)
		})
	}
}

// What one provider cannot answer and another can is the provider's fault all the same.
func TestACrashThatOthersDoNotHaveCounts(t *testing.T) {
	r, _ := crowd(t, nil, says(200, -32603, "method handler crashed"), gives(`"0x7"`))
	for range 5 {
		if _, err := r.Call(t.Context(), balance); err != nil {
			t.Fatal(err)
		}
	}
	if s := r.breakers["p0"].Snapshot(); s.Failures == 0 {
		t.Errorf("%+v", s)
	}
}

func TestAVerdictIsAnAnswer(t *testing.T) {
	const data = `"Reverted 0x08c379a0"`
	r, asked := crowd(t, nil, says(200, -32015, "VM execution error.", data), says(500, 3, "execution reverted: <no>", data))
	for range 2 {
		_, err := r.Call(t.Context(), balance)
		var rpc *upstream.RPCError
		if !errors.As(err, &rpc) || string(rpc.Data) != data {
			t.Fatalf("%v", err)
		}
	}
	if n := asked[0].Load() + asked[1].Load(); n != 2 {
		t.Fatalf("%d requests were made for 2 answers that are final", n)
	}
	r.untouched(t)
}

func TestWhatAClientIsToldWhereProvidersDiffer(t *testing.T) {
	revert, limit, state := says(200, 3, "execution reverted"), says(200, -32005, "query returned more than 10000 results"), says(200, -32000, "missing trie node")
	method, quota, strange := says(200, -32601, "Method not found"), says(200, 429, "slow down"), says(200, -32050, "the moon")
	for name, c := range map[string]struct {
		answers []answer
		code    int
	}{
		"verdict over limit":     {[]answer{limit, limit, revert}, 3},
		"verdict over faults":    {[]answer{quota, state, revert}, 3},
		"limit over faults":      {[]answer{state, limit, plain(500)}, -32005},
		"strange over faults":    {[]answer{method, strange, state}, -32050},
		"state over method":      {[]answer{method, state}, -32000},
		"state over 500":         {[]answer{plain(500), state}, -32000},
		"no method anywhere":     {[]answer{method, says(200, -32004, "no such thing"), method}, -32601},
		"one alone":              {[]answer{method}, -32601},
		"strange words of all":   {[]answer{strange, strange, strange}, -32050},
		"strange, then a result": {[]answer{strange, gives("1")}, 0},
		"limit, then a result":   {[]answer{limit, limit, limit, gives("1")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := crowd(t, map[string]string{"upstream.attempts": "2"}, c.answers...)
			_, err := r.Call(t.Context(), balance)
			var rpc *upstream.RPCError
			if errors.As(err, &rpc); c.code == 0 && err != nil || c.code != 0 && (rpc == nil || rpc.Code != c.code) {
				t.Fatalf("%v", err)
			}
			if c.code == -32601 && rpc.Message != "the method eth_getBalance does not exist/is not available" {
				t.Errorf("%q", rpc.Message)
			}
		})
	}
}

// Where everybody refuses for a quota, the client is told for how long; nobody is asked
// before.
func TestWhenEveryProviderRefusesForItsQuota(t *testing.T) {
	r, asked := crowd(t, nil, says(429, -32005, "project ID request rate exceeded", `{"rate":{"backoff_seconds":30}}`),
		says(200, -32090, "Too many requests, reason: call rate limit exhausted, retry in 7s"))
	for range 3 {
		_, err := r.Call(t.Context(), balance)
		var quota *upstream.Exhausted
		if !errors.As(err, &quota) || quota.Wait > 7*time.Second || quota.Wait < 5*time.Second || !errors.Is(err, upstream.ErrUnavailable) {
			t.Fatalf("%v", err)
		}
	}
	if asked[0].Load() != 1 || asked[1].Load() != 1 {
		t.Errorf("asked %d and %d times", asked[0].Load(), asked[1].Load())
	}
	r.untouched(t)
}

// A message was cut after 200 bytes: what clients parse stands at its end.
func TestAMessageIsPassedOnWhole(t *testing.T) {
	message := strings.Repeat("Log response size exceeded. ", 40) + "this block range should work: [0xc5dc00, 0xc614a7]"
	const data = `{"b" : 1, "a" : "<&>"}`
	r, _ := crowd(t, nil, says(400, -32602, message, data))
	_, err := r.Call(t.Context(), balance)
	var rpc *upstream.RPCError
	if !errors.As(err, &rpc) || rpc.Message != message || string(rpc.Data) != data {
		t.Fatalf("%+v", rpc)
	}
	if len(err.Error()) > 300 {
		t.Errorf("%d bytes go to a log", len(err.Error()))
	}
	long, _ := crowd(t, nil, says(200, 3, "execution reverted: "+strings.Repeat("é", 20_000)))
	if _, err := long.Call(t.Context(), balance); !errors.As(err, &rpc) || len(rpc.Message) > 16<<10 || len(rpc.Message) < 15<<10 {
		t.Errorf("%d bytes", len(rpc.Message))
	}
}

func TestErrorsThatAreNotAsTheyShouldBe(t *testing.T) {
	for body, c := range map[string]struct {
		code    int
		message string
	}{
		`"execution reverted"`:                         {-32000, "execution reverted"},
		`{"code":"3","message":"execution reverted"}`:  {3, "execution reverted"},
		`{"code":-32602.0,"message":"invalid params"}`: {-32602, "invalid params"},
		`{"message":"execution reverted"}`:             {-32000, "execution reverted"},
		`{"code":1e99,"message":"nonce too low"}`:      {-32000, "nonce too low"},
		`{"code":3,"message":{"text":"x"}}`:            {3, `{"text":"x"}`},
		`{"code":3}`:                                   {3, ""},
	} {
		r, _ := crowd(t, nil, func(w http.ResponseWriter, id json.RawMessage) {
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":%s}`, id, body)
		})
		_, err := r.Call(t.Context(), balance)
		var rpc *upstream.RPCError
		if !errors.As(err, &rpc) || rpc.Code != c.code || rpc.Message != c.message {
			t.Errorf("%s: %+v %v", body, rpc, err)
		}
	}
}

// A refusal neither wins a race nor ends it, whether the first refuses or the hedge.
func TestARefusalDoesNotWinARace(t *testing.T) {
	after := func(d time.Duration, a answer) answer {
		return func(w http.ResponseWriter, id json.RawMessage) { time.Sleep(d); a(w, id) }
	}
	refuses := says(200, -32000, "missing trie node")
	for name, answers := range map[string][]answer{
		"the first":  {after(30*time.Millisecond, refuses), after(60*time.Millisecond, gives(`"0x7"`))},
		"the hedge":  {after(60*time.Millisecond, gives(`"0x7"`)), refuses},
		"both":       {after(30*time.Millisecond, refuses), refuses, gives(`"0x7"`)},
		"both crash": {after(30*time.Millisecond, says(200, -32603, "method handler crashed")), plain(500), gives(`"0x7"`)},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := crowd(t, map[string]string{"upstream.hedge_after": "0.5", "upstream.hedge_floor": "1ms"}, answers...)
			for i := range 10 {
				if a, err := r.Call(t.Context(), balance); err != nil || string(a.Result) != `"0x7"` {
					t.Fatalf("call %d: %s %v", i, a.Result, err)
				}
			}
		})
	}
}
