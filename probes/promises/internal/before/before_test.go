package before_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/probes/promises/internal/before"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is measured against works: the breaker opens at half and closes again.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := before.NewBreaker(20, time.Second)
		for i := range 20 {
			if b.Allow() != nil {
				t.Fatal("it is open after", i)
			}
			b.Done(time.Now(), i >= 11)
		}
		if b.Allow() != nil {
			t.Error("it opened at 9 of 20")
		}
		b.Done(time.Now(), true)
		if !errors.Is(b.Allow(), before.ErrOpen) {
			t.Error("it did not open at 10 of 20")
		}
		time.Sleep(time.Second)
		if b.Allow() != nil {
			t.Error("it did not close")
		}
	})
}

// The cache throws out what came first, however often it is read, and sweeps.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		c := before.NewCache(2, 10*time.Second)
		go c.Run(ctx)
		c.Put("a", []byte("1"))
		c.Put("b", []byte("2"))
		c.Get("a")
		c.Put("c", []byte("3"))
		if _, ok := c.Get("a"); ok {
			t.Error("the first is still there")
		}
		if body, ok := c.Get("b"); !ok || string(body) != "2" {
			t.Error("the second is gone")
		}
		time.Sleep(9 * time.Second)
		c.Put("c", []byte("4"))
		time.Sleep(3 * time.Second)
		if _, ok := c.Get("b"); ok {
			t.Error("what has expired is still there")
		}
		if body, ok := c.Get("c"); !ok || string(body) != "4" {
			t.Error("what was put anew is gone")
		}
		if reads, hits := c.Reads(); reads != 5 || hits != 3 {
			t.Errorf("%d reads, %d hits", reads, hits)
		}
		stop()
	})
}

// The calls of one verdict wait for each other; those of two do not.
func TestCallsOneAtATime(t *testing.T) {
	var now, most atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"0x1"}`)
	}))
	defer server.Close()
	source := before.NewSource([]before.Provider{{Name: "a", URL: server.URL}, {Name: "b", URL: server.URL}})
	defer source.Close()
	ask := func(contexts ...context.Context) int64 {
		most.Store(0)
		var wg sync.WaitGroup
		for _, ctx := range contexts {
			for range 4 {
				wg.Go(func() {
					if a, err := source.Call(ctx, "eth_blockNumber"); err != nil || string(a.Result) != `"0x1"` {
						t.Error(a, err)
					}
				})
			}
			wg.Go(func() {
				if answers := source.CallEach(ctx, 3, "eth_blockNumber"); len(answers) != 2 || answers[1].Err != nil {
					t.Error(answers)
				}
			})
		}
		wg.Wait()
		return most.Load()
	}
	one, other := before.OneAtATime(t.Context()), before.OneAtATime(t.Context())
	if n := ask(one); n != 1 {
		t.Errorf("%d at once in one verdict", n)
	}
	if n := ask(one, other); n != 2 {
		t.Errorf("%d at once in two verdicts", n)
	}
}

// The pool writes and reads the ledger's own table.
func TestPool(t *testing.T) {
	path, registry := filepath.Join(t.TempDir(), "ledger.db"), settings.NewRegistry()
	gate := pool.NewGate(pool.Declare(registry, 2), prometheus.NewRegistry())
	l, err := store.OpenSQLite(t.Context(), store.Declare(registry), path, gate, prometheus.NewRegistry(), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	defer func() { l.Stop(); _ = l.Close() }()
	p, err := before.OpenPool(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.DB.Close()
	r := store.Record{ID: "1", Kind: "block", Subject: "17", Outcome: "valid", ChainID: 1, At: time.Now(), Body: []byte(`{}`)}
	if err := errors.Join(p.Write(t.Context(), r), p.Write(t.Context(), r), p.Find(t.Context(), p.DB, "17")); err != nil {
		t.Fatal(err)
	}
	if found, err := l.Find(t.Context(), store.Query{Subject: "17"}); err != nil || len(found) != 1 {
		t.Error(found, err)
	}
}
