package main

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

var errDown = errors.New("connection refused")

func scenes() []scene {
	floor := contender{"(one atomic addition)", func() func(int) {
		n := new(atomic.Uint64)
		return func(times int) {
			for range times {
				n.Add(1)
			}
		}
	}}
	clock := contender{"(one time.Since)", func() func(int) {
		start := time.Now()
		return func(times int) {
			for range times {
				_ = time.Since(start)
			}
		}
	}}
	success := []contender{
		{"bizra, time window", func() func(int) { return ours(closed("time")) }},
		{"bizra, window of calls", func() func(int) { return ours(closed("calls")) }},
		{"failsafe-go, count", func() func(int) { return failsafe(failsafeCount()) }},
		{"failsafe-go, time", func() func(int) { return failsafe(failsafeTime()) }},
		{"gobreaker, rolling window", func() func(int) { return execute(gobreaker.NewCircuitBreaker[int](sony)) }},
		{"gobreaker, fixed window", func() func(int) {
			fixed := sony
			fixed.BucketPeriod = 0
			return execute(gobreaker.NewCircuitBreaker[int](fixed))
		}},
		{"gobreaker, two-step", func() func(int) { return twoStep(gobreaker.NewTwoStepCircuitBreaker[int](sony)) }},
		floor, clock,
	}
	refused := []contender{
		{"bizra", func() func(int) { return ours(opened()) }},
		{"failsafe-go", func() func(int) {
			b := failsafeCount()
			b.Open()
			return failsafe(b)
		}},
		{"gobreaker", func() func(int) {
			b := gobreaker.NewCircuitBreaker[int](sony)
			for range 10 {
				_, _ = b.Execute(func() (int, error) { return 0, errDown })
			}
			return execute(b)
		}},
		floor,
	}
	return append([]scene{
		{"breaker, success", false, success, 0},
		{"breaker, success, parallel", true, success, 0},
		{"breaker, refused", false, refused, 0},
		{"breaker, refused, parallel", true, refused, 0},
	}, append(poolScenes(), upstreamScenes()...)...)
}

func closed(kind string) *breaker.Breaker {
	registry := settings.NewRegistry()
	s := breaker.Declare(registry, "bench")
	change := []settings.Change{{Key: "breaker.bench.window_kind", Value: kind}, {Key: "breaker.bench.open_for", Value: "1h"}}
	if err := registry.Load(settings.SourceFlag, change); err != nil {
		panic(err) // the keys above are wrong
	}
	return breaker.New("bench", "bench", s, breaker.WithProber())
}

func opened() *breaker.Breaker {
	b := closed("time")
	for range 10 {
		if p, err := b.Acquire(); err == nil {
			p.Failure(errDown)
		}
	}
	return b
}

func ours(b *breaker.Breaker) func(int) {
	return func(times int) {
		for range times {
			if p, err := b.Acquire(); err == nil {
				p.Success()
			}
		}
	}
}

// The rivals' thresholds are ours: half of at least ten calls; 100 calls or 10 s.
func failsafeCount() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureThresholdRatio(50, 100).WithDelay(time.Hour).Build()
}

func failsafeTime() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(0.5, 10, 10*time.Second).WithDelay(time.Hour).Build()
}

func failsafe(b circuitbreaker.CircuitBreaker[any]) func(int) {
	return func(times int) {
		for range times {
			if b.TryAcquirePermit() {
				b.RecordSuccess()
			}
		}
	}
}

var sony = gobreaker.Settings{
	Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: time.Hour,
	ReadyToTrip: func(c gobreaker.Counts) bool { return c.Requests >= 10 && c.TotalFailures*2 >= c.Requests },
}

func execute(b *gobreaker.CircuitBreaker[int]) func(int) {
	call := func() (int, error) { return 0, nil }
	return func(times int) {
		for range times {
			_, _ = b.Execute(call)
		}
	}
}

func twoStep(b *gobreaker.TwoStepCircuitBreaker[int]) func(int) {
	return func(times int) {
		for range times {
			if done, err := b.Allow(); err == nil {
				done(nil)
			}
		}
	}
}
