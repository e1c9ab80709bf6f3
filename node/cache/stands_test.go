package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/bizra/bizra-top/node/cache"
)

var errDown = errors.New("down")

func down(context.Context) (cache.Loaded, error) { return cache.Loaded{}, errDown }

func loaded(l cache.Loaded, text string) cache.Loader {
	l.Body = []byte(text)
	return func(context.Context) (cache.Loaded, error) { return l, nil }
}

// chain is which block stands at each height.
type chain struct {
	mu     sync.Mutex
	hashes map[uint64][32]byte
}

func (c *chain) canonical(number uint64) ([32]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, known := c.hashes[number]
	return h, known
}

func (c *chain) set(number uint64, hash byte) cache.BlockRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hashes[number] = [32]byte{hash}
	return cache.BlockRef{Number: number, Hash: [32]byte{hash}}
}

func TestAReorgDropsExactlyWhatItMust(t *testing.T) {
	blocks := &chain{hashes: map[uint64][32]byte{}}
	c := buildWith(t, true, blocks.canonical)
	for number := range uint64(20) {
		blocks.set(number, byte(number+1))
	}
	keep := map[string]cache.Loaded{
		"below the fork":      {Block: cache.BlockRef{Number: 12, Hash: [32]byte{13}}},
		"immutable":           {Immutable: true},
		"moving":              {},
		"above what is known": {Block: cache.BlockRef{Number: 99, Hash: [32]byte{99}}},
	}
	drop := map[string]cache.Loaded{
		"at the fork":    {Block: cache.BlockRef{Number: 13, Hash: [32]byte{14}}},
		"above the fork": {Block: cache.BlockRef{Number: 19, Hash: [32]byte{20}}},
	}
	for name, l := range keep {
		get(t, c.Cache, name, loaded(l, "old"))
	}
	for name, l := range drop {
		get(t, c.Cache, name, loaded(l, "old"))
	}
	eventually(t, "written to Redis", func() bool { return written(c) == len(keep)+len(drop) })

	replaced := cache.BlockRef{}
	for number := uint64(13); number < 20; number++ {
		replaced = blocks.set(number, byte(number+101))
	}
	for name := range drop {
		if _, ok := c.Peek(cache.Block, []byte(name)); ok {
			t.Errorf("%s: still found", name)
		}
		// The old value stands in Redis too, and must not come back from there.
		if body, tier := get(t, c.Cache, name, loaded(cache.Loaded{Block: replaced}, "new")); body != "new" || tier != cache.Origin {
			t.Errorf("%s: %q from %v", name, body, tier)
		}
		if body, tier := get(t, c.Cache, name, never(t)); body != "new" || tier != cache.L1 {
			t.Errorf("%s: %q from %v", name, body, tier)
		}
	}
	for _, flush := range []bool{false, true} {
		if flush {
			c.FlushL1()
		}
		for name := range keep {
			if body, tier := get(t, c.Cache, name, never(t)); body != "old" || (tier == cache.L1) == flush {
				t.Errorf("%s: %q from %v", name, body, tier)
			}
		}
	}
}

// An answer that was asked for before a reorganisation and came after it is given
// to those who wait, and not kept for others.
func TestALoadOvertakenByAReorgIsNotKept(t *testing.T) {
	blocks := &chain{hashes: map[uint64][32]byte{}}
	c := buildWith(t, false, blocks.canonical)
	before := blocks.set(5, 1)
	body, _ := get(t, c.Cache, "k", func(context.Context) (cache.Loaded, error) {
		blocks.set(5, 2)
		return cache.Loaded{Body: []byte("old"), Block: before}, nil
	})
	if _, ok := c.Peek(cache.Block, []byte("k")); ok || body != "old" {
		t.Fatal(body, ok)
	}
}

func TestImmutableAnswersAreServedStale(t *testing.T) {
	c := build(t, true)
	set(t, c, "cache.ttl.block", "30ms")
	get(t, c.Cache, "immutable", loaded(cache.Loaded{Immutable: true}, "v"))
	get(t, c.Cache, "moving", loaded(cache.Loaded{}, "v"))
	eventually(t, "written to Redis", func() bool { return written(c) >= 1 })
	time.Sleep(40 * time.Millisecond)

	for _, from := range []string{"L1", "L2, as right after a start"} {
		a, err := c.Get(t.Context(), cache.Block, "immutable", down)
		if err != nil || string(a.Body) != "v" || !a.Stale {
			t.Errorf("from %s: %+v, %v", from, a, err)
		}
		if _, err := c.Get(t.Context(), cache.Block, "moving", down); !errors.Is(err, errDown) {
			t.Errorf("moving, from %s: %v", from, err)
		}
		c.FlushL1()
	}
	if body, tier := get(t, c.Cache, "immutable", loaded(cache.Loaded{Immutable: true}, "new")); body != "new" || tier != cache.Origin {
		t.Errorf("%q from %v: stale though it could be had", body, tier)
	}
	set(t, c, "cache.stale_for", "0s")
	get(t, c.Cache, "short", loaded(cache.Loaded{Immutable: true}, "v"))
	time.Sleep(40 * time.Millisecond)
	if _, err := c.Get(t.Context(), cache.Block, "short", down); !errors.Is(err, errDown) {
		t.Errorf("with cache.stale_for 0: %v", err)
	}
}

func TestEntriesThatAreReadAreLoadedAheadOfTheirEnd(t *testing.T) {
	c := build(t, false)
	set(t, c, "cache.ttl.block", "400ms")
	set(t, c, "cache.refresh_ahead", "0.9")
	var loads atomic.Int32
	load := func(context.Context) (cache.Loaded, error) {
		return cache.Loaded{Body: fmt.Appendf(nil, "v%d", loads.Add(1))}, nil
	}
	get(t, c.Cache, "k", load)
	time.Sleep(100 * time.Millisecond) // well inside its time, and in the last 90 % of it
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if body, tier := get(t, c.Cache, "k", load); tier != cache.L1 {
				t.Errorf("%q from %v: a reader waited", body, tier)
			}
		})
	}
	wg.Wait()
	eventually(t, "loaded anew", func() bool { a, ok := c.Peek(cache.Block, []byte("k")); return ok && string(a.Body) != "v1" })
	if n := loads.Load(); n > 3 {
		t.Errorf("50 readers made %d loads", n)
	}
}

func TestBodiesAreEncodedOnce(t *testing.T) {
	c := build(t, true)
	text := strings.Repeat(`{"hash":"0xabc","value":12}`, 1000)
	get(t, c.Cache, "big", loaded(cache.Loaded{}, text))
	get(t, c.Cache, "small", loaded(cache.Loaded{}, "small"))
	eventually(t, "written to Redis", func() bool { return written(c) == 2 })
	for _, tier := range []cache.Tier{cache.L1, cache.L2} {
		a, err := c.Get(t.Context(), cache.Block, "big", never(t))
		if err != nil || a.Tier != tier {
			t.Fatal(a.Tier, err)
		}
		first, deflated := a.Encoded(cache.Zstd), a.Encoded(cache.Deflate)
		again, _ := c.Peek(cache.Block, []byte("big"))
		if second := again.Encoded(cache.Zstd); len(second) == 0 || &second[0] != &first[0] {
			t.Errorf("%v: encoded a second time", tier)
		}
		d, err := zstd.NewReader(bytes.NewReader(first))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(d); err != nil || string(plain) != text {
			t.Errorf("%v: zstd: %v", tier, err)
		}
		d.Close()
		// Raw deflate without an end: everything is there, then it is cut off.
		plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(deflated)))
		if string(plain) != text || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: deflate: %d bytes, %v", tier, len(plain), err)
		}
		c.FlushL1()
	}
	a, _ := c.Get(t.Context(), cache.Block, "small", never(t))
	if a.Encoded(cache.Zstd) != nil || a.Encoded(cache.Deflate) != nil {
		t.Error("a small body was encoded")
	}
}

func TestAHungLoaderHurtsOnlyItsCallers(t *testing.T) {
	c := build(t, false)
	set(t, c, "cache.load_timeout", "200ms")
	hang := func(ctx context.Context) (cache.Loaded, error) { <-ctx.Done(); return cache.Loaded{}, ctx.Err() }
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := c.Get(t.Context(), cache.Block, "hung", hang); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	for i := range 100 {
		get(t, c.Cache, fmt.Sprint(i), body("v"))
	}
	wg.Wait()
	get(t, c.Cache, "hung", body("v")) // the next one is not held back
}

func TestCloseEndsLoadsUnderWay(t *testing.T) {
	c := build(t, false)
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := c.Get(t.Context(), cache.Block, "k", func(ctx context.Context) (cache.Loaded, error) {
			close(started)
			<-ctx.Done()
			return cache.Loaded{}, ctx.Err()
		})
		ended <- err
	}()
	<-started
	c.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), cache.Block, "k", body("v")); !errors.Is(err, cache.ErrClosed) {
		t.Fatal(err)
	}
}

// A cache of 1 GiB is cut to 64 MiB while it is read: no read waits for it. What
// the machine itself takes away is told by a goroutine that only looks at the
// clock. The long form has eight times as many entries.
func TestShrinkingUnderLoadHoldsUpNobody(t *testing.T) {
	size := 32 << 10
	if os.Getenv("BIZRA_TEST_LONG") != "" {
		size = 4 << 10
	}
	c := build(t, false)
	set(t, c, "cache.l1.max_bytes", "1GiB")
	entries := 930 << 20 / (size + size/16 + 400)
	shared := bytes.Repeat([]byte("x"), size) // by all entries; it counts for each
	load := func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: shared}, nil }
	for i := range entries {
		if _, err := c.Get(t.Context(), cache.Block, fmt.Sprint(i), load); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "filled", func() bool { return c.Bytes() > 900<<20 })
	var wg sync.WaitGroup
	stop := make(chan struct{})
	worst := func(look func(i int)) *time.Duration {
		slowest := new(time.Duration)
		wg.Go(func() {
			for i := 0; ; i = (i + 7919) % entries {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				look(i)
				*slowest = max(*slowest, time.Since(began))
			}
		})
		return slowest
	}
	var reads, clock []*time.Duration
	for range 2 {
		reads = append(reads, worst(func(i int) { c.Peek(cache.Block, fmt.Append(nil, i)) }))
		clock = append(clock, worst(func(int) { _ = time.Now() }))
	}
	set(t, c, "cache.l1.max_bytes", "64MiB")
	eventually(t, "shrunk", func() bool { return c.Bytes() <= 64<<20 })
	close(stop)
	wg.Wait()
	read, noise := max(*reads[0], *reads[1]), max(*clock[0], *clock[1])
	t.Logf("%d entries: slowest read %s, slowest look at the clock %s", entries, read, noise)
	if read > 50*time.Millisecond+2*noise {
		t.Errorf("a read took %s while the cache shrank", read)
	}
}
