package cache

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/settings"
)

func newL1(t testing.TB) *Cache {
	t.Helper()
	c, err := New(Declare(settings.NewRegistry()), nil, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (c *Cache) filled(t testing.TB, class Class, key string, size int) {
	t.Helper()
	if _, err := c.Get(t.Context(), class, key, func(context.Context) (Loaded, error) { return Loaded{Body: make([]byte, size), Immutable: true}, nil }); err != nil {
		t.Fatal(err)
	}
}

// Few hot keys are found among very many that are not, with about their shares.
func TestHotKeysAreFound(t *testing.T) {
	c := newL1(t)
	hot := map[string]float64{"hot 0": 0.3, "hot 1": 0.15, "hot 2": 0.05}
	for key := range hot {
		c.filled(t, Block, key, 1000)
	}
	const cold = 2000
	for i := range cold {
		c.filled(t, Address, fmt.Sprint("cold ", i), 10)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60_000 {
		key := fmt.Sprint("cold ", random.IntN(cold))
		for x, i := random.Float64(), 0; i < len(hot); i++ {
			name := fmt.Sprint("hot ", i)
			if x -= hot[name]; x < 0 {
				key = name
				break
			}
		}
		class := Block
		if strings.HasPrefix(key, "cold") {
			class = Address
		}
		if _, ok := c.Peek(class, []byte(key)); !ok {
			t.Fatal("not in L1:", key)
		}
	}
	list := c.HotKeys(3)
	if len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	for i, k := range list {
		want := hot[fmt.Sprint("hot ", i)]
		// 1/256 of the hits is what a counter may be wrong by, and 1,900 are drawn.
		if k.Key != fmt.Sprint("hot ", i) || k.Class != Block || math.Abs(k.Share-want) > 0.05 || k.Bytes < 1000 {
			t.Errorf("place %d: %+v; want a share of %g", i, k, want)
		}
	}
	if n := len(c.hot.counters); n != hotCounters || len(c.hot.least) != hotCounters {
		t.Errorf("%d keys are counted, %d in the heap; want %d", n, len(c.hot.least), hotCounters)
	}
	if n := len(c.HotKeys(1000)); n > hotCounters {
		t.Errorf("%d hot keys", n)
	}
	c.FlushL1()
	if k := c.HotKeys(1)[0]; k.Bytes != 0 {
		t.Errorf("a key that is not in L1 has a size: %+v", k)
	}
}

// Keys that are read in turn are all in the sample, however many they are.
func TestHotKeysReadInTurn(t *testing.T) {
	c := newL1(t)
	const keys = 32
	for i := range keys {
		c.filled(t, Block, fmt.Sprint(i), 1)
	}
	for i := range 40_000 {
		c.Peek(Block, []byte(fmt.Sprint(i%keys)))
	}
	list := c.HotKeys(2 * keys)
	if len(list) != keys {
		t.Fatalf("%d of %d keys are in the sample: %+v", len(list), keys, list)
	}
	for _, k := range list {
		if math.Abs(k.Share-1.0/keys) > 0.025 {
			t.Errorf("%+v; want a share of %.3f", k, 1.0/keys)
		}
	}
}

// What was hot is forgotten by halves, and the shares stay shares.
func TestHotKeysAreForgotten(t *testing.T) {
	h, now := newHotKeys(), time.Now()
	before, after := &entry{key: "before", class: Block}, &entry{key: "after", class: Block}
	for range 1000 {
		h.saw(1, before, now)
	}
	now = now.Add(hotHalfLife)
	for range 500 {
		h.saw(2, after, now)
	}
	if list, total := h.hottest(10, now); len(list) != 2 || list[0].count != 500 || list[1].count != 500 || total != 1000 {
		t.Errorf("after a half-life: %+v of %d", list, total)
	}
	if list, total := h.hottest(10, now.Add(100*hotHalfLife)); len(list) != 0 || total != 0 {
		t.Errorf("long after: %+v of %d", list, total)
	}
	if list, _ := h.hottest(10, now.Add(-time.Hour)); len(list) != 0 {
		t.Errorf("with a clock that was put back: %+v", list)
	}
}

// A long key is kept cut, without the whole of it, and is still found in L1.
func TestHotKeysThatAreLong(t *testing.T) {
	c := newL1(t)
	long := strings.Repeat("k", 10*hotKeyLength)
	c.filled(t, Address, long, 64)
	for range 10_000 {
		c.Peek(Address, []byte(long))
	}
	if list := c.HotKeys(1); len(list) != 1 || len(list[0].Key) != hotKeyLength || list[0].Bytes < uint32(len(long)) || list[0].Share != 1 {
		t.Errorf("%+v", list)
	}
}

// BenchmarkHotKey is what a hit in the sample costs more, where the keys are so many
// that each takes a counter from another.
func BenchmarkHotKey(b *testing.B) {
	h, now, entries := newHotKeys(), time.Now(), make([]entry, 1<<16)
	for i := range entries {
		entries[i].key = fmt.Sprint(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		slot := uint64(i*7919) % uint64(len(entries))
		h.saw(slot, &entries[slot], now)
	}
}
