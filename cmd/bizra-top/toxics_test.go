//go:build integration && faults

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/bizra/bizra-top/node/devchain"
)

// toxics are the eight of toxiproxy, each as it hurts most: delayed by more than a call
// may take, cut within a message, sliced in two bytes, held for ever. The one without a
// body is down: connections are cut and refused.
var toxics = []struct{ name, body string }{
	{"latency", `{"name":"toxic","type":"latency","attributes":{"latency":1200,"jitter":400}}`},
	{"down", ""},
	{"bandwidth", `{"name":"toxic","type":"bandwidth","attributes":{"rate":1}}`},
	{"slow close", `{"name":"toxic","type":"slow_close","attributes":{"delay":1500}}`},
	{"timeout", `{"name":"toxic","type":"timeout","attributes":{"timeout":0}}`},
	{"reset", `{"name":"toxic","type":"reset_peer","attributes":{"timeout":0}}`},
	{"slicer", `{"name":"toxic","type":"slicer","attributes":{"average_size":2,"size_variation":1,"delay":20000}}`},
	{"limit data", `{"name":"toxic","type":"limit_data","attributes":{"bytes":700}}`},
}

// proxy puts toxiproxy before an address.
func proxy(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics write to the global logger
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "p", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// through is a URL by way of a proxy.
func through(t *testing.T, address string) (string, *toxiproxy.Proxy) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p := proxy(t, u.Host)
	u.Host = p.Listen
	return u.String(), p
}

// afflict puts a toxic before everything that comes back through the proxies, or takes it
// away.
func afflict(t *testing.T, proxies []*toxiproxy.Proxy, body string, on bool) {
	t.Helper()
	for _, p := range proxies {
		var err error
		switch {
		case body == "" && on:
			p.Stop()
		case body == "":
			err = p.Start()
		case on:
			_, err = p.Toxics.AddToxicJson(strings.NewReader(body))
		default:
			err = p.Toxics.RemoveToxic(context.Background(), "toxic")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// poisoned is a node that reaches its providers, PostgreSQL and Redis through toxiproxy.
type poisoned struct {
	*testing.T
	*process
	chain   *devchain.Net
	client  *http.Client
	proxies map[string][]*toxiproxy.Proxy
	hash    string // of the block that is cached

	mu       sync.Mutex
	answered map[string]int // how often what came
	slowest  time.Duration
}

const (
	poisonedDeadline = 3 * time.Second
	cachedBlock      = 1
)

func poison(t *testing.T) *poisoned {
	t.Helper()
	chain, err := devchain.Start(t.Context(), devchain.Config{Seed: 7, Prefill: 20, Providers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	n := &poisoned{T: t, chain: chain, client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
		proxies: map[string][]*toxiproxy.Proxy{}, answered: map[string]int{}}
	block, ok := chain.Chain.Block(cachedBlock)
	if !ok {
		t.Fatal("no block to cache")
	}
	n.hash = block.Hash().Hex()
	of := func(backend, address string) string {
		u, p := through(t, address)
		n.proxies[backend] = append(n.proxies[backend], p)
		return u
	}
	_, dsn, _ := role(t)
	yaml := fmt.Sprintf("upstream:\n  providers: [\"one=%s\", \"two=%s\"]\nstore.dsn: %q\ncache.l2.url: %q\ncache.l2.secret: [a secret of the tests]\ncache.l2.prefix: toxic-%d\n",
		of("upstream", chain.URLs()[0]), of("upstream", chain.URLs()[1]), of("PostgreSQL", dsn), of("Redis", address(t, "BIZRA_TEST_REDIS_URL")), time.Now().UnixNano())
	for key, value := range map[string]string{"api.deadline": poisonedDeadline.String(), "upstream.deadline": "2500ms", "upstream.attempt_timeout": "1s",
		"pool.acquire_timeout": "1s", "pool.statement_timeout": "2s", "validation.confirmations_final": "8"} {
		yaml += key + ": " + value + "\n"
	}
	path := filepath.Join(t.TempDir(), "bizra-top.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	n.process = start(t, binary(t), "--headless", "--config", path, "--listen", "127.0.0.1:0", "--state-dir", t.TempDir())
	n.healthy()
	// Until the node knows how deep the block is, it is kept for seconds only.
	for deadline := time.Now().Add(10 * time.Second); n.value(t, `bizra_upstream_head_block\{provider="one"\}`) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the node has seen no head")
		}
	}
	if why := n.ask(false, true); why != "" {
		t.Fatal(why)
	}
	return n
}

// healthy waits until every breaker is closed, no verdict waits for PostgreSQL, and a
// balance that nobody knows is found. It returns how long that took.
func (n *poisoned) healthy() time.Duration {
	n.Helper()
	began := time.Now()
	notClosed := regexp.MustCompile(`(?m)^bizra_circuit_breaker_state\{.*state="(open|half-open)"\} 1$`)
	for {
		_, text := fetch(n.T, n.url+"/metrics")
		why := strings.Join(notClosed.FindAllString(text, -1), ", ")
		if why == "" {
			if why = n.ask(true, true); why == "" {
				if waiting := n.value(n.T, "bizra_ledger_outbox_verdicts"); waiting == 0 {
					return time.Since(began)
				} else {
					why = fmt.Sprintf("%g verdicts wait for PostgreSQL", waiting)
				}
			}
		}
		if time.Since(began) > 15*time.Second {
			n.Fatalf("after %s it has not recovered: %s", time.Since(began), why)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ask asks the gateway and for a verdict and says what is wrong with the answers; must
// says that an error is wrong too. What is asked of the one block is cached; what is asked
// of an address that nobody has used is known to no cache.
func (n *poisoned) ask(fresh, must bool) (why string) {
	address := fmt.Sprintf("0x%040x", rand.Uint64())
	call, path := fmt.Sprintf(`"eth_getBalance","params":["%s","latest"]`, address), "/v1/addresses/"+address
	right := func(result json.RawMessage) bool { return string(result) == `"0x0"` }
	subject := func(v toldVerdict) bool { return strings.EqualFold(v.Subject, address) }
	if !fresh {
		call, path = fmt.Sprintf(`"eth_getBlockByNumber","params":["0x%x",false]`, cachedBlock), fmt.Sprintf("/v1/blocks/%d", cachedBlock)
		right = func(result json.RawMessage) bool {
			var b struct{ Hash string }
			return json.Unmarshal(result, &b) == nil && b.Hash == n.hash
		}
		subject = func(v toldVerdict) bool { return v.Block != nil && v.Block.Hash == n.hash }
	}
	began := time.Now()
	resp, err := n.client.Post(n.url, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":`+call+"}"))
	why = n.judge(resp, err, began, must, func(body []byte) (ok, typed bool) {
		var a struct {
			ID     int
			Result json.RawMessage
			Error  *struct {
				Code    int
				Message string
			}
		}
		if json.Unmarshal(body, &a) != nil || a.ID != 7 {
			return false, false
		}
		return a.Error == nil && right(a.Result), a.Error != nil && a.Error.Code != 0 && a.Error.Message != ""
	})
	if why != "" {
		return call + ": " + why
	}
	began = time.Now()
	resp, err = n.client.Get(n.url + path)
	why = n.judge(resp, err, began, must, func(body []byte) (ok, typed bool) {
		var a toldVerdict
		if json.Unmarshal(body, &a) != nil {
			return false, false
		}
		return a.Outcome == "valid" && subject(a), a.Status >= 500 && a.Title != "" || a.Outcome == "undecided"
	})
	if why != "" {
		return path + ": " + why
	}
	return ""
}

// toldVerdict is a verdict, or the problem in its place.
type toldVerdict struct {
	Outcome, Subject string
	Block            *struct{ Hash string }
	Status           int
	Title            string
}

// judge says what is wrong with an answer: it came after the deadline, it is not what
// was asked for and no typed error either, or none is allowed.
func (n *poisoned) judge(resp *http.Response, err error, began time.Time, must bool, read func([]byte) (ok, typed bool)) string {
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	// The node's deadline, and a second for a busy machine.
	took := time.Since(began)
	if took > poisonedDeadline+time.Second {
		return fmt.Sprintf("answered after %s: %d %.300s", took, resp.StatusCode, body)
	}
	ok, typed := read(body)
	what := ""
	switch {
	case ok && resp.StatusCode == http.StatusOK:
		what = "right"
	case typed && !must && (resp.StatusCode == http.StatusOK || resp.StatusCode >= 500):
		what = "typed error"
	default:
		return fmt.Sprintf("%d %.300s", resp.StatusCode, body)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answered[what]++
	n.slowest = max(n.slowest, took)
	return ""
}

// under asks for what is cached and what is not until the time is over.
func (n *poisoned) under(lasts time.Duration) {
	until := time.Now().Add(lasts)
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for time.Now().Before(until) {
				fresh := caller > 1
				// What is cached is served whatever is away.
				if why := n.ask(fresh, !fresh); why != "" {
					n.Error(why)
					return
				}
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
		})
	}
	callers.Wait()
}

// settled waits until the node has no more goroutines than before, but for a few and the
// two of each connection that it keeps. It returns how many more.
func (n *poisoned) settled(before resources) int {
	n.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		n.client.CloseIdleConnections()
		now := n.resources(n.T)
		more := now.goroutines - before.goroutines
		if more <= 12+2*max(0, now.files-before.files) {
			return more
		}
		if time.Since(began) > 20*time.Second {
			n.Errorf("%d goroutines more than the %d before, open files %d, before %d", more, before.goroutines, now.files, before.files)
			return more
		}
	}
}

// Eight toxics, one after the other, lie between the node and its providers, PostgreSQL,
// Redis: every request is answered by its deadline, with what is true or a typed error,
// what is cached with what is true; no goroutine is left, and with the toxic gone the
// node is well again by itself. Two seconds each; one in CI, ten with BIZRA_TEST_LONG=1.
func TestFaultToxics(t *testing.T) {
	lasts := lasting(time.Second, 2*time.Second, 10*time.Second)
	var mu sync.Mutex
	requests, typed, most, slowest, longest := 0, 0, 0, time.Duration(0), time.Duration(0)
	t.Run("toxics", func(t *testing.T) {
		for _, backend := range []string{"upstream", "PostgreSQL", "Redis"} {
			t.Run(backend, func(t *testing.T) {
				t.Parallel()
				n := poison(t)
				n.under(time.Second)
				n.client.CloseIdleConnections()
				before := n.resources(n.T)
				for _, toxic := range toxics {
					t.Run(toxic.name, func(t *testing.T) {
						n.T, n.answered, n.slowest = t, map[string]int{}, 0
						afflict(t, n.proxies[backend], toxic.body, true)
						n.under(lasts)
						afflict(t, n.proxies[backend], toxic.body, false)
						right, errors, took := n.answered["right"], n.answered["typed error"], n.slowest
						well := n.healthy()
						more := n.settled(before)
						t.Logf("%d right, %d typed errors, the slowest after %s; well again after %s; goroutines %+d",
							right, errors, took.Round(time.Millisecond), well.Round(time.Millisecond), more)
						if right == 0 {
							t.Error("nothing was answered")
						}
						mu.Lock()
						defer mu.Unlock()
						requests, typed, most = requests+right+errors, typed+errors, max(most, more)
						slowest, longest = max(slowest, took), max(longest, well)
					})
				}
				n.T = t
				n.stop(t)
			})
		}
	})
	t.Logf("%d answers, %d of them typed errors, the slowest after %s of %s; well again after %s at most; goroutines %+d at most",
		requests, typed, slowest.Round(time.Millisecond), poisonedDeadline, longest.Round(time.Millisecond), most)
}
