package upstream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bizra/bizra-top/node/upstream"
)

// at is a provider whose head is at a height, and that answers all else with its name.
func at(t *testing.T, height uint64, name string) string {
	url, _ := answering(t, func(w http.ResponseWriter, method string, id json.RawMessage) {
		switch method {
		case "eth_blockNumber":
			gives(fmt.Sprintf(`"0x%x"`, height))(w, id)
		case "eth_chainId":
			gives(`"0x1"`)(w, id)
		default:
			gives(`"`+name+`"`)(w, id)
		}
	})
	return url
}

func heights(t *testing.T, with map[string]string, heads ...uint64) rig {
	t.Helper()
	var urls []string
	for i, h := range heads {
		urls = append(urls, at(t, h, fmt.Sprintf("p%d", i)))
	}
	r := set(t, urls, with)
	r.run(t)
	eventually(t, "the heads", func() bool {
		return !slices.ContainsFunc(r.Status(), func(s upstream.Status) bool { return s.Head == 0 || !s.Healthy })
	})
	return r
}

// A provider that is behind answers null for what it has not reached. It is not asked for
// that, neither by a call nor for a quorum.
func TestAProviderThatIsBehindIsNotAsked(t *testing.T) {
	r := heights(t, nil, 1000, 1003)
	q := upstream.Question{Method: "eth_getBlockByNumber", Params: json.RawMessage(`["0x3ea",false]`), Height: 1002}
	for range 20 {
		if a, err := r.Call(t.Context(), q); err != nil || a.Provider != "p1" {
			t.Fatalf("%s %v", a.Provider, err)
		}
	}
	if all := r.CallEach(t.Context(), 2, q); len(all) != 1 || all[0].Provider != "p1" {
		t.Errorf("%+v", all)
	}
	if err := r.Drain("p1", true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Call(t.Context(), q); errors.Is(err, upstream.ErrHeight) || err == nil || !strings.Contains(err.Error(), "p0 behind, p1 drained") {
		t.Errorf("who has reached it is drained: %v", err)
	}
	_ = r.Drain("p1", false)
	q.Height = 2000
	_, err := r.Call(t.Context(), q)
	var height *upstream.HeightError
	if !errors.Is(err, upstream.ErrHeight) || !errors.As(err, &height) || height.Height != 2000 {
		t.Errorf("%v", err)
	}
	if all := r.CallEach(t.Context(), 2, q); len(all) != 1 || !errors.Is(all[0].Err, upstream.ErrHeight) {
		t.Errorf("%+v", all)
	}
	if _, err := r.Broadcast(t.Context(), q, 2); !errors.Is(err, upstream.ErrHeight) {
		t.Errorf("%v", err)
	}
}

func TestWhoIsExceptedIsNotAsked(t *testing.T) {
	r := heights(t, nil, 100, 100, 100)
	q := balance
	q.Except = []string{"p0", "p2", "nobody"}
	for range 10 {
		if a, err := r.Call(t.Context(), q); err != nil || a.Provider != "p1" {
			t.Fatalf("%s %v", a.Provider, err)
		}
	}
	q.Except = []string{"p0", "p1", "p2"}
	if _, err := r.Call(t.Context(), q); !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// upstream.archive says who keeps old states: no other is asked for them.
func TestOldStatesAreAskedOfWhoKeepsThem(t *testing.T) {
	r := heights(t, map[string]string{"upstream.archive": "p2"}, 1000, 1000, 1000)
	for height, want := range map[uint64][]string{0: {"p0", "p1", "p2"}, 1000: {"p0", "p1", "p2"}, 900: {"p0", "p1", "p2"}, 872: {"p2"}, 1: {"p2"}} {
		got := map[string]bool{}
		q := upstream.Question{Method: "eth_getBalance", Params: json.RawMessage("[]"), Height: height, State: true}
		for _, a := range r.CallEach(t.Context(), 3, q) {
			got[a.Provider] = true
		}
		if len(got) != len(want) || !got["p2"] {
			t.Errorf("state at %d was asked of %v", height, got)
		}
	}
	if s := r.Status(); !slices.Equal(s[0].Lacks, []string{"pruned below 128"}) || !slices.Equal(s[2].Lacks, []string{"archive"}) {
		t.Errorf("%q %q", s[0].Lacks, s[2].Lacks)
	}
}

// What a provider lacks is bounded, in the words of many methods too.
func TestWhatIsLearnedIsBounded(t *testing.T) {
	var asked atomic.Int64
	url, _ := answering(t, func(w http.ResponseWriter, _ string, id json.RawMessage) {
		asked.Add(1)
		says(200, -32601, "Method not found")(w, id)
	})
	r := set(t, []string{url, url}, nil)
	defer r.runOnce(t)
	for i := range 100 {
		if _, err := r.Call(t.Context(), upstream.Question{Method: fmt.Sprintf("eth_x%d", i), Params: json.RawMessage("[]")}); err == nil {
			t.Fatal("no error")
		}
	}
	if n := len(r.Status()[0].Lacks); n != 64 {
		t.Errorf("%d methods are remembered", n)
	}
	before := asked.Load()
	if _, err := r.Call(t.Context(), upstream.Question{Method: "eth_x99", Params: json.RawMessage("[]")}); err == nil || asked.Load() != before+1 {
		t.Errorf("%v after %d requests: all are known not to have it", err, asked.Load()-before)
	}
	for i := range 3 {
		_, _ = r.Call(t.Context(), upstream.Question{Method: fmt.Sprintf("debug_x%d", i), Params: json.RawMessage("[]")})
	}
	if words := strings.Join(r.Status()[0].Lacks, ", "); !strings.HasPrefix(words, "no debug_*, no eth_x") {
		t.Errorf("%s", words)
	}
}

// A provider that has got what it lacked is asked as before.
func TestWhatIsLearnedIsForgotten(t *testing.T) {
	var lacks atomic.Bool
	lacks.Store(true)
	url, _ := answering(t, func(w http.ResponseWriter, _ string, id json.RawMessage) {
		if lacks.Load() {
			says(200, -32601, "Method not found")(w, id)
			return
		}
		gives("1")(w, id)
	})
	r := set(t, []string{url}, nil)
	defer r.runOnce(t)
	if _, err := r.Call(t.Context(), balance); err == nil || len(r.Status()[0].Lacks) != 1 {
		t.Fatalf("%v %v", err, r.Status()[0].Lacks)
	}
	lacks.Store(false)
	if _, err := r.Call(t.Context(), balance); err != nil || len(r.Status()[0].Lacks) != 0 {
		t.Fatalf("%v %v", err, r.Status()[0].Lacks)
	}
}
