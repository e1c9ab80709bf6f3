package validation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

// far is a stage whose providers are a round trip away. When inTurn is set, one
// call is under way at a time, as in a node that asks one thing after the other.
type far struct {
	*stage
	roundTrip time.Duration
	inTurn    chan struct{} // of one; a mutex would hold up the test's clock
	calls     int
}

func (f *far) wait() {
	time.Sleep(f.roundTrip)
	f.mu.Lock()
	f.calls++
	f.mu.Unlock()
}

func (f *far) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	if f.inTurn != nil {
		f.inTurn <- struct{}{}
		defer func() { <-f.inTurn }()
	}
	f.wait()
	return f.stage.Call(ctx, method, params...)
}

func (f *far) CallEach(_ context.Context, n int, method string, params ...any) []validation.Answer {
	names := f.names[:min(n, len(f.names))]
	out := make([]validation.Answer, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		ask := func() {
			f.wait()
			out[i] = f.ask(name, method, params)
		}
		if f.inTurn != nil {
			f.inTurn <- struct{}{}
			ask()
			<-f.inTurn
			continue
		}
		wg.Go(ask)
	}
	wg.Wait()
	return out
}

// recorded is a chain's answers to all that a verdict on the subjects asks.
func recorded(t testing.TB, cfg devchain.Config, subjects func(*devchain.Net) [][2]string) (*stage, uint64, [][2]string) {
	t.Helper()
	cfg.Providers = 1
	cfg.GenesisTime = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // before a bubble's clock begins
	n, err := devchain.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	src := newSource(t, n.URLs()...)
	defer src.client.CloseIdleConnections()
	s := &stage{real: src, names: []string{"a", "b", "c"}}
	s.said = map[string]json.RawMessage{}
	list := subjects(n)
	v := validation.New(s, n.Chain.ChainID(), validation.Declare(settings.NewRegistry()), nil)
	for _, c := range list {
		if got, err := validate(context.Background(), v, c[0], c[1]); err != nil || got.Outcome != validation.Valid {
			t.Fatal(err, show(got))
		}
	}
	return s, n.Chain.ChainID(), list
}

// TestColdVerdictsTakeTwoRoundTrips counts round trips on a clock of its own:
// nothing of a verdict is known before, and every answer takes a second.
func TestColdVerdictsTakeTwoRoundTrips(t *testing.T) {
	said, chainID, subjects := recorded(t, busy, func(n *devchain.Net) [][2]string {
		s := subjectsOf(n)
		return [][2]string{
			{"transaction", s.tx}, {"block", s.block}, {"block", s.number}, {"block", "latest"}, {"block", "0"},
			{"address", s.address}, {"address", devchain.TokenAddress.Hex()}, {"address", s.absent},
		}
	})
	for _, c := range subjects {
		synctest.Test(t, func(t *testing.T) {
			src := &far{stage: said, roundTrip: time.Second}
			got := ask(t, newValidator(t, src, chainID), c[0], c[1])
			if got.Outcome != validation.Valid || got.Seconds != 2 {
				t.Errorf("%s %s: %s after %g round trips, %d calls", c[0], c[1], got.Outcome, got.Seconds, src.calls)
			}
			parallel := src.calls
			src = &far{stage: said, roundTrip: time.Second / 100, inTurn: make(chan struct{}, 1)}
			got = ask(t, newValidator(t, src, chainID), c[0], c[1])
			if got.Outcome != validation.Valid {
				t.Errorf("%s", show(got))
			}
			t.Logf("%s %s: 2 round trips, %d calls; in turn %.0f round trips", c[0], c[1], parallel, got.Seconds*100)
		})
	}
}

// BenchmarkRoundTrips measures a cold verdict with providers that are 20 and
// 100 ms away, asked in parallel and one call after the other.
func BenchmarkRoundTrips(b *testing.B) {
	said, chainID, subjects := recorded(b, busy, func(n *devchain.Net) [][2]string {
		s := subjectsOf(n)
		return [][2]string{{"transaction", s.tx}, {"block", s.number}, {"address", s.address}}
	})
	for _, away := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
		for _, c := range subjects {
			for name, inTurn := range map[string]chan struct{}{"parallel": nil, "sequential": make(chan struct{}, 1)} {
				b.Run(fmt.Sprintf("%s/%s/%s", away, c[0], name), func(b *testing.B) {
					for b.Loop() {
						v := validation.New(&far{stage: said, roundTrip: away, inTurn: inTurn}, chainID, validation.Declare(settings.NewRegistry()), nil)
						if got, err := validate(b.Context(), v, c[0], c[1]); err != nil || got.Outcome != validation.Valid {
							b.Fatal(err, show(got))
						}
					}
				})
			}
		}
	}
}
