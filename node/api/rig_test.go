package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/validation"
)

// Otter ends its goroutine when the cache is collected, which is not asked for.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"))
}

// The secrets in every provider's address; no answer may hold one of them.
const (
	password = "hunter2"
	pathKey  = "k3y-of-the-path"
)

// rig is the API on real parts: a chain with providers over loopback HTTP, L1,
// an embedded ledger, the validator.
type rig struct {
	testing.TB
	url      string
	net      *devchain.Net
	set      *upstream.Set
	server   *api.Server
	registry *settings.Registry
	breakers map[string]*breaker.Breaker
	client   *http.Client
	observer *observer
}

// options say what differs from an honest chain of three providers.
type options struct {
	with   map[string]string                   // settings
	faults func(provider int) devchain.Fault   // from the first request on
	url    func(provider int, u string) string // puts something in between
}

func start(t testing.TB, o options) *rig {
	t.Helper()
	net, err := devchain.Start(context.Background(), devchain.Config{Seed: 5, Prefill: 12, Traffic: true, MinTx: 3, MaxTx: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := net.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{TB: t, net: net, registry: settings.NewRegistry(), breakers: map[string]*breaker.Breaker{}, observer: &observer{},
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	r.build(o)
	return r
}

func (r *rig) build(o options) {
	r.Helper()
	reg := r.registry
	var (
		apiSettings      = api.Declare(reg)
		upstreamSettings = upstream.Declare(reg)
		verdictSettings  = validation.Declare(reg)
		verifySettings   = verify.Declare(reg, verdictSettings)
		cacheSettings    = cache.Declare(reg)
		poolSettings     = pool.Declare(reg, 2)
		breakerSettings  = breaker.Declare(reg, "upstream")
	)
	var providers []string
	for i, u := range r.net.URLs() {
		if o.faults != nil {
			r.net.Providers[i].SetFault(o.faults(i))
		}
		if o.url != nil {
			u = o.url(i, u)
		}
		u = strings.Replace(u, "http://", "http://user:"+password+"@", 1)
		providers = append(providers, fmt.Sprintf("dev-%c=%s/%s", 'a'+i, u, pathKey))
	}
	with := map[string]string{
		"upstream.providers": strings.Join(providers, ","), "upstream.chain_id": fmt.Sprint(r.net.Chain.ChainID()),
		// Requests are counted, so none may be made on the side but the first one,
		// which asks for the chain.
		"upstream.hedge_after": "1", "upstream.poll_every": "60s",
		"api.listen": "127.0.0.1:0", "api.drain_timeout": "2s",
	}
	for k, v := range o.with {
		with[k] = v
	}
	var changes []settings.Change
	for k, v := range with {
		changes = append(changes, settings.Change{Key: k, Value: v})
	}
	if err := reg.Load(settings.SourceFile, changes); err != nil {
		r.Fatal(err)
	}

	metrics := prometheus.NewRegistry()
	var err error
	var l1 atomic.Pointer[cache.Cache]
	r.set, err = upstream.New(upstreamSettings, func(name string) *breaker.Breaker {
		r.breakers[name] = breaker.New("upstream/"+name, "upstream", breakerSettings, breaker.WithProber())
		return r.breakers[name]
	}, metrics, nil, upstream.Chain{
		Quorum: verdictSettings.Quorum.Get, Depth: verdictSettings.ConfirmationsFinal.Get,
		Moved: func() {
			if c := l1.Load(); c != nil {
				c.Moved()
			}
		},
	})
	if err != nil {
		r.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.set.Run(ctx) })
	r.Cleanup(func() { stop(); running.Wait() })

	gate := pool.NewGate(poolSettings, metrics)
	ledger, err := store.OpenSQLite(ctx, store.Declare(r.registry), filepath.Join(r.TempDir(), "ledger.db"), gate, metrics, func(string, string) {})
	if err != nil {
		r.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(ledger.Run)
	r.Cleanup(func() {
		ledger.Stop()
		writing.Wait()
		if err := ledger.Close(); err != nil {
			r.Error(err)
		}
	})
	kept, err := cache.New(cacheSettings, nil, r.set.Heads().Canonical, metrics)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(kept.Close)
	l1.Store(kept)
	prover := verify.New(source{r.set}, chain{r.set.Heads()}, r.net.Chain.ChainID(), verifySettings, metrics, func(provider, reason string, a verify.Answer) {
		r.set.Distrust(provider, reason)
		kept.Moved()
	})
	running.Go(func() { prover.Run(ctx) })
	server, err := api.New(apiSettings, api.Parts{
		Prover:    prover,
		Validator: validation.New(source{r.set}, r.net.Chain.ChainID(), verdictSettings, metrics),
		Cache:     kept, Upstreams: r.set, Ledger: ledger, Registry: metrics, Bodies: memory.NewBudget(apiSettings.MaxBodies.Get, metrics),
		Health:   r.health,
		Observer: r.observer,
	})
	if err != nil {
		r.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	r.Cleanup(func() {
		r.client.CloseIdleConnections()
		_ = server.Shutdown() // a test that leaves requests hanging has its own reasons
		if err := <-served; err != nil {
			r.Error(err)
		}
	})
	r.server, r.url = server, "http://"+server.Address()
	if o.faults == nil {
		r.await("the providers", func() bool {
			return !slices.ContainsFunc(r.set.Status(), func(s upstream.Status) bool { return !s.Healthy })
		})
		// What the watch asks at the start must not be counted as what requests cost.
		r.await("a head, and what is final", func() bool {
			before := r.requests()
			time.Sleep(30 * time.Millisecond)
			m := r.set.Moment()
			return m != nil && m.Tagged && r.requests() == before
		})
	}
}

// proved makes a call until its answer is one that was proved.
func (r *rig) proved(body string) {
	r.Helper()
	r.await("a proof of "+body, func() bool { return r.send("POST", "/", body).header.Get("X-Verified") == "proof" })
}

// unverified turns proofs off, for tests that count what providers are asked.
var unverified = map[string]string{"gateway.verify.blocks": "off", "gateway.verify.transactions": "off", "gateway.verify.receipts": "off",
	"gateway.verify.logs": "off", "gateway.verify.state": "off"}

func (r *rig) health() api.Health {
	h := api.Health{Status: api.Pass, Ready: true, Checks: map[string][]api.HealthPart{api.CheckDatabase: {{Component: "sqlite", Status: api.Pass}}}}
	up := 0
	for _, s := range r.set.Status() {
		part := api.HealthPart{Component: s.Name, Status: api.Fail, Output: s.State + " " + s.LastError}
		if s.Healthy {
			part = api.HealthPart{Component: s.Name, Status: api.Pass}
			up++
		}
		h.Checks[api.CheckUpstreams] = append(h.Checks[api.CheckUpstreams], part)
	}
	if up == 0 {
		h.Status, h.Ready, h.Output = "fail", false, "no provider can be asked"
	}
	return h
}

// observer answers every query with one sample, the same for the same query.
type observer struct {
	mu      sync.Mutex
	queries map[string]int
	wait    time.Duration // before each answer
}

func (o *observer) Query(ctx context.Context, expr string) ([]api.Sample, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queries == nil {
		o.queries = map[string]int{}
	}
	o.queries[expr]++
	time.Sleep(o.wait)
	switch expr {
	case "bad(":
		return nil, errors.New("parse error:\n\x1b[31mno")
	case "nothing":
		return nil, nil
	case "zero", "rate(bizra_http_shed_total[1m])":
		return []api.Sample{{}}, nil
	}
	return []api.Sample{{Labels: map[string]string{"a": "b"}, Value: float64(len(expr))}}, ctx.Err()
}

func (o *observer) Panel(id string) (string, bool) { return "panel " + id, id == "known" }

func encode(params []any) json.RawMessage {
	if len(params) == 0 {
		return json.RawMessage("[]")
	}
	raw, err := json.Marshal(params)
	if err != nil {
		panic(err) // parameters are strings, booleans and maps of them
	}
	return raw
}

func (r *rig) await(what string, done func() bool) {
	r.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("waited in vain for %s", what)
		}
	}
}

func (r *rig) fault(f devchain.Fault, providers ...int) {
	if len(providers) == 0 {
		providers = []int{0, 1, 2}
	}
	for _, i := range providers {
		r.net.Providers[i].SetFault(f)
	}
}

// requests returns how many requests the providers have received in all.
func (r *rig) requests() (n uint64) {
	for _, p := range r.net.Providers {
		n += p.Requests()
	}
	return n
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes a request. It may be called from any goroutine.
func (r *rig) send(method, path, body string) answer {
	r.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.Error(err)
		return answer{}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Error(err)
	}
	for _, secret := range []string{password, pathKey, base64.RawStdEncoding.EncodeToString([]byte("user:" + password))} {
		if bytes.Contains(data, []byte(secret)) || strings.Contains(fmt.Sprint(resp.Header), secret) {
			r.Errorf("%s %s shows a provider's secret: %s", method, path, data)
		}
	}
	return answer{resp.StatusCode, resp.Header, data}
}

func (r *rig) get(path string) answer { r.Helper(); return r.send(http.MethodGet, path, "") }

// rpc is a JSON-RPC answer.
type rpc struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Code    int
		Message string
		Data    json.RawMessage
	} `json:"error"`
	status int
}

// call sends a JSON-RPC body and reads the answer.
func (r *rig) call(body string) rpc {
	r.Helper()
	a := r.send(http.MethodPost, "/", body)
	var out rpc
	if err := json.Unmarshal(a.body, &out); err != nil {
		r.Errorf("%s: %d, %v: %s", body, a.status, err, a.body)
	}
	out.status = a.status
	return out
}

func request(method string, params ...any) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, encode(params))
}

// verdict asks for a verdict and expects one.
func (r *rig) verdict(path string) (validation.Verdict, answer) {
	r.Helper()
	a := r.get(path)
	var v validation.Verdict
	if err := json.Unmarshal(a.body, &v); err != nil || v.ID == "" {
		r.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	return v, a
}

func (r *rig) transaction() string { return r.net.Chain.RecentTransactions(1)[0] }

// detail reads a problem document.
func detail(t testing.TB, a answer) string {
	t.Helper()
	var p struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(a.body, &p); err != nil || p.Status != a.status || p.Title == "" || p.Detail == "" ||
		a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("not a problem document: %d %v %s", a.status, a.header, a.body)
	}
	return p.Detail
}
