package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/settings"
)

type rig struct {
	*cache.Cache
	registry *settings.Registry
	server   *miniredis.Miniredis
	redis    *cache.Redis
	breaker  *breaker.Breaker
	metrics  *prometheus.Registry
}

// build returns a cache, with a Redis behind it when asked.
func build(t *testing.T, withRedis bool) rig {
	t.Helper()
	return buildWith(t, withRedis, nil)
}

func set(t *testing.T, r rig, key, value string) {
	t.Helper()
	if _, err := r.registry.Apply([]settings.Change{{Key: key, Value: value}}); err != nil {
		t.Fatal(err)
	}
}

func buildWith(t *testing.T, withRedis bool, canonical cache.Canonical) rig {
	t.Helper()
	if !withRedis {
		return buildOn(t, "single", "", canonical)
	}
	server := miniredis.RunT(t)
	r := buildOn(t, "single", "redis://"+server.Addr(), canonical)
	r.server = server
	return r
}

// buildOn returns a cache on a Redis address; with an empty one it has L1 only.
func buildOn(t testing.TB, mode, url string, canonical cache.Canonical, more ...settings.Change) rig {
	t.Helper()
	reg := settings.NewRegistry()
	s, bs := cache.Declare(reg), cache.DeclareBreaker(reg, "redis")
	r := rig{registry: reg, metrics: prometheus.NewRegistry()}
	var l2 *cache.Redis
	if url != "" {
		if len(more) == 0 {
			more = []settings.Change{{Key: "cache.l2.secret", Value: "a secret of the tests"}}
		}
		if err := reg.Load(settings.SourceFile, append([]settings.Change{{Key: "cache.l2.url", Value: url}, {Key: "cache.l2.mode", Value: mode}}, more...)); err != nil {
			t.Fatal(err)
		}
		r.breaker = breaker.New("redis", "redis", bs, breaker.WithProber())
		var err error
		if l2, err = cache.OpenRedis(s, 1337, r.breaker); err != nil {
			t.Fatal(err)
		}
		r.redis = l2
		t.Cleanup(func() { _ = l2.Close() })
	}
	var err error
	if r.Cache, err = cache.New(s, l2, canonical, r.metrics); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	reg.OnChange(func() error { r.Resized(); return nil }, "cache.l1.max_bytes")
	if l2 != nil {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { l2.Run(ctx) })
		t.Cleanup(func() { cancel(); wg.Wait() })
	}
	return r
}

func body(text string) func(context.Context) (cache.Loaded, error) {
	return func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: []byte(text)}, nil }
}

func never(t *testing.T) func(context.Context) (cache.Loaded, error) {
	return func(context.Context) (cache.Loaded, error) {
		t.Error("the loader was asked")
		return cache.Loaded{}, errors.New("asked")
	}
}

func get(t *testing.T, c *cache.Cache, key string, load func(context.Context) (cache.Loaded, error)) (string, cache.Tier) {
	t.Helper()
	a, err := c.Get(t.Context(), cache.Block, key, load)
	if err != nil {
		t.Fatal(err)
	}
	return string(a.Body), a.Tier
}

// eventually waits for what happens in the background, ten seconds at most.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("never: " + what)
}
