package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/upstream"
)

// long says that the long form of a test was asked for.
func long() bool { return os.Getenv("BIZRA_TEST_LONG") == "1" }

// door is a provider's address that can be shut, so that it refuses connections.
type door struct {
	t       *testing.T
	handler http.Handler
	address string
	server  *http.Server
}

func openDoor(t *testing.T, handler http.Handler) *door {
	d := &door{t: t, handler: handler, address: "127.0.0.1:0"}
	d.open()
	t.Cleanup(d.shut)
	return d
}

func (d *door) open() {
	d.t.Helper()
	listener, err := net.Listen("tcp", d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.address = listener.Addr().String()
	d.server = &http.Server{Handler: d.handler}
	go d.server.Serve(listener) // until shut
}

func (d *door) shut() { _ = d.server.Close() }

// callers keep asking until they are stopped, and keep what came of it.
type callers struct {
	stop  chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex
	took  []time.Duration
	wrong []error
}

func startCallers(t *testing.T, r rig, n int, pause time.Duration) *callers {
	c := &callers{stop: make(chan struct{})}
	for range n {
		c.wg.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				case <-time.After(pause):
				}
				began := time.Now()
				err := r.number(t.Context())
				c.mu.Lock()
				c.took = append(c.took, time.Since(began))
				if err != nil {
					c.wrong = append(c.wrong, err)
				}
				c.mu.Unlock()
			}
		})
	}
	return c
}

func (c *callers) end() (calls int, p50, p99, most time.Duration) {
	close(c.stop)
	c.wg.Wait()
	slices.Sort(c.took)
	n := len(c.took)
	return n, c.took[n/2], c.took[n*99/100], c.took[n-1]
}

// within waits until something is so, and returns how long that took.
func within(t *testing.T, limit time.Duration, what string, so func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !so() {
		if time.Since(began) > limit {
			t.Fatalf("after %s not yet: %s", limit, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(began)
}

// TestOneProviderOfTwoFails lets one of two providers fail in every way, under
// little and much load, with the settings as they are by default. It is out
// within 2 s and back within 1 s, and no call fails. The outage takes 3 s, or
// with BIZRA_TEST_LONG=1 30 s.
func TestOneProviderOfTwoFails(t *testing.T) {
	outage := 3 * time.Second
	if long() {
		outage = 30 * time.Second
	}
	for _, load := range []struct {
		name    string
		callers int
		pause   time.Duration
	}{{"little load", 2, 400 * time.Millisecond}, {"much load", 48, 2 * time.Millisecond}} {
		for _, fault := range []string{"500", "hang", "refuse"} {
			t.Run(load.name+", "+fault, func(t *testing.T) {
				net, err := devchain.Start(context.Background(), devchain.Config{Prefill: 5, Providers: 2})
				if err != nil {
					t.Fatal(err)
				}
				defer net.Close()
				bad := openDoor(t, net.Providers[0])
				r := set(t, []string{"http://" + bad.address, net.URLs()[1]}, map[string]string{"upstream.hedge_after": "0.95"})
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { r.Run(ctx) })
				defer wg.Wait()
				defer cancel()
				c := startCallers(t, r, load.callers, load.pause)
				time.Sleep(time.Second)

				switch fault {
				case "500":
					net.Providers[0].SetFault(devchain.Fault{ErrorRate: 1})
				case "hang":
					net.Providers[0].SetFault(devchain.Fault{Hang: true})
				case "refuse":
					bad.shut()
				}
				failed := time.Now()
				// The 2 s and 1 s, and a little for a busy machine.
				out := within(t, 2500*time.Millisecond, "it is out", func() bool { return !r.Status()[0].Healthy })
				time.Sleep(time.Until(failed.Add(outage)))
				switch fault {
				case "refuse":
					bad.open()
				default:
					net.Providers[0].SetFault(devchain.Fault{})
				}
				back := within(t, 1500*time.Millisecond, "it is back", func() bool { return r.Status()[0].Healthy })
				calls, p50, p99, most := c.end()
				t.Logf("out after %s, back after %s; %d calls: p50 %s, p99 %s, longest %s",
					out.Round(time.Millisecond), back.Round(time.Millisecond), calls, p50, p99, most)
				if len(c.wrong) > 0 {
					t.Errorf("%d of %d calls failed, such as: %v", len(c.wrong), calls, c.wrong[0])
				}
				if most > 8*time.Second+time.Second/2 {
					t.Errorf("a call took %s, longer than its deadline of 8 s", most)
				}
			})
		}
	}
}

// TestAProviderThatFlapsComesBack is about recovery from half-failure, in which
// probes pass and fail by turns and the breaker waits longer and longer.
func TestAProviderThatFlapsComesBack(t *testing.T) {
	r := build(t, 1, map[string]string{"upstream.attempts": "1"})
	r.run(t)
	r.net.Providers[0].SetFault(devchain.Fault{ErrorRate: 0.7})
	c := startCallers(t, r, 4, 5*time.Millisecond)
	within(t, 5*time.Second, "it is out", func() bool { return !r.Status()[0].Healthy })
	time.Sleep(3 * time.Second)
	r.net.Providers[0].SetFault(devchain.Fault{})
	back := within(t, 1500*time.Millisecond, "it is back", func() bool { return r.Status()[0].Healthy })
	c.end()
	t.Logf("back after %s", back.Round(time.Millisecond))
}

// TestASingleProviderFails is about a node with nobody else to ask: once the
// breaker is open, every call has a typed error at once.
func TestASingleProviderFails(t *testing.T) {
	for name, fault := range map[string]devchain.Fault{"500": {ErrorRate: 1}, "hang": {Hang: true}, "reset": {Reset: true}} {
		t.Run(name, func(t *testing.T) {
			r := build(t, 1, nil)
			r.run(t)
			if err := r.number(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.net.Providers[0].SetFault(fault)
			out := within(t, 3500*time.Millisecond, "it is out", func() bool { return !r.Status()[0].Healthy })
			var took []time.Duration
			for range 2000 {
				began := time.Now()
				err := r.number(t.Context())
				took = append(took, time.Since(began))
				if err != nil && !errors.Is(err, upstream.ErrUnavailable) {
					t.Fatalf("%v", err)
				}
				if state := r.breakers["p0"].State(); err == nil || state == breaker.Closed {
					t.Fatalf("%v, %s", err, state)
				}
			}
			slices.Sort(took)
			// A busy machine may stop any one of them for longer.
			if p99 := took[len(took)*99/100]; p99 > 5*time.Millisecond {
				t.Errorf("an answer took %s", p99)
			}
			t.Logf("out after %s; an error after %s in the middle, %s at most", out.Round(time.Millisecond), took[len(took)/2], took[len(took)-1])
		})
	}
}

// TestHedgingLowersTheTail lets one of three providers become slower by 2 s, and
// compares the p99 with that when all are well. The calls under way when it becomes
// slow share the budget of hedges and so end one group after the other: there must be
// so many calls that those eight are below 1 %. The default form makes some 900 calls
// each, BIZRA_TEST_LONG=1 several thousand.
func TestHedgingLowersTheTail(t *testing.T) {
	span := 6 * time.Second
	if long() {
		span = 20 * time.Second
	}
	r := build(t, 3, map[string]string{"upstream.hedge_after": "0.95"})
	for _, p := range r.net.Providers {
		p.SetFault(devchain.Fault{Latency: 20 * time.Millisecond, Jitter: 30 * time.Millisecond})
	}
	r.run(t)
	warm := startCallers(t, r, 8, 5*time.Millisecond)
	time.Sleep(2 * time.Second)
	warm.end()
	healthy := startCallers(t, r, 8, 5*time.Millisecond)
	time.Sleep(span)
	calls, _, p99, most := healthy.end()

	slow := slices.IndexFunc(r.Status(), func(s upstream.Status) bool { return s.Preference == 1 })
	r.net.Providers[slow].SetFault(devchain.Fault{Latency: 2 * time.Second, Jitter: 30 * time.Millisecond})
	hedged := startCallers(t, r, 8, 5*time.Millisecond)
	time.Sleep(span)
	n, _, tail, longest := hedged.end()
	t.Logf("healthy: %d calls, p99 %s, longest %s; one slow by 2 s: %d calls, p99 %s (%.2f times), longest %s",
		calls, p99, most, n, tail, float64(tail)/float64(p99), longest)
	if tail > 2*p99 {
		t.Errorf("p99 rose from %s to %s", p99, tail)
	}
	if len(healthy.wrong)+len(hedged.wrong) > 0 {
		t.Errorf("%v %v", healthy.wrong, hedged.wrong)
	}
}

// TestCancelledCalls cancels calls at every moment of their life: 5,000, or with
// BIZRA_TEST_LONG=1 100,000. No goroutine, timer or call under way is left, and
// no caller is given another's answer.
func TestCancelledCalls(t *testing.T) {
	calls := 5_000
	if long() {
		calls = 100_000
	}
	echo := func(w http.ResponseWriter, req *http.Request) {
		var q struct {
			ID     json.RawMessage
			Params []int
		}
		if json.NewDecoder(req.Body).Decode(&q) != nil || len(q.Params) != 1 {
			return
		}
		time.Sleep(time.Duration(q.Params[0]%4) * time.Millisecond)
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%d}`, q.ID, q.Params[0])
	}
	a, b := openDoor(t, http.HandlerFunc(echo)), openDoor(t, http.HandlerFunc(echo))
	r := set(t, []string{"http://" + a.address, "http://" + b.address},
		map[string]string{"upstream.hedge_after": "0.5", "upstream.hedge_floor": "1ms"})
	before := runtime.NumGoroutine()
	var (
		wg                  sync.WaitGroup
		answered, cancelled atomic.Int64
	)
	for w := range 32 {
		wg.Go(func() {
			for i := w; i < calls; i += 32 {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(i%50)*100*time.Microsecond, cancel)
				answer, err := r.Call(ctx, upstream.Question{Method: "echo", Params: json.RawMessage(fmt.Sprintf("[%d]", i))})
				timer.Stop()
				cancel()
				switch {
				case err == nil && string(answer.Result) != fmt.Sprint(i):
					t.Errorf("call %d was answered %s", i, answer.Result)
				case err == nil:
					answered.Add(1)
				case errors.Is(err, context.Canceled):
					cancelled.Add(1)
				default:
					t.Errorf("call %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	r.runOnce(t) // closes the connections, which have goroutines of their own
	a.shut()
	b.shut()
	within(t, 10*time.Second, "goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	for _, s := range r.Status() {
		if s.InFlight != 0 {
			t.Errorf("%d calls are still under way at %s", s.InFlight, s.Name)
		}
	}
	if answered.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d answered, %d cancelled: not every moment was met", answered.Load(), cancelled.Load())
	}
	t.Logf("%d answered, %d cancelled", answered.Load(), cancelled.Load())
}
