package upstream

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

// picking is a set of three providers, one of which lacks things.
func picking(t testing.TB) *Set {
	reg := settings.NewRegistry()
	s, bs := Declare(reg), breaker.Declare(reg, "upstream")
	if err := reg.Load(settings.SourceFile, []settings.Change{{Key: "upstream.providers", Value: "a=http://a,b=http://b,c=http://c"}}); err != nil {
		t.Fatal(err)
	}
	set, err := New(s, func(name string) *breaker.Breaker { return breaker.New(name, "upstream", bs) }, prometheus.NewRegistry(), nil, Chain{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		set.heads.Run(ctx)
	}()
	for i := range set.providers {
		set.heads.HeardNumber(i, 1000)
	}
	if !set.heads.Await(t.Context(), 1000) {
		t.Fatal("no head")
	}
	stop()
	<-ended
	set.providers[0].abilities.miss("eth_call")
	set.providers[0].abilities.pruned.learn(100)
	set.providers[0].abilities.span.learn(10)
	return set
}

func TestPickAllocatesNothing(t *testing.T) {
	set := picking(t)
	c := call{q: Question{Method: "eth_call", Height: 10, State: true, Span: 100}, deadline: time.Now()}
	if n := testing.AllocsPerRun(100, func() { set.pick(&c) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
	if first, _ := set.pick(&c); first.name == "a" {
		t.Error("who lacks it is asked first")
	}
}

func BenchmarkPick(b *testing.B) {
	set := picking(b)
	c := call{q: Question{Method: "eth_call", Height: 10, State: true}}
	b.ReportAllocs()
	for b.Loop() {
		set.pick(&c)
	}
}

// The error member of an answer may be of any shape.
func FuzzParseError(f *testing.F) {
	for _, seed := range []string{`{"code":3,"message":"execution reverted","data":"0x"}`, `"no"`, `{"code":"429"}`, `{"code":1e400,"message":[1]}`, `[]`, `7`, `{"code":null,"message":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, ok := open(append(append([]byte(`{"error":`), raw...), '}'))
		if !ok || e.err == nil {
			return
		}
		rpc, ok := parseError(e.err)
		if !ok {
			return
		}
		if _, err := json.Marshal(rpc); err != nil {
			t.Errorf("%s became %+v: %v", raw, rpc, err)
		}
	})
}
