package load_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/probes/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}, nil
}

const good = `{"jsonrpc":"2.0","id":1,"result":"0x1"}`

// sleep waits as a server does: until then, or until the client leaves.
func sleep(r *http.Request, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// onFake returns a load of heads on a JSON-RPC endpoint without a network.
func onFake(t *testing.T, f transport) load.Config {
	t.Helper()
	target, err := load.NewTarget("http://fake.example", true)
	if err != nil {
		t.Fatal(err)
	}
	target.SetTransport(f)
	return load.Config{Target: target, Mix: load.Mix{{Kind: "head", Weight: 1}}, Timeout: 5 * time.Second, Concurrency: 4,
		Pattern: load.Pattern{Shape: load.Constant, Rate: 100, Duration: 3 * time.Second}}
}

func run(t *testing.T, ctx context.Context, c load.Config) load.Report {
	t.Helper()
	r, err := load.Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A server stalls for one second of three, at 100 requests a second and four under
// way at most. A closed loop would see four slow requests of about two hundred, and a
// p90 of nothing. Here the hundred that fell due meanwhile have waited from a second
// down to none: a third of all, so that the slowest tenth has waited 0.7 s and more.
func TestAStallIsChargedWithAllThatFellDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := run(t, t.Context(), onFake(t, func(r *http.Request) (*http.Response, error) {
			if at := time.Since(began); at >= time.Second && at < 2*time.Second {
				if err := sleep(r, 2*time.Second-at); err != nil {
					return nil, err
				}
			}
			return answer(200, good)
		}))
		if r.Requests != 300 || r.Errors != 0 {
			t.Fatalf("%d requests, %d errors: %v", r.Requests, r.Errors, r.Failures)
		}
		if r.Latency.P50 > 0.001 || r.Latency.P90 < 0.69 || r.Latency.P90 > 0.72 || r.Latency.Max < 0.99 || r.Latency.Max > 1.01 {
			t.Errorf("latency %+v", r.Latency)
		}
		if mean := 100 * 0.505 / 300; r.Latency.Mean < mean*0.98 || r.Latency.Mean > mean*1.02 {
			t.Errorf("mean %f, want %f", r.Latency.Mean, mean)
		}
		// All that fell due in the stall but the four that were under way, and the
		// last of them, which is no more late than a timer may be.
		if r.ConcurrencyFull < 95 || r.ConcurrencyFull > 96 || r.GeneratorLate != 0 {
			t.Errorf("%d began late for want of a place, %d because of the generator", r.ConcurrencyFull, r.GeneratorLate)
		}
	})
}

// Every other request is refused after 15 ms, at 100 a second and one under way at most,
// so that they begin later and later: how quickly a server refuses is told apart from that.
func TestRefusalsAreTimedFromWhenTheyAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := onFake(t, func(r *http.Request) (*http.Response, error) {
			if err := sleep(r, 15*time.Millisecond); err != nil {
				return nil, err
			}
			if n++; n%2 == 0 {
				return answer(http.StatusServiceUnavailable, "")
			}
			return answer(http.StatusOK, good)
		})
		c.Concurrency = 1
		r := run(t, t.Context(), c)
		if r.Requests != 300 || r.Errors != 150 || r.Refused.Count != 150 {
			t.Fatalf("%d requests, %d errors, %d refused: %v", r.Requests, r.Errors, r.Refused.Count, r.Failures)
		}
		if l := r.Refused.Latency; l.P50 < 0.0149 || l.Max > 0.0151 || r.Latency.P50 < 0.5 {
			t.Errorf("refused within %+v, latency %+v", l, r.Latency)
		}
	})
}

// A stall as above of a real server, with slack for a busy machine.
func TestAStallOfARealServer(t *testing.T) {
	var began atomic.Pointer[time.Time]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		began.CompareAndSwap(nil, &now)
		if at := time.Since(*began.Load()); at >= 500*time.Millisecond && at < 1500*time.Millisecond {
			time.Sleep(1500*time.Millisecond - at)
		}
		_, _ = io.WriteString(w, good)
	}))
	defer server.Close()
	target, err := load.NewTarget(server.URL, true)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	r := run(t, t.Context(), load.Config{Target: target, Mix: load.Mix{{Kind: "head", Weight: 1}}, Timeout: 5 * time.Second, Concurrency: 2,
		Pattern: load.Pattern{Shape: load.Constant, Rate: 100, Duration: 2 * time.Second}})
	// Of 200 requests 100 fell due in the stall, so that a quarter waited half a
	// second and more; a closed loop of two would have seen two slow ones.
	if r.Requests != 200 || r.Errors != 0 || r.Latency.P90 < 0.5 || r.ConcurrencyFull < 80 {
		t.Errorf("%d requests, %d errors, p90 %.3f s, %d began late", r.Requests, r.Errors, r.Latency.P90, r.ConcurrencyFull)
	}
}

// Under more load than is answered, a run still ends two timeouts after its pattern,
// and what could not begin is an error with its wait as its latency.
func TestOverloadEndsAndIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := onFake(t, func(r *http.Request) (*http.Response, error) {
			if err := sleep(r, time.Second); err != nil {
				return nil, err
			}
			return answer(200, good)
		})
		c.Timeout = 2 * time.Second
		began := time.Now()
		r := run(t, t.Context(), c)
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it ended after %s", took)
		}
		if r.Requests != 300 || r.Latency.P90 < 1.99 || r.Latency.Max > 3.01 {
			t.Errorf("%d requests, latency %+v", r.Requests, r.Latency)
		}
		// Four places answer four requests a second.
		if answered := r.Requests - r.Errors; answered < 12 || answered > 20 {
			t.Errorf("%d were answered", answered)
		}
		if i := slices.IndexFunc(r.Failures, func(f load.Failure) bool { return f.Reason == "not begun" }); i < 0 || r.Failures[i].Count < 200 {
			t.Errorf("failures %v", r.Failures)
		}
		if r.Rate > 5 {
			t.Errorf("a rate of %.1f", r.Rate)
		}
	})
}

// Failures are told apart by what they are.
func TestFailuresAreCountedByReason(t *testing.T) {
	for reason, f := range map[string]transport{
		"":                   func(*http.Request) (*http.Response, error) { return answer(200, good) },
		"HTTP 503":           func(*http.Request) (*http.Response, error) { return answer(503, "busy") },
		"HTTP 302":           func(*http.Request) (*http.Response, error) { return answer(302, "") },
		"no JSON":            func(*http.Request) (*http.Response, error) { return answer(200, "<html>") },
		"no result":          func(*http.Request) (*http.Response, error) { return answer(200, `{"result":null}`) },
		"error -32000":       func(*http.Request) (*http.Response, error) { return answer(200, `{"error":{"code":-32000}}`) },
		"connection refused": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED },
		"connection cut":     func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"no connection":      func(*http.Request) (*http.Response, error) { return nil, errors.New("no such host") },
		"timeout": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := onFake(t, f)
			c.Concurrency, c.Timeout = 101, time.Second
			r := run(t, t.Context(), c)
			want := []load.Failure{{Kind: "head", Reason: reason, Count: 300}}
			if reason == "" {
				want = []load.Failure{}
			}
			if !slices.Equal(r.Failures, want) || r.Requests != 300 || r.Errors != len(want)*300 {
				t.Errorf("%s: %v, %d of %d are errors", reason, r.Failures, r.Errors, r.Requests)
			}
		})
	}
}

// The last answers come some milliseconds after a second: a row of their own was drawn as a
// target that stops to answer.
func TestTheTimelineEndsWithAWholeSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := onFake(t, func(*http.Request) (*http.Response, error) {
			time.Sleep(15 * time.Millisecond)
			return answer(200, good)
		})
		c.Pattern.Duration = 2 * time.Second
		r := run(t, t.Context(), c)
		answered := 0
		for _, s := range r.Timeline {
			answered += s.Answered
			if s.Answered < 90 || s.P99 < 0.015 {
				t.Errorf("a row of the timeline: %+v", s)
			}
		}
		if len(r.Timeline) != 2 || answered != 200 || r.Took < 2 {
			t.Errorf("%d rows, %d answered in %.3f s", len(r.Timeline), answered, r.Took)
		}
	})
}

// The warm-up is in the timeline and in no figure, and the timeline adds up.
func TestWarmUpIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := onFake(t, func(r *http.Request) (*http.Response, error) {
			if time.Since(began) < 2*time.Second {
				return answer(500, "cold")
			}
			return answer(200, good)
		})
		told := 0
		c.WarmUp, c.Progress = 2*time.Second, func(load.Report) { told++ }
		r := run(t, t.Context(), c)
		if r.Requests != 300 || r.Errors != 0 || r.Rate < 99 || r.Rate > 101 || told < 4 {
			t.Errorf("%d requests, %d errors, %.1f a second, told %d times", r.Requests, r.Errors, r.Rate, told)
		}
		due, answered, failed := 0.0, 0, 0
		for _, s := range r.Timeline {
			due += s.Due
			answered += s.Answered
			failed += s.Errors
		}
		if due < 499 || due > 501 || answered != 300 || failed != 200 {
			t.Errorf("the timeline has %.0f due, %d answered, %d errors", due, answered, failed)
		}
		var table strings.Builder
		if err := r.WriteCSV(&table); err != nil || strings.Count(table.String(), "\n") != len(r.Timeline)+1 {
			t.Errorf("%v\n%s", err, table.String())
		}
	})
}

// Who ends a load gets the report of what was until then, at once.
func TestInterruptedLoadReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		c := onFake(t, func(r *http.Request) (*http.Response, error) {
			if err := sleep(r, 20*time.Millisecond); err != nil {
				return nil, err
			}
			return answer(200, good)
		})
		c.Pattern = load.Pattern{Shape: load.Wave, Rate: 100, Period: time.Second} // without end
		began := time.Now()
		r := run(t, ctx, c)
		if took := time.Since(began); took > 1100*time.Millisecond || !r.Interrupted {
			t.Errorf("it ended after %s, interrupted: %v", took, r.Interrupted)
		}
		if r.Errors != 0 || r.Cut < 1 || r.Cut > 4 || r.Requests < 60 || r.Requests > 67 {
			t.Errorf("%d requests, %d errors, %d were cut", r.Requests, r.Errors, r.Cut)
		}
	})
}

// Every kind of call is answered by a real chain, about subjects that were found on
// it, and new blocks are followed.
func TestCallsOnARealChain(t *testing.T) {
	chain, err := devchain.Start(t.Context(), devchain.Config{Prefill: 20, Providers: 1, Traffic: true, MinTx: 2, MaxTx: 4, Interval: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	target, err := load.NewTarget(chain.URLs()[0], true)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	subjects, err := load.Find(t.Context(), target, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(subjects.Blocks) != 10 || len(subjects.Transactions) < 20 || len(subjects.Addresses) < 2 {
		t.Fatal(subjects)
	}
	var mix load.Mix
	names, _ := load.Kinds(true)
	for _, name := range names {
		mix = append(mix, load.Share{Kind: name, Weight: 1})
	}
	r := run(t, t.Context(), load.Config{Target: target, Mix: mix, Subjects: subjects, Skew: 1, Follow: 10, Timeout: 5 * time.Second, Concurrency: 8,
		Pattern: load.Pattern{Shape: load.Constant, Rate: 100, Duration: 2 * time.Second, Poisson: true}})
	if r.Errors != 0 || len(r.Kinds) != len(names) {
		t.Errorf("%+v", r)
	}
	for _, k := range r.Kinds {
		if k.Requests < 10 || k.Latency.P50 <= 0 {
			t.Errorf("%+v", k)
		}
	}
}
