package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*upstream.Set
	net      *devchain.Net
	registry *settings.Registry
	metrics  *prometheus.Registry
	breakers map[string]*breaker.Breaker
}

// build starts a chain with providers p0, p1, … and a set of them.
func build(t *testing.T, providers int, with map[string]string) rig {
	t.Helper()
	net, err := devchain.Start(context.Background(), devchain.Config{Prefill: 5, Providers: providers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = net.Close() })
	r := set(t, net.URLs(), with)
	r.net = net
	return r
}

func set(t testing.TB, urls []string, with map[string]string) rig {
	t.Helper()
	reg := settings.NewRegistry()
	s, bs := upstream.Declare(reg), breaker.Declare(reg, "upstream")
	var list []string
	for i, u := range urls {
		list = append(list, fmt.Sprintf("p%d=%s", i, u))
	}
	changes := []settings.Change{{Key: "upstream.providers", Value: strings.Join(list, ",")}, {Key: "upstream.hedge_after", Value: "1"}}
	for k, v := range with {
		changes = append(changes, settings.Change{Key: k, Value: v})
	}
	if err := reg.Load(settings.SourceFile, changes); err != nil {
		t.Fatal(err)
	}
	r := rig{registry: reg, metrics: prometheus.NewRegistry(), breakers: map[string]*breaker.Breaker{}}
	var err error
	r.Set, err = upstream.New(s, func(name string) *breaker.Breaker {
		r.breakers[name] = breaker.New("upstream/"+name, "upstream", bs, breaker.WithProber())
		return r.breakers[name]
	}, r.metrics, nil, upstream.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run watches the providers until the test ends.
func (r rig) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func (r rig) number(ctx context.Context) error {
	_, err := r.Call(ctx, upstream.Question{Method: "eth_blockNumber", Params: json.RawMessage("[]")})
	return err
}

func TestAFailingProviderIsReplacedWithinTheCall(t *testing.T) {
	for name, fault := range map[string]devchain.Fault{
		"500":   {ErrorRate: 1},
		"429":   {ErrorRate: 1, Status: 429},
		"reset": {Reset: true},
		"html":  {HTML: true},
		"hang":  {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := build(t, 2, map[string]string{"upstream.attempt_timeout": "200ms"})
			r.net.Providers[0].SetFault(fault)
			for range 5 {
				if err := r.number(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestFailuresAndAttemptsAreCounted(t *testing.T) {
	for kind, fault := range map[string]devchain.Fault{
		upstream.KindStatus: {ErrorRate: 1}, upstream.KindConnection: {Reset: true}, upstream.KindTimeout: {Hang: true},
		upstream.KindMalformed: {ErrorRate: 1, Status: 200}, upstream.KindOversized: {Oversized: 1 << 20},
	} {
		t.Run(kind, func(t *testing.T) {
			r := build(t, 2, map[string]string{"upstream.attempt_timeout": "200ms", "upstream.max_body": "64KiB"})
			r.net.Providers[0].SetFault(fault)
			if err := r.number(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := `
				# HELP bizra_upstream_attempts Attempts a call took, retries and hedges included; 0 when no provider could be asked.
				# TYPE bizra_upstream_attempts histogram
				bizra_upstream_attempts_bucket{le="0"} 0
				bizra_upstream_attempts_bucket{le="1"} 0
				bizra_upstream_attempts_bucket{le="2"} 1
				bizra_upstream_attempts_bucket{le="3"} 1
				bizra_upstream_attempts_bucket{le="4"} 1
				bizra_upstream_attempts_bucket{le="6"} 1
				bizra_upstream_attempts_bucket{le="8"} 1
				bizra_upstream_attempts_bucket{le="+Inf"} 1
				bizra_upstream_attempts_sum 2
				bizra_upstream_attempts_count 1
				# HELP bizra_upstream_retry_budget_in_use Retries and hedges under way.
				# TYPE bizra_upstream_retry_budget_in_use gauge
				bizra_upstream_retry_budget_in_use 0
				`
			if err := testutil.GatherAndCompare(r.metrics, strings.NewReader(want), "bizra_upstream_attempts", "bizra_upstream_retry_budget_in_use"); err != nil {
				t.Error(err)
			}
			families, err := r.metrics.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					if f.GetName() != "bizra_upstream_failures_total" {
						continue
					}
					labels := map[string]string{}
					for _, l := range m.GetLabel() {
						labels[l.GetName()] = l.GetValue()
					}
					want := 0.0
					if labels["provider"] == "p0" && labels["kind"] == kind {
						want = 1
					}
					if m.GetCounter().GetValue() != want {
						t.Errorf("%v: %g", labels, m.GetCounter().GetValue())
					}
				}
			}
		})
	}
}

func TestDeadlineIsSharedAndKept(t *testing.T) {
	r := build(t, 3, map[string]string{"upstream.attempt_timeout": "150ms", "upstream.deadline": "400ms"})
	for _, p := range r.net.Providers {
		p.SetFault(devchain.Fault{Hang: true})
	}
	began := time.Now()
	err := r.number(t.Context())
	if took := time.Since(began); err == nil || took > 600*time.Millisecond {
		t.Fatalf("%v after %s", err, took)
	}
}

func TestOpenBreakersAnswerAtOnce(t *testing.T) {
	r := build(t, 2, nil)
	for _, b := range r.breakers {
		if err := b.Force(breaker.ForcedOpen, "test"); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	err := r.number(t.Context())
	if took := time.Since(began); !errors.Is(err, upstream.ErrUnavailable) || took > 50*time.Millisecond {
		t.Fatalf("%v after %s", err, took)
	}
	if !strings.Contains(err.Error(), "p0 forced-open") {
		t.Fatalf("it does not say why: %v", err)
	}
}

func TestHedgeWinsOverAHungProvider(t *testing.T) {
	r := build(t, 2, map[string]string{"upstream.hedge_after": "0.95", "upstream.hedge_floor": "30ms"})
	r.net.Providers[0].SetFault(devchain.Fault{Hang: true})
	for range 20 {
		began := time.Now()
		if err := r.number(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Fatalf("took %s", took)
		}
	}
	if s := r.Status()[0]; s.Preference == 1 {
		t.Fatalf("the hung provider is still asked first: %+v", s)
	}
}

func TestABreakerOpensAndProbesCloseIt(t *testing.T) {
	r := build(t, 1, map[string]string{"upstream.attempts": "1", "upstream.poll_every": "100ms"})
	r.run(t)
	r.net.Providers[0].SetFault(devchain.Fault{ErrorRate: 1})
	for range 30 {
		_ = r.number(t.Context())
	}
	if s := r.breakers["p0"].State(); s != breaker.Open && s != breaker.HalfOpen {
		t.Fatalf("state %s", s)
	}
	r.net.Providers[0].SetFault(devchain.Fault{})
	back := time.Now()
	for r.breakers["p0"].State() != breaker.Closed {
		if time.Since(back) > 5*time.Second {
			t.Fatalf("still %s", r.breakers["p0"].State())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAWrongChainIsNotAsked(t *testing.T) {
	r := build(t, 2, map[string]string{"upstream.chain_id": "1337"})
	r.net.Providers[0].SetFault(devchain.Fault{ChainID: 5})
	r.run(t)
	for deadline := time.Now().Add(5 * time.Second); r.Status()[0].State != "wrong chain" || !r.Status()[1].Healthy; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", r.Status()[0])
		}
	}
	for range 10 {
		if a, err := r.Call(t.Context(), upstream.Question{Method: "eth_blockNumber", Params: json.RawMessage("[]")}); err != nil || a.Provider != "p1" {
			t.Fatal(a, err)
		}
	}
}

func TestCallEachReplacesWhoFails(t *testing.T) {
	r := build(t, 3, nil)
	r.net.Providers[0].SetFault(devchain.Fault{ErrorRate: 1})
	good := map[string]bool{}
	for _, a := range r.CallEach(t.Context(), 2, upstream.Question{Method: "eth_chainId", Params: json.RawMessage("[]")}) {
		if a.Err == nil {
			good[a.Provider] = true
		}
	}
	if len(good) != 2 {
		t.Fatalf("%v", good)
	}
}

func TestAHungProviderDoesNotHoldUpAQuorum(t *testing.T) {
	r := build(t, 3, map[string]string{"upstream.hedge_after": "0.95", "upstream.hedge_floor": "30ms"})
	r.net.Providers[1].SetFault(devchain.Fault{Hang: true})
	for range 10 {
		began := time.Now()
		good, behind := 0, 0
		for _, a := range r.CallEach(t.Context(), 3, upstream.Question{Method: "eth_chainId", Params: json.RawMessage("[]")}) {
			var f *upstream.Failure
			switch {
			case a.Err == nil:
				good++
			case errors.As(a.Err, &f) && (f.Kind == "slow" || f.Kind == "breaker"):
				behind++
			}
		}
		if took := time.Since(began); good != 2 || took > 2*time.Second {
			t.Fatalf("%d answers, %d left behind, after %s", good, behind, took)
		}
	}
	if s := r.breakers["p1"].Snapshot(); s.Slow == 0 && s.State == breaker.Closed {
		t.Fatalf("being left behind does not count: %+v", s)
	}
}

func TestDrainAndRestore(t *testing.T) {
	r := build(t, 2, nil)
	if err := r.Drain("p0", true); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if a, err := r.Call(t.Context(), upstream.Question{Method: "eth_chainId", Params: json.RawMessage("[]")}); err != nil || a.Provider != "p1" {
			t.Fatal(a, err)
		}
	}
	if r.Drain("nobody", true) == nil {
		t.Fatal("a provider that does not exist was drained")
	}
}

// runOnce lets Run close the idle connections.
func (r rig) runOnce(t testing.TB) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Run(ctx)
}

func TestSecretsInURLsAreNotShown(t *testing.T) {
	r := set(t, []string{"http://user:hunter2@127.0.0.1:1/v3/k3y?key=t0ken"}, map[string]string{"upstream.attempts": "1"})
	err := r.number(t.Context())
	text := fmt.Sprintf("%v %+v", err, r.Status())
	for _, secret := range []string{"hunter2", "k3y", "t0ken"} {
		if strings.Contains(text, secret) {
			t.Fatalf("%q is shown in %s", secret, text)
		}
	}
	reg := settings.NewRegistry()
	upstream.Declare(reg)
	err = reg.Check("upstream.providers", "a=ftp://user:hunter2@host")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("%v", err)
	}
}

func TestDiscover(t *testing.T) {
	r := build(t, 3, nil)
	r.net.Providers[0].SetFault(devchain.Fault{ErrorRate: 1})
	if id, err := r.Discover(t.Context()); id != 1337 || err != nil {
		t.Fatal(id, err)
	}
	r.net.Providers[0].SetFault(devchain.Fault{ChainID: 5})
	r.net.Providers[1].SetFault(devchain.Fault{Latency: 50 * time.Millisecond})
	r.net.Providers[2].SetFault(devchain.Fault{Latency: 50 * time.Millisecond})
	liar := set(t, r.net.URLs(), nil)
	if id, err := liar.Discover(t.Context()); id != 1337 || err != nil {
		t.Fatalf("the fastest decided: %d %v", id, err)
	}
	liar.runOnce(t)
	configured := set(t, []string{"http://127.0.0.1:1"}, map[string]string{"upstream.chain_id": "5"})
	if id, err := configured.Discover(t.Context()); id != 5 || err != nil {
		t.Fatal(id, err)
	}
	unknown := set(t, []string{"http://127.0.0.1:1/k3yk3yk3y"}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := unknown.Discover(ctx); err == nil || !strings.Contains(err.Error(), "upstream.chain_id") || strings.Contains(err.Error(), "k3y") {
		t.Fatal(err)
	}
}

func TestALiarIsToldOfOnceInAWhile(t *testing.T) {
	var told atomic.Int32
	reg := settings.NewRegistry()
	s, bs := upstream.Declare(reg), breaker.Declare(reg, "upstream")
	if err := reg.Load(settings.SourceFile, []settings.Change{{Key: "upstream.providers", Value: "a=http://127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	u, err := upstream.New(s, func(name string) *breaker.Breaker { return breaker.New(name, "upstream", bs) }, prometheus.NewRegistry(),
		func(upstream.Event) { told.Add(1) }, upstream.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		u.Distrust("a", "another hash")
	}
	if n := u.Status()[0].Lies; n != 50 || told.Load() != 1 {
		t.Fatalf("%d lies, told %d times", n, told.Load())
	}
}
