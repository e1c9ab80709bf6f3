package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/node/cache"
)

// L1 counted a kept zstd frame by its length while it retained a much larger array, and
// what it does not count is there all the same. What it says it holds is what the heap
// has more of, within a tenth.
func TestL1CountsWhatItHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	text := func(n int) []byte { // compresses like blocks do, about four times
		var b strings.Builder
		for b.Len() < n {
			fmt.Fprintf(&b, `{"blockHash":"0x%016x","index":%d,"value":"0x0"},`, random.Uint64(), b.Len())
		}
		return []byte(b.String()[:n])
	}
	repeated := func(n int) []byte { return []byte(strings.Repeat("0", n)) }
	for _, test := range []struct {
		name             string
		entries, size    int
		redis, encodings bool
		body             func(int) []byte
	}{
		{"small", 15_000, 200, false, false, text},
		{"blocks", 3_000, 4_400, false, false, text},
		{"large", 100, 500_000, false, false, text},
		{"encoded for clients", 300, 40_000, false, true, text},
		{"written to Redis", 400, 40_000, true, false, text},
		{"of one byte, written to Redis", 40, 920_000, true, true, repeated},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := build(t, test.redis)
			set(t, c, "cache.l1.max_bytes", "1GiB")
			heap := func() int64 {
				runtime.GC()
				runtime.GC() // pools give up what they have in the second
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			before := heap()
			for i := range test.entries {
				a, err := c.Get(t.Context(), cache.Block, fmt.Sprint("key ", i), func(context.Context) (cache.Loaded, error) {
					return cache.Loaded{Body: test.body(test.size)}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if test.encodings {
					a.Encoded(cache.Zstd)
					a.Encoded(cache.Deflate)
				}
			}
			if test.redis { // what miniredis holds is in this heap too
				eventually(t, "all are written", func() bool {
					return written(c)+int(value(t, c, "bizra_cache_l2_dropped_total")) == test.entries
				})
				c.server.FlushAll()
			}
			var held int64
			eventually(t, "the counts are settled", func() bool {
				now := int64(c.Bytes())
				same := now == held && now > 0
				held = now
				return same
			})
			got := heap() - before
			if off := float64(held)/float64(got) - 1; off < -0.1 || off > 0.1 {
				t.Errorf("counts %d, the heap has %d more: %+.1f %%; %.0f bytes an entry more than key and body", held, got, 100*off,
					float64(got)/float64(test.entries)-float64(test.size)-10)
			}
			runtime.KeepAlive(c)
		})
	}
}
