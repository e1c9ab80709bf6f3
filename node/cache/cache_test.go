package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/settings"
)

// Otter ends its goroutine when the cache is collected, which is not asked for.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]"))
}
func TestTiers(t *testing.T) {
	c := build(t, true)
	if b, tier := get(t, c.Cache, "k", body("v")); b != "v" || tier != cache.Origin {
		t.Fatal(b, tier)
	}
	if b, tier := get(t, c.Cache, "k", never(t)); b != "v" || tier != cache.L1 {
		t.Fatal(b, tier)
	}
	eventually(t, "written to Redis", func() bool { return written(c) == 1 })
	if ttl := c.server.TTL(keys(c)[0]); ttl <= 23*time.Hour || ttl > 24*time.Hour {
		t.Fatalf("TTL in Redis is %s", ttl)
	}
	c.FlushL1()
	if b, tier := get(t, c.Cache, "k", never(t)); b != "v" || tier != cache.L2 {
		t.Fatal(b, tier)
	}
	if n, err := c.FlushL2(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	c.FlushL1()
	if _, tier := get(t, c.Cache, "k", body("v")); tier != cache.Origin {
		t.Fatal(tier)
	}
}

// TestFlushOfOneClass forgets one class in both tiers, and nothing else.
func TestFlushOfOneClass(t *testing.T) {
	c := build(t, true)
	load := func(key string, class cache.Class) func() cache.Tier {
		return func() cache.Tier {
			a, err := c.Get(t.Context(), class, key, func(context.Context) (cache.Loaded, error) {
				return cache.Loaded{Body: []byte(key), Class: class, Immutable: true}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return a.Tier
		}
	}
	blocks, addresses := load("b", cache.Block), load("a", cache.Address)
	blocks()
	addresses()
	eventually(t, "written to Redis", func() bool { return written(c) == 2 })
	if n, err := c.FlushClass(t.Context(), cache.ClassNamed("block")); n != 2 || err != nil {
		t.Fatalf("flushed %d: %v", n, err)
	}
	if blocks() != cache.Origin || addresses() != cache.L1 || written(c) == 0 {
		t.Error("another class was flushed, or this one was not")
	}
}

// What an operator is told right after a flush was what L1 held before it: entries were
// counted out in the background.
func TestAFlushIsCountedAtOnce(t *testing.T) {
	c := build(t, false)
	for i := range 100 {
		get(t, c.Cache, fmt.Sprint(i), body("x"))
	}
	if _, err := c.FlushClass(t.Context(), cache.Block); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Stats() {
		if s.Entries != 0 || s.Bytes != 0 {
			t.Errorf("%s holds %d entries, %d bytes", s.Class, s.Entries, s.Bytes)
		}
	}
}

func TestLargeBodiesSurviveRedis(t *testing.T) {
	c := build(t, true)
	want := strings.Repeat(`{"hash":"0xabc","value":12}`, 4000)
	get(t, c.Cache, "big", body(want))
	eventually(t, "written to Redis", func() bool { return written(c) == 1 })
	if stored, _ := c.server.Get(keys(c)[0]); len(stored) > len(want)/5 {
		t.Fatalf("%d bytes were stored as %d", len(want), len(stored))
	}
	c.FlushL1()
	if got, tier := get(t, c.Cache, "big", never(t)); got != want || tier != cache.L2 {
		t.Fatal(tier)
	}
}

// Whatever stands in Redis, a read is a miss or the truth.
func TestCorruptValuesAreMisses(t *testing.T) {
	c := build(t, true)
	for _, k := range []string{"a", "b"} {
		get(t, c.Cache, k, body(strings.Repeat("value of "+k, 100)))
	}
	eventually(t, "written to Redis", func() bool { return written(c) == 2 })
	keyA, keyB := keys(c)[0], keys(c)[1]
	good, _ := c.server.Get(keyA)
	other, _ := c.server.Get(keyB)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		bad := []byte(good)
		switch i % 4 {
		case 0:
			bad = bad[:random.IntN(len(bad))]
		case 1:
			bad[random.IntN(len(bad))] ^= 1 << random.IntN(8)
		case 2:
			bad = []byte(other)
		case 3:
			bad = bytes.Repeat([]byte{byte(i)}, random.IntN(200))
		}
		if err := c.server.Set(keyA, string(bad)); err != nil {
			t.Fatal(err)
		}
		c.FlushL1()
		fresh := func(context.Context) (cache.Loaded, error) {
			return cache.Loaded{Body: []byte("fresh"), NoStore: true}, nil // or it would overwrite the next bad value
		}
		if got, tier := get(t, c.Cache, "a", fresh); got != "fresh" || tier != cache.Origin {
			t.Fatalf("case %d: %q from %s", i, got, tier)
		}
	}
}

func TestStampedeMakesOneLoad(t *testing.T) {
	c := build(t, false)
	var loads atomic.Int32
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			a, err := c.Get(t.Context(), cache.Block, "k", func(context.Context) (cache.Loaded, error) {
				loads.Add(1)
				time.Sleep(50 * time.Millisecond)
				return cache.Loaded{Body: []byte("v")}, nil
			})
			if err != nil || string(a.Body) != "v" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if loads.Load() != 1 {
		t.Fatalf("%d loads", loads.Load())
	}
}

func TestWhoLeavesDoesNotCancelTheOthers(t *testing.T) {
	c := build(t, false)
	started, finish := make(chan struct{}), make(chan struct{})
	load := func(ctx context.Context) (cache.Loaded, error) {
		close(started)
		<-finish
		return cache.Loaded{Body: []byte("v")}, ctx.Err()
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := c.Get(ctx, cache.Block, "k", load)
		gone <- err
	}()
	<-started
	stays := make(chan error, 1)
	go func() {
		_, err := c.Get(t.Context(), cache.Block, "k", load)
		stays <- err
	}()
	eventually(t, "the second joins", func() bool { return value(t, c, "bizra_cache_coalesced_total") == 1 })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(finish)
	if err := <-stays; err != nil {
		t.Fatal(err)
	}
}

func TestPanickingLoaderIsAnError(t *testing.T) {
	c := build(t, false)
	_, err := c.Get(t.Context(), cache.Block, "k", func(context.Context) (cache.Loaded, error) { panic("boom") })
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Fatal(err)
	}
	get(t, c.Cache, "k", body("v"))
}

func TestErrorsAreNotKept(t *testing.T) {
	c := build(t, false)
	down := errors.New("down")
	_, err := c.Get(t.Context(), cache.Block, "k", func(context.Context) (cache.Loaded, error) { return cache.Loaded{}, down })
	if !errors.Is(err, down) {
		t.Fatal(err)
	}
	if _, tier := get(t, c.Cache, "k", body("v")); tier != cache.Origin {
		t.Fatal(tier)
	}
}

func TestTimesToLive(t *testing.T) {
	c := build(t, false)
	for k, v := range map[string]string{"cache.ttl.block": "1h", "cache.ttl.not_found": "30ms", "cache.ttl.unfinalised": "30ms", "cache.ttl.rpc": "0s"} {
		if _, err := c.registry.Apply([]settings.Change{{Key: k, Value: v}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, l := range map[string]cache.Loaded{
		"settled": {}, "unsettled": {Block: cache.BlockRef{Number: 7, Hash: [32]byte{1}}}, "not found": {Class: cache.NotFound}, "no store": {NoStore: true}, "zero": {Class: cache.RPC},
	} {
		l.Body = []byte("v")
		get(t, c.Cache, name, func(context.Context) (cache.Loaded, error) { return l, nil })
		_, now := c.Peek(cache.Block, []byte(name))
		time.Sleep(40 * time.Millisecond)
		_, later := c.Peek(cache.Block, []byte(name))
		wantNow, wantLater := name != "no store" && name != "zero", name == "settled"
		if now != wantNow || later != wantLater {
			t.Errorf("%s: kept %v, after its time %v", name, now, later)
		}
	}
}

func TestBoundFollowsTheSetting(t *testing.T) {
	c := build(t, false)
	big := strings.Repeat("x", 16<<10)
	fill := func() {
		for i := range 2000 {
			get(t, c.Cache, fmt.Sprint(i), body(big))
		}
	}
	fill()
	if _, err := c.registry.Apply([]settings.Change{{Key: "cache.l1.max_bytes", Value: "4MiB"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "shrunk to the new bound", func() bool { return c.Bytes() <= 4<<20 })
	get(t, c.Cache, "huge", body(strings.Repeat("x", 1<<20)))
	if _, ok := c.Peek(cache.Block, []byte("huge")); ok {
		t.Fatal("a body of a quarter of the bound was kept")
	}
}

func TestRedisGoneCostsOnlyHits(t *testing.T) {
	c := build(t, true)
	c.server.Close()
	began := time.Now()
	for i := range 200 {
		if b, _ := get(t, c.Cache, fmt.Sprint(i), body("v")); b != "v" {
			t.Fatal(b)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("200 reads took %s", took)
	}
	if c.breaker.State() == breaker.Closed {
		t.Fatalf("the breaker is closed: %+v", c.breaker.Snapshot())
	}
	if err := c.server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the breaker closes when Redis is back", func() bool { return c.breaker.State() == breaker.Closed })
}

func TestRedisAddressErrorsHideThePassword(t *testing.T) {
	reg := settings.NewRegistry()
	s, bs := cache.Declare(reg), cache.DeclareBreaker(reg, "redis")
	if err := reg.Load(settings.SourceFile, []settings.Change{{Key: "cache.l2.url", Value: "redis://:hunter2@host:port:x/0"}}); err != nil {
		t.Fatal(err)
	}
	_, err := cache.OpenRedis(s, 1, breaker.New("redis", "redis", bs))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("%v", err)
	}
}

func BenchmarkL1Hit(b *testing.B) {
	reg := settings.NewRegistry()
	c, err := cache.New(cache.Declare(reg), nil, nil, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Get(b.Context(), cache.Block, "k", body("v")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	key := []byte("k")
	for b.Loop() {
		c.Peek(cache.Block, key)
	}
}

func TestEntriesAndBytesAreCountedByClass(t *testing.T) {
	c := build(t, false)
	for i := range 50 {
		get(t, c.Cache, fmt.Sprint(i%40), body("v"))
	}
	blocks := func() cache.Stat {
		for _, s := range c.Stats() {
			if s.Tier == cache.L1 && s.Class == cache.Block {
				return s
			}
		}
		t.Fatal("no such class")
		return cache.Stat{}
	}
	if s := blocks(); s.Entries != 40 || s.Hits != 10 || s.Misses != 40 {
		t.Fatalf("%+v", s)
	}
	eventually(t, "as many bytes as L1 says", func() bool { return uint64(blocks().Bytes) == c.Bytes() })
	c.FlushL1()
	eventually(t, "all are counted out", func() bool { s := blocks(); return s.Entries == 0 && s.Bytes == 0 })
}

// What is written to Redis is counted before and after it is compressed; what is small
// counts the same twice.
func TestCompressionIsCounted(t *testing.T) {
	c := build(t, true)
	counted := func() (before, after float64) {
		families, err := c.metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			switch f.GetName() {
			case "bizra_cache_l2_uncompressed_bytes_total":
				before = f.GetMetric()[0].GetCounter().GetValue()
			case "bizra_cache_l2_compressed_bytes_total":
				after = f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return before, after
	}
	get(t, c.Cache, "small", body(strings.Repeat("s", 100)))
	eventually(t, "the small body is counted", func() bool { before, after := counted(); return before == 100 && after == 100 })
	get(t, c.Cache, "large", body(strings.Repeat("large ", 10_000)))
	eventually(t, "the large body is counted", func() bool { before, _ := counted(); return before == 60_100 })
	if _, after := counted(); after <= 100 || after > 2000 {
		t.Errorf("60,000 bytes of one word took %.0f bytes", after-100)
	}
}
