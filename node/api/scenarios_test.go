package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/upstream/head"
)

// The scenarios ask the gateway every kind of question in front of providers of which some
// are bad in one way. A cell is a behaviour, a number of providers, and a question. What is
// right is computed from the chain itself, at the block that the gateway names as its
// newest.

// world is the chains that the scenarios run on, which stand still. The bad ones come in
// pairs: one for each of two bad providers.
type world struct {
	real                 *devchain.Chain
	forks, deep, foreign func() []*devchain.Chain
	oracle               *devchain.Provider // in front of the real one
	sent                 atomic.Int64
}

func newWorld(t *testing.T) *world {
	cfg := devchain.Config{Seed: 5, Prefill: 94, Traffic: true, MinTx: 2, MaxTx: 4, Reverts: 0.2, GenesisTime: time.Now().Add(-time.Hour)}
	make := func(cfg devchain.Config, depths ...int) *devchain.Chain {
		c, err := devchain.NewChain(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, depth := range depths {
			if err := c.Reorg(depth); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	foreign := cfg
	foreign.ChainID, foreign.Seed = 5, 6
	pair := func(cfg devchain.Config, depths ...int) func() []*devchain.Chain {
		return sync.OnceValue(func() []*devchain.Chain {
			return []*devchain.Chain{make(cfg, depths...), make(cfg, append(depths, depths...)...)}
		})
	}
	w := &world{real: make(cfg), forks: pair(cfg, 3), deep: pair(cfg, 70), foreign: pair(foreign)}
	w.oracle = w.provider(t, w.real, "oracle")
	return w
}

func (w *world) provider(t testing.TB, c *devchain.Chain, name string) *devchain.Provider {
	p, err := devchain.NewProvider(c, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// truth is what the chain says, as a whole JSON-RPC answer.
func (w *world) truth(t testing.TB, body string) (a rpc) {
	t.Helper()
	recorder := httptest.NewRecorder()
	w.oracle.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	if err := json.Unmarshal(recorder.Body.Bytes(), &a); err != nil {
		t.Fatalf("%v: %s", err, recorder.Body)
	}
	return a
}

// scene is the API in front of some providers, the first of which are honest unless bad says
// so.
type scene struct {
	*rig
	*world
	behaviour
	bad    []int
	honest int
}

// answersAfter is how long the honest wait: who answers first is asked first.
const answersAfter = 2 * time.Millisecond

func (w *world) scene(t *testing.T, b behaviour, providers int, bad []int, with map[string]string) *scene {
	net := &devchain.Net{Chain: w.real}
	which := map[int]int{}
	for n, i := range bad {
		which[i] = n
	}
	for i := range providers {
		chain := w.real
		if n, ok := which[i]; ok && b.chain != nil {
			chain = b.chain(w)[n]
		}
		net.Providers = append(net.Providers, w.provider(t, chain, fmt.Sprint(i)))
	}
	s := &scene{world: w, behaviour: b, bad: bad, honest: providers - len(bad), rig: &rig{TB: t, net: net, registry: settings.NewRegistry(), breakers: map[string]*breaker.Breaker{},
		observer: &observer{}, client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}}
	o := options{with: map[string]string{"upstream.chain_id": fmt.Sprint(w.real.ChainID())},
		faults: func(i int) devchain.Fault {
			switch n, ok := which[i]; {
			case ok && n > 0 && b.alike:
				return devchain.Fault{Stale: 3}
			case ok:
				return b.fault
			}
			return devchain.Fault{Latency: answersAfter}
		},
		url: func(i int, own string) string {
			n, ok := which[i]
			if !ok || n > 0 && b.alike {
				return own
			}
			server := httptest.NewServer(b.handler(t, w, n, net.Providers[i]))
			t.Cleanup(server.Close)
			return server.URL
		},
	}
	for _, more := range []map[string]string{b.with, with} {
		for k, v := range more {
			o.with[k] = v
		}
	}
	s.build(o)
	return s
}

// ready waits until the honest providers are known, and a head with what is final.
func (s *scene) ready() {
	s.Helper()
	lost := s.headless && s.honest == 1
	s.await("the honest providers", func() bool {
		healthy := 0
		for i, st := range s.set.Status() {
			bad := false
			for _, b := range s.bad {
				bad = bad || b == i
			}
			if !bad && st.Healthy && st.Head != 0 {
				healthy++
			}
		}
		return healthy == s.honest
	})
	if !lost {
		s.await("a head, and what is final", func() bool {
			m := s.set.Heads().Now()
			return m != nil && (m.Tagged || m.Final.Number != 0 || m.Trust == head.Single)
		})
	}
}

// same says whether two JSON texts mean the same.
func same(t testing.TB, a, b json.RawMessage) bool {
	var x, y any
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return json.Unmarshal(a, &x) == nil && reflect.DeepEqual(x, y)
}

// verdict on one answer.
type outcome uint8

const (
	right outcome = iota
	wrong
	failed // with an error that says so
)

// judge compares an answer with the truth.
func (s *scene) judge(got rpc, c cell) (outcome, string) {
	if got.Error != nil {
		switch {
		case got.Error.Code == 0 || got.Error.Message == "" || got.Result != nil:
			return wrong, fmt.Sprintf("the error is none: %+v", got.Error)
		case c.want.Error != nil:
			return right, ""
		}
		return failed, fmt.Sprintf("HTTP %d: %d %s", got.status, got.Error.Code, got.Error.Message)
	}
	if c.want.Error != nil {
		return wrong, fmt.Sprintf("%.300s instead of an error", got.Result)
	}
	if c.anyOf != nil {
		if reason := c.anyOf(got.Result); reason != "" {
			return wrong, reason
		}
		return right, ""
	}
	if !same(s, got.Result, c.want.Result) {
		return wrong, fmt.Sprintf("%.300s\n\tinstead of %.300s", got.Result, c.want.Result)
	}
	return right, ""
}

// newest asks for the newest block, which must be one that a quorum has.
func (s *scene) newest() (number uint64, known bool) {
	s.Helper()
	got := s.call(request("eth_blockNumber"))
	if got.Error != nil {
		if s.honest > 1 || !s.headless && len(s.bad) == 0 {
			s.Errorf("eth_blockNumber: %d %+v", got.status, got.Error)
		}
		return 0, false
	}
	var n hexutil.Uint64
	if err := json.Unmarshal(got.Result, &n); err != nil {
		s.Errorf("eth_blockNumber: %s", got.Result)
		return 0, false
	}
	if head, _ := s.real.Head(); uint64(n) > head || s.honest > 1 && uint64(n) != head {
		s.Errorf("eth_blockNumber: %d where the chain has %d", n, head)
	}
	return uint64(n), true
}

// numbers of providers, and which of them are bad.
var casts = []struct {
	providers int
	bad       []int
}{{1, nil}, {2, []int{0}}, {3, []int{1}}, {5, []int{2}}, {5, []int{0, 3}}}

// turn says whether the i-th of what is tried has its turn with the n-th of so many ways. In
// the long form of the tests all are tried in all ways.
func turn(i, n, ways int) bool { return os.Getenv("BIZRA_TEST_LONG") == "1" || i%ways == n%ways }

func TestScenarios(t *testing.T) {
	w := newWorld(t)
	var cells, errs atomic.Int64
	t.Cleanup(func() { t.Logf("%d cells, %d of them answered with an error", cells.Load(), errs.Load()) })
	type planned struct {
		name  string
		start func(t *testing.T) *scene
	}
	var plan []planned
	for n, cast := range casts {
		for i, b := range behaviours {
			if n > 0 && !turn(i, n, len(casts)-1) {
				continue
			}
			name := fmt.Sprintf("%d of %d %s", len(cast.bad), cast.providers, b.name)
			if len(cast.bad) == 0 {
				if b.name != behaviours[0].name {
					continue
				}
				b, name = behaviour{}, "one honest"
			}
			start := func(t *testing.T) *scene { return w.scene(t, b, cast.providers, cast.bad, nil) }
			if cast.providers == 2 && b.silent {
				// One provider is not believed in the first three seconds: they pass for all at once.
				s := start(t)
				start = func(t *testing.T) *scene { s.TB = t; return s }
			}
			plan = append(plan, planned{name, start})
		}
	}
	for _, p := range slices.Backward(plan) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := p.start(t)
			s.ready()
			n, e := s.play()
			cells.Add(int64(n))
			errs.Add(int64(e))
		})
	}
}

// play asks all questions, those that wait for a block or for a head all at once. It returns
// how many there were, and how many errors.
func (s *scene) play() (asked, errs int) {
	s.Helper()
	head, _ := s.real.Head()
	known := !s.headless || s.honest > 1
	if known {
		head, known = s.newest()
	}
	list := s.cells(head)
	got := make([]rpc, len(list))
	var late []int
	for i, c := range list {
		if !known || strings.Contains(c.name, "not there yet") {
			late = append(late, i)
			continue
		}
		got[i] = s.call(c.body)
	}
	var next atomic.Int64
	s.together(len(late), func() { i := late[next.Add(1)-1]; got[i] = s.call(list[i].body) })
	for i, c := range list {
		switch o, why := s.judge(got[i], c); {
		case o == wrong:
			s.Errorf("%s: %s", c.name, why)
		case o == failed && s.honest > 1:
			s.Errorf("%s: an error where %d providers are honest: %s", c.name, s.honest, why)
		case o == failed:
			errs++
		}
	}
	return len(list), errs
}
