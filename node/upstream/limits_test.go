package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/upstream"
)

// answering answers every request as it is told, and counts them.
func answering(t *testing.T, answer func(w http.ResponseWriter, method string, id json.RawMessage)) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			ID     json.RawMessage
			Method string
		}
		if json.NewDecoder(r.Body).Decode(&q) == nil {
			asked.Add(1)
			answer(w, q.Method, q.ID)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func number(w http.ResponseWriter, _ string, id json.RawMessage) {
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x1"}`, id)
}

// A provider that answered 429 with Retry-After was polled four times a second all the
// same. It is left alone for as long as it asks, by calls, polls and probes.
func TestAProviderThatAsksToWaitIsLeftAlone(t *testing.T) {
	var busy atomic.Bool
	url, asked := answering(t, func(w http.ResponseWriter, method string, id json.RawMessage) {
		if busy.Load() {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		number(w, method, id)
	})
	r := set(t, []string{url}, map[string]string{"upstream.poll_every": "100ms"})
	r.run(t)
	eventually(t, "the provider to be well", func() bool { return r.Status()[0].Healthy })
	busy.Store(true)
	eventually(t, "it to ask to wait", func() bool { return r.Status()[0].State == "asked to wait" })
	before, began := asked.Load(), time.Now()
	busy.Store(false)
	for range 20 {
		_, err := r.Call(t.Context(), upstream.Question{Method: "eth_blockNumber", Params: json.RawMessage("[]")})
		if time.Since(began) < 2*time.Second && !errors.Is(err, upstream.ErrUnavailable) {
			t.Errorf("a call went on: %v", err)
		}
	}
	if n := asked.Load() - before; time.Since(began) < 2*time.Second && n > 1 { // one may have been on its way
		t.Errorf("it was asked %d times", n)
	}
	eventually(t, "it to be asked again", func() bool { return r.Status()[0].Healthy && asked.Load() > before })
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was asked again after %s", took)
	}
}

// A provider has a bound of calls under way; beyond it the next provider is asked, and
// where all have that many, the call is refused at once and no breaker is told.
func TestAProviderHasABoundOfCalls(t *testing.T) {
	release := make(chan struct{})
	var urls []string
	for range 2 {
		url, _ := answering(t, func(w http.ResponseWriter, method string, id json.RawMessage) {
			if method == "eth_call" {
				<-release
			}
			number(w, method, id)
		})
		urls = append(urls, url)
	}
	r := set(t, urls, map[string]string{"upstream.max_calls": "2", "upstream.attempt_timeout": "30s", "upstream.deadline": "30s"})
	defer r.runOnce(t)
	var held sync.WaitGroup
	for range 4 {
		held.Go(func() {
			if _, err := r.Call(t.Context(), upstream.Question{Method: "eth_call", Params: json.RawMessage("[]")}); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "both to have two calls", func() bool { s := r.Status(); return s[0].InFlight == 2 && s[1].InFlight == 2 })
	for range 50 {
		if _, err := r.Call(t.Context(), upstream.Question{Method: "eth_call", Params: json.RawMessage("[]")}); !errors.Is(err, upstream.ErrOverload) {
			t.Fatalf("%v", err)
		}
	}
	close(release)
	held.Wait()
	for _, s := range r.Status() {
		if s.Failures > 0 || !s.Healthy {
			t.Errorf("%+v", s)
		}
	}
	if _, err := r.Call(t.Context(), upstream.Question{Method: "eth_call", Params: json.RawMessage("[]")}); err != nil {
		t.Error(err)
	}
}

// 256 providers can be configured and are all asked when the others fail; one more is
// refused.
func TestThereMayBe256Providers(t *testing.T) {
	var failing atomic.Int64
	bad, _ := answering(t, func(w http.ResponseWriter, _ string, _ json.RawMessage) {
		failing.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})
	good, _ := answering(t, number)
	var urls []string
	for range 255 {
		urls = append(urls, bad)
	}
	urls = append(urls, good)
	r := set(t, urls, map[string]string{"upstream.attempts": "10", "upstream.retry_budget": "1"})
	defer r.runOnce(t)
	if r.Len() != 256 {
		t.Fatal(r.Len())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answers := r.CallEach(ctx, 256, upstream.Question{Method: "eth_blockNumber", Params: json.RawMessage("[]")})
	if len(answers) != 256 {
		t.Errorf("%d answers", len(answers))
	}
	reg := settings.NewRegistry()
	upstream.Declare(reg)
	var named []string
	for i := range 257 {
		named = append(named, fmt.Sprintf("p%d=%s", i, good))
	}
	err := reg.Load(settings.SourceFile, []settings.Change{{Key: "upstream.providers", Value: strings.Join(named, ",")}})
	if err == nil || !strings.Contains(err.Error(), "256") {
		t.Errorf("257 providers: %v", err)
	}
}

// eventually waits for what happens in the background, ten seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("never: " + what)
}
