//go:build faults

package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/devchain"
)

// p99 asks a thousand times for what is cached.
func (r *rig) p99(body string) time.Duration {
	r.Helper()
	took := make([]time.Duration, 1000)
	for i := range took {
		began := time.Now()
		if got := r.call(body); got.Error != nil {
			r.Fatal(got.Error)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// Five hundred clients send a byte of a header every half second. Each is cut within
// 10 s, and others do not notice: p99 at most twice what it was, or below 5 ms, which is
// what two busy processors make of nothing.
func TestFaultSlowloris(t *testing.T) {
	r := start(t, options{})
	held := request("eth_getBlockByNumber", "0x1", false)
	r.call(held)
	before := r.p99(held)
	address := strings.TrimPrefix(r.url, "http://")
	var wg sync.WaitGroup
	longest := make([]time.Duration, 500)
	for i := range longest {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		began := time.Now()
		wg.Go(func() {
			_ = conn.SetDeadline(began.Add(20 * time.Second))
			wg := sync.WaitGroup{}
			closed := make(chan struct{})
			wg.Go(func() {
				fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: a\r\nX-A: ")
				for {
					select {
					case <-closed:
						return
					case <-time.After(500 * time.Millisecond):
						_, _ = conn.Write([]byte("a")) // the reader sees when it is closed
					}
				}
			})
			_, _ = io.Copy(io.Discard, conn)
			longest[i] = time.Since(began)
			close(closed)
			wg.Wait()
		})
	}
	during := r.p99(held)
	wg.Wait()
	last := slices.Max(longest)
	t.Logf("500 clients cut after %s at most; p99 %s, before %s", last.Round(10*time.Millisecond), during, before)
	if last > 10*time.Second {
		t.Errorf("one was cut after %s", last)
	}
	if during > max(2*before, 5*time.Millisecond) {
		t.Errorf("p99 %s, before %s", during, before)
	}
}

// Twelve blocks are replaced while clients ask for them: once the node has seen it, no
// answer rests on a block that is gone.
func TestFaultDeepReorg(t *testing.T) {
	const depth = 12
	r := start(t, options{with: map[string]string{"upstream.poll_every": "100ms", "validation.quorum": "1"}})
	for range depth {
		if _, err := r.net.Chain.Mine(); err != nil {
			t.Fatal(err)
		}
	}
	head, _ := r.net.Chain.Head()
	hash := func(n uint64) string {
		got := r.call(request("eth_getBlockByNumber", "0x"+strconv.FormatUint(n, 16), false))
		var b struct{ Hash string }
		if got.Error != nil || json.Unmarshal(got.Result, &b) != nil {
			return ""
		}
		return b.Hash
	}
	canonical := func(n uint64) string {
		b, ok := r.net.Chain.Block(n)
		if !ok {
			t.Fatalf("no block %d", n)
		}
		return b.Hash().Hex()
	}
	seen := func(n uint64) bool {
		h, known := r.set.Heads().Canonical(n)
		return known && fmt.Sprintf("%#x", h) == canonical(n)
	}
	r.await("the newest blocks", func() bool { return seen(head) && seen(head-depth) })
	old := map[string]bool{}
	for n := head - depth + 1; n <= head; n++ {
		old[hash(n)] = true
		r.verdict("/v1/blocks/" + strconv.FormatUint(n, 10))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := uint64(0); ; n++ {
				select {
				case <-stop:
					return
				default:
					hash(head - n%depth)
				}
			}
		})
	}
	began := time.Now()
	if err := r.net.Chain.Reorg(depth); err != nil {
		t.Fatal(err)
	}
	r.await("the reorganisation is seen", func() bool {
		for n := head - depth + 1; n <= head; n++ {
			if !seen(n) {
				return false
			}
		}
		return true
	})
	took, asked := time.Since(began), 0
	for range 50 {
		for n := head - depth + 1; n <= head; n++ {
			asked++
			if got := hash(n); old[got] || got != canonical(n) {
				t.Fatalf("block %d is answered as %s, which is gone", n, got)
			}
		}
	}
	for n := head - depth + 1; n <= head; n++ {
		if v, _ := r.verdict("/v1/blocks/" + strconv.FormatUint(n, 10)); v.Block == nil || v.Block.Hash != canonical(n) {
			t.Errorf("the verdict on block %d rests on one that is gone", n)
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("seen after %s; %d answers and %d verdicts afterwards, none stale", took.Round(time.Millisecond), asked, depth)
}

// Half of all calls to every provider fail while 40 clients ask for what nobody knows.
// Each is answered by its deadline, with what is true or a typed error, and the retries
// under way never pass a fifth of the calls. With breakers that stay closed, four attempts
// find an answer for all but one of sixteen; as they are by default, breakers open, which
// leaves little but typed errors, at once.
func TestFaultHalfOfAllCallsFail(t *testing.T) {
	const clients, share, each = 40, 0.2, 25
	for _, c := range []struct {
		name  string
		with  map[string]string
		right float64 // share of the answers, at least
	}{
		{"breakers open", nil, 0.01},
		{"breakers stay closed", map[string]string{"breaker.upstream.failure_ratio": "1", "upstream.attempts": "4"}, 0.85},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := map[string]string{"upstream.retry_budget": fmt.Sprint(share), "api.deadline": "10s"}
			maps.Copy(with, c.with)
			r := start(t, options{with: with})
			r.fault(devchain.Fault{ErrorRate: 0.5, Latency: 5 * time.Millisecond})
			asked, retried := r.requests(), r.metric("bizra_upstream_retries_total")
			var (
				wg             sync.WaitGroup
				mu             sync.Mutex
				right, refused int
				slowest        time.Duration
			)
			stop, watched := make(chan struct{}), make(chan float64)
			go func() {
				most := 0.0
				defer func() { watched <- most }()
				for {
					select {
					case <-stop:
						return
					case <-time.After(2 * time.Millisecond):
						most = max(most, r.metric("bizra_upstream_retry_budget_in_use"))
					}
				}
			}()
			for client := range clients {
				wg.Go(func() {
					for i := range each {
						began := time.Now()
						got := r.call(request("eth_getBalance", fmt.Sprintf("0x%040x", client<<16|i), "latest"))
						took := time.Since(began)
						mu.Lock()
						switch slowest = max(slowest, took); {
						case got.Error == nil && string(got.Result) == `"0x0"`:
							right++
						case got.Error != nil && got.status >= 500 && got.Error.Code != 0 && got.Error.Message != "":
							refused++
						default:
							t.Errorf("%d %s %+v", got.status, got.Result, got.Error)
						}
						mu.Unlock()
						if got.Error != nil {
							time.Sleep(5 * time.Millisecond) // or all would have asked before a breaker closes
						}
					}
				})
			}
			wg.Wait()
			close(stop)
			most := <-watched
			calls := float64(clients * each)
			t.Logf("%s: %d of %.0f calls right, %d typed errors, the slowest after %s; %.2f requests a call, %.0f retries, %.0f of %.0f at once",
				c.name, right, calls, refused, slowest.Round(time.Millisecond), float64(r.requests()-asked)/calls,
				r.metric("bizra_upstream_retries_total")-retried, most, share*clients)
			if most > share*clients {
				t.Errorf("%.0f retries at once, of at most %.0f", most, share*clients)
			}
			if r.metric("bizra_upstream_retries_total") == retried {
				t.Error("nothing was tried again")
			}
			if float64(right) < c.right*calls {
				t.Errorf("%d of %.0f were answered", right, calls)
			}
			if slowest > 11*time.Second {
				t.Errorf("a call took %s", slowest)
			}
		})
	}
}
