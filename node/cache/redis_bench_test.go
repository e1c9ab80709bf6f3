//go:build integration

package cache

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/settings"
)

// Reads of L2 by 64 callers a processor, which share round trips, beside the same
// reads one by one. Run it with
//
//	.ci/services go test -tags integration -run xxx -bench L2Reads ./node/cache/
func BenchmarkL2Reads(b *testing.B) {
	url := os.Getenv("BIZRA_TEST_REDIS_URL")
	reg := settings.NewRegistry()
	s := Declare(reg)
	if err := reg.Load(settings.SourceFile, []settings.Change{{Key: "cache.l2.url", Value: url}, {Key: "cache.l2.secret", Value: "a secret of the benchmark"}}); err != nil || url == "" {
		b.Fatalf("BIZRA_TEST_REDIS_URL %q: %v; run this in .ci/services", url, err)
	}
	l2, err := OpenRedis(s, 1, breaker.New("redis", "redis", DeclareBreaker(reg, "redis")))
	if err != nil {
		b.Fatal(err)
	}
	defer l2.Close()
	if _, err := New(s, l2, nil, prometheus.NewRegistry()); err != nil {
		b.Fatal(err)
	}
	now := monotonic.Now()
	for i := range 1000 {
		e := &entry{key: fmt.Sprint(i), class: Block, body: []byte(strings.Repeat("v", 300)), stored: now, expires: now + int64(time.Hour)}
		value, err := seal(e, l2.keys, l2.prefix)
		if err != nil {
			b.Fatal(err)
		}
		if err := l2.client.Set(b.Context(), l2.key(e.key), value, time.Hour).Err(); err != nil {
			b.Fatal(err)
		}
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		b.Fatal(err)
	}
	plain := redis.NewClient(options)
	defer plain.Close()
	var next atomic.Uint64
	many := func(name string, read func(key string) bool) {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if !read(fmt.Sprint(next.Add(1) % 1000)) {
						b.Error("not found")
					}
				}
			})
		})
	}
	many("shared round trips", func(key string) bool {
		return l2.get(b.Context(), key, func(Class) time.Duration { return time.Hour }) != nil
	})
	many("one by one", func(key string) bool {
		value, err := plain.Get(b.Context(), l2.key(key)).Bytes()
		if err != nil {
			return false
		}
		_, err = unseal(key, value, l2.keys, l2.prefix)
		return err == nil
	})
}
