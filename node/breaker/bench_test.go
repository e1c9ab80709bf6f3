package breaker_test

import (
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

// What the clock costs here: a call that read it twice could not be cheap.
func BenchmarkClock(bm *testing.B) {
	start := time.Now()
	var d time.Duration
	bm.Run("time.Now", func(bm *testing.B) {
		for bm.Loop() {
			d = time.Duration(time.Now().Nanosecond())
		}
	})
	bm.Run("time.Since", func(bm *testing.B) {
		for bm.Loop() {
			d = time.Since(start)
		}
	})
	_ = d
}

func fresh(tb testing.TB, with ...settings.Change) *breaker.Breaker {
	tb.Helper()
	reg := settings.NewRegistry()
	s := breaker.Declare(reg, "test")
	if _, err := reg.Apply(with); err != nil {
		tb.Fatal(err)
	}
	return breaker.New("test/one", "test", s, breaker.WithProber())
}

var kinds = map[string][]settings.Change{
	"time":  nil,
	"calls": {{Key: "breaker.test.window_kind", Value: "calls"}},
	"exact": {{Key: "breaker.test.slow_after", Value: "100ms"}},
}

func BenchmarkSuccess(bm *testing.B) {
	for _, name := range []string{"time", "calls", "exact"} {
		bm.Run(name, func(bm *testing.B) {
			b := fresh(bm, kinds[name]...)
			bm.ReportAllocs()
			for bm.Loop() {
				p, err := b.Acquire()
				if err != nil {
					bm.Fatal(err)
				}
				p.Success()
			}
		})
	}
}

func BenchmarkSuccessParallel(bm *testing.B) {
	for _, name := range []string{"time", "calls"} {
		bm.Run(name, func(bm *testing.B) {
			b := fresh(bm, kinds[name]...)
			bm.ReportAllocs()
			bm.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p, _ := b.Acquire()
					p.Success()
				}
			})
		})
	}
}

func BenchmarkFailure(bm *testing.B) {
	b := fresh(bm)
	_ = b.Force(breaker.ForcedClosed, "benchmark")
	bm.ReportAllocs()
	for bm.Loop() {
		p, _ := b.Acquire()
		p.Failure(errDown)
	}
}

func BenchmarkRefused(bm *testing.B) {
	b := fresh(bm)
	for range 10 {
		p, _ := b.Acquire()
		p.Failure(errDown)
	}
	bm.ReportAllocs()
	for bm.Loop() {
		if _, err := b.Acquire(); err == nil {
			bm.Fatal("allowed")
		}
	}
}

func BenchmarkSnapshot(bm *testing.B) {
	b := fresh(bm)
	for bm.Loop() {
		b.Snapshot()
	}
}
