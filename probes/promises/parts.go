package promises

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes/promises/internal/before"
)

// measured are the figures of one scene by the names of their rows.
type measured map[string]float64

const (
	breakerCallers = 8
	breakerCopies  = 8 // whose memory is measured
	breakerFailing = 100
)

var breakerHow = fmt.Sprintf("%d callers without a pause, one call in %d fails, a window of %d calls; before: a window that is scanned",
	breakerCallers, breakerFailing, breaker.MaxWindowCalls)

var errCall = errors.New("a call that fails")

// newBreaker is a breaker with the largest window.
func newBreaker() (*breaker.Breaker, error) {
	registry := settings.NewRegistry()
	s := breaker.Declare(registry, "bench")
	err := registry.Load(settings.SourceDefault, []settings.Change{{Key: "breaker.bench.window_kind", Value: "calls"},
		{Key: "breaker.bench.window_calls", Value: strconv.Itoa(breaker.MaxWindowCalls)}})
	return breaker.New("bench", "bench", s), err
}

// breakers measures calls and the memory of breakers. use makes one call of a new
// breaker.
func breakers(ctx context.Context, span time.Duration, build func() (use func(failed bool), err error)) (measured, error) {
	var copies []func(bool)
	held := heapAfter()
	for range breakerCopies {
		use, err := build()
		if err != nil {
			return nil, err
		}
		copies = append(copies, use)
	}
	memory := (heapAfter() - held) / breakerCopies / 1000
	use := copies[0]
	calls, took, err := callers(ctx, breakerCallers, span, pace{}, func(_ context.Context, _, turn int, _ time.Time) (time.Duration, error) {
		began := time.Now()
		use(turn%breakerFailing == 0)
		return time.Since(began), nil
	})
	runtime.KeepAlive(copies)
	return measured{"breaker.rate": float64(calls.TotalCount()) / took.Seconds(), "breaker.p50": calls.quantile(50),
		"breaker.p99": calls.quantile(99), "breaker.memory": max(memory, 0)}, err
}

// heapAfter is the live heap in bytes, after two collections: what is in a sync.Pool
// outlives the first.
func heapAfter() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func (s *stage) breakerBefore(ctx context.Context) (measured, error) {
	return breakers(ctx, s.span, func() (func(bool), error) {
		b := before.NewBreaker(breaker.MaxWindowCalls, time.Second)
		return func(failed bool) {
			if b.Allow() == nil {
				b.Done(time.Now(), failed)
			}
		}, nil
	})
}

func (s *stage) breakerAfter(ctx context.Context) (measured, error) {
	return breakers(ctx, s.span, func() (func(bool), error) {
		b, err := newBreaker()
		return func(failed bool) {
			p, err := b.Acquire()
			switch {
			case err != nil:
			case failed:
				p.Failure(errCall)
			default:
				p.Success()
			}
		}, err
	})
}

const (
	cacheCallers = 32
	l1Keys       = 50_000
	l1Body       = 512
	l2Keys       = 2_000
	l2Body       = 4 << 10
	l2Chunk      = 256 // written before the next are: the queue to Redis is bounded
	l2WriteWait  = 30 * time.Second
	l2Timeout    = "2s"   // so that a long wait is measured and not cut
	smallL1      = "1MiB" // which is an eighth of what is in Redis; its hits are not counted
)

func keyOf(n int) string { return "bench " + strconv.Itoa(n) }

func (s *stage) l1Before(ctx context.Context) (measured, error) {
	c, body := before.NewCache(2*l1Keys, time.Hour), make([]byte, l1Body)
	for n := range l1Keys {
		c.Put(keyOf(n), body)
	}
	sweeping, stop := context.WithCancel(ctx)
	swept := make(chan struct{})
	go func() { defer close(swept); c.Run(sweeping) }()
	defer func() { stop(); <-swept }()
	calls, _, err := callers(ctx, cacheCallers, s.span, pace{}, func(_ context.Context, _, _ int, _ time.Time) (time.Duration, error) {
		key, began := keyOf(rand.IntN(l1Keys)), time.Now()
		if _, ok := c.Get(key); !ok {
			return 0, errors.New("what was kept is gone")
		}
		return time.Since(began), nil
	})
	return measured{"cache.l1_mean": calls.mean()}, err
}

// newCache is a cache of its own with so much room in L1.
func newCache(l2 *cache.Redis, room string) (*cache.Cache, error) {
	registry := settings.NewRegistry()
	s := cache.Declare(registry)
	if err := registry.Load(settings.SourceDefault, []settings.Change{{Key: "cache.l1.max_bytes", Value: room}}); err != nil {
		return nil, err
	}
	return cache.New(s, l2, nil, prometheus.NewRegistry())
}

func (s *stage) l1After(ctx context.Context) (measured, error) {
	c, err := newCache(nil, "256MiB")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	body := make([]byte, l1Body)
	load := func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: body, Immutable: true}, nil }
	for n := range l1Keys {
		if _, err := c.Get(ctx, cache.Block, keyOf(n), load); err != nil {
			return nil, err
		}
	}
	calls, _, err := callers(ctx, cacheCallers, s.span, pace{}, func(ctx context.Context, _, _ int, _ time.Time) (time.Duration, error) {
		key, began := keyOf(rand.IntN(l1Keys)), time.Now()
		a, err := c.Get(ctx, cache.Block, key, load)
		took := time.Since(began)
		if err == nil && a.Tier != cache.L1 {
			err = errors.New("what was kept is not in L1 any more")
		}
		return took, err
	})
	return measured{"cache.l1_mean": calls.mean()}, err
}

// redisPrefix keeps the bench's entries apart from those of nodes.
var redisPrefix = "bizra-bench-" + uuid.NewString()[:8]

// redisSecret signs them: nobody else reads them.
var redisSecret = uuid.NewString()

// oneConnection returns a client of the configured Redis that has one connection.
func (s *stage) oneConnection() (redis.UniversalClient, error) {
	url := s.Settings.Cache.URL.Get()
	switch s.Settings.Cache.Mode.Get() {
	case "cluster":
		o, err := redis.ParseClusterURL(url)
		if err != nil {
			return nil, errRedis
		}
		o.PoolSize = 1
		return redis.NewClusterClient(o), nil
	case "sentinel":
		o, err := redis.ParseFailoverURL(url)
		if err != nil {
			return nil, errRedis
		}
		o.PoolSize = 1
		return redis.NewFailoverClient(o), nil
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errRedis
	}
	o.PoolSize = 1
	return redis.NewClient(o), nil
}

// errRedis shows no address, which may hold a password.
var errRedis = errors.New("cache.l2.url is not a Redis address for cache.l2.mode")

func (s *stage) l2Before(ctx context.Context) (_ measured, err error) {
	client, err := s.oneConnection()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	name := func(n int) string { return redisPrefix + " before " + keyOf(n) }
	defer func() {
		for n := range l2Keys {
			err = errors.Join(err, client.Del(context.WithoutCancel(ctx), name(n)).Err())
		}
	}()
	body := bodyOf(l2Body)
	for n := range l2Keys {
		if err := client.Set(ctx, name(n), body, time.Hour).Err(); err != nil {
			return nil, err
		}
	}
	calls, _, err := callers(ctx, cacheCallers, s.span, pace{}, func(ctx context.Context, _, _ int, _ time.Time) (time.Duration, error) {
		key, began := name(rand.IntN(l2Keys)), time.Now()
		_, err := client.Get(ctx, key).Bytes()
		return time.Since(began), err
	})
	return measured{"cache.l2_mean": calls.mean()}, err
}

// bodyOf is JSON that compresses about as well as a block does.
func bodyOf(size int) []byte {
	out := []byte(`{"data":["`)
	for n := uint64(1); len(out) < size-2; n++ {
		out = fmt.Appendf(out, "0x%064x", n*0x9e3779b97f4a7c15)
	}
	return append(out[:size-3], `"]}`...)
}

// openL2 opens the configured Redis under the bench's prefix, behind a small L1. end
// removes what is under the prefix.
func (s *stage) openL2(ctx context.Context) (_ *cache.Cache, end func() error, err error) {
	registry := settings.NewRegistry()
	d := cache.Declare(registry)
	if err := registry.Load(settings.SourceDefault, []settings.Change{{Key: "cache.l2.url", Value: s.Settings.Cache.URL.Get()},
		{Key: "cache.l2.mode", Value: s.Settings.Cache.Mode.Get()}, {Key: "cache.l2.prefix", Value: redisPrefix},
		{Key: "cache.l2.secret", Value: redisSecret}, {Key: "cache.l2.timeout", Value: l2Timeout}}); err != nil {
		return nil, nil, err
	}
	l2, err := cache.OpenRedis(d, s.chainID, breaker.New("redis", "redis", cache.DeclareBreaker(registry, "redis")))
	if err != nil {
		return nil, nil, err
	}
	c, err := newCache(l2, smallL1)
	if err != nil {
		return nil, nil, errors.Join(err, l2.Close())
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); l2.Run(running) }()
	return c, func() error {
		_, err := c.FlushL2(running)
		stop()
		<-ended
		c.Close()
		return errors.Join(err, l2.Close())
	}, nil
}

func (s *stage) l2After(ctx context.Context) (_ measured, err error) {
	c, end, err := s.openL2(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := fillL2(ctx, c); err != nil {
		return nil, err
	}
	calls, _, err := callers(ctx, cacheCallers, s.span, pace{}, func(ctx context.Context, _, _ int, _ time.Time) (time.Duration, error) {
		key, began := keyOf(rand.IntN(l2Keys)), time.Now()
		a, err := c.Get(ctx, cache.Block, key, absent)
		if err == nil && a.Tier != cache.L2 {
			return notCounted, nil
		}
		return time.Since(began), err
	})
	return measured{"cache.l2_mean": calls.mean()}, err
}

var errNotInL2 = errors.New("what was written to Redis is not there")

// absent loads what only Redis can have.
func absent(context.Context) (cache.Loaded, error) { return cache.Loaded{}, errNotInL2 }

// fillL2 puts the keys into Redis and waits until it has them.
func fillL2(ctx context.Context, c *cache.Cache) error {
	ctx, cancel := context.WithTimeout(ctx, l2WriteWait)
	defer cancel()
	body := bodyOf(l2Body)
	load := func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: body, Immutable: true}, nil }
	for from := 0; from < l2Keys; from += l2Chunk {
		to := min(from+l2Chunk, l2Keys)
		for n := from; n < to; n++ {
			if _, err := c.Get(ctx, cache.Block, keyOf(n), load); err != nil {
				return err
			}
		}
		c.FlushL1()
		for n := from; n < to; n++ {
			for {
				a, err := c.Get(ctx, cache.Block, keyOf(n), absent)
				if err == nil && a.Tier == cache.L2 {
					break
				}
				select {
				case <-ctx.Done():
					return fmt.Errorf("%w after %s", errNotInL2, l2WriteWait)
				case <-time.After(time.Millisecond):
				}
			}
		}
	}
	return nil
}
