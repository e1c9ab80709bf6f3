//go:build integration

package cache

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
)

// A Redis that is full and evicts nothing answers every ping and read: that it takes no
// values is known all the same, and that it takes them again.
func TestARedisThatTakesNoValuesIsKnown(t *testing.T) {
	url := os.Getenv("BIZRA_TEST_REDIS_URL")
	if url == "" {
		t.Fatal("BIZRA_TEST_REDIS_URL is not set: run `make test`, which starts a private Redis")
	}
	checkWritesEvery = 50 * time.Millisecond
	t.Cleanup(func() { checkWritesEvery = 5 * time.Second })
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	admin := redis.NewClient(options)
	t.Cleanup(func() { _ = admin.Close() })
	configure := func(key, value string) {
		t.Helper()
		if err := admin.ConfigSet(context.Background(), key, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	reg := settings.NewRegistry()
	s, bs := Declare(reg), DeclareBreaker(reg, "redis")
	if err := reg.Load(settings.SourceFile, []settings.Change{{Key: "cache.l2.url", Value: url}}); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRedis(s, 77, breaker.New("redis", "redis", bs, breaker.WithProber()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := New(s, r, nil, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	until := func(what string, ok func(at time.Time, failed string) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(r.LastWrite()); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				at, failed := r.LastWrite()
				t.Fatalf("never %s: %v %q", what, at, failed)
			}
		}
	}
	until("written", func(at time.Time, failed string) bool { return !at.IsZero() && failed == "" })
	t.Cleanup(func() { _ = admin.ConfigSet(context.Background(), "maxmemory", "0").Err() })
	configure("maxmemory-policy", "noeviction")
	configure("maxmemory", "1")
	until("refused", func(_ time.Time, failed string) bool { return strings.Contains(failed, "OOM") })
	configure("maxmemory", "0")
	until("written again", func(_ time.Time, failed string) bool { return failed == "" })
}
