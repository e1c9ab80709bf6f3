package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/settings"
)

// Hit ratios of L1 as the node uses it, by bytes and with its headroom, beside the
// exact LRU and FIFO with room for as many entries as those bytes hold, on the same
// trace, one read after the other.
const (
	ratioKeys  = 100_000
	ratioReads = 1_000_000
	ratioRoom  = 8 << 20
	ratioBody  = 1 << 10
)

// store is a cache that is asked for a key and keeps it when it had it not.
type store func(key uint64) (hit bool)

func ratios() error {
	l1, entries, closeL1 := ours1()
	defer closeL1()
	fmt.Printf("\nHit ratio of L1: %d reads of %d keys, room for %d entries of %d bytes.\n\n", ratioReads, ratioKeys, entries, ratioBody)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "trace\tL1\texact LRU\tFIFO\tL1 to LRU\tL1 to FIFO")
	for _, t := range []struct {
		name string
		next func() uint64
	}{
		{"zipf 0.8", zipf(0.8)}, {"zipf 0.99", zipf(0.99)}, {"zipf 0.99, mixed with scans", scans(zipf(0.99))},
	} {
		lru, err := lruOf(entries)
		if err != nil {
			return err
		}
		stores := []store{l1(), lru, fifoOf(entries)}
		hits := make([]float64, len(stores))
		for range ratioReads {
			key := t.next()
			for i, s := range stores {
				if s(key) {
					hits[i]++
				}
			}
		}
		fmt.Fprintf(out, "%s\t%.3f\t%.3f\t%.3f\t%.2f\t%.2f\n", t.name, hits[0]/ratioReads, hits[1]/ratioReads, hits[2]/ratioReads,
			hits[0]/hits[1], hits[0]/hits[2])
	}
	return out.Flush()
}

// ours1 returns what empties L1 and gives it as a store, and how many entries its
// bytes hold.
func ours1() (empty func() store, entries int, end func()) {
	registry := settings.NewRegistry()
	s := cache.Declare(registry)
	if err := registry.Load(settings.SourceFlag, []settings.Change{{Key: "cache.l1.max_bytes", Value: strconv.Itoa(ratioRoom)}}); err != nil {
		panic(err) // the key above is wrong
	}
	c, err := cache.New(s, nil, nil, prometheus.NewRegistry())
	if err != nil {
		panic(err) // only a wrong setting can do this
	}
	body := make([]byte, ratioBody)
	load := func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: body, Immutable: true}, nil }
	read := func(key uint64) bool {
		a, err := c.Get(context.Background(), cache.Block, strconv.FormatUint(key, 10), load)
		return err == nil && a.Tier == cache.L1
	}
	read(0)
	for c.Bytes() == 0 { // L1 weighs an entry a moment after it has it
		time.Sleep(time.Millisecond)
	}
	return func() store { c.FlushL1(); return read }, int(ratioRoom / c.Bytes()), c.Close
}

func lruOf(entries int) (store, error) {
	l, err := simplelru.NewLRU[uint64, struct{}](entries, nil)
	return func(key uint64) bool {
		_, hit := l.Get(key)
		if !hit {
			l.Add(key, struct{}{})
		}
		return hit
	}, err
}

func fifoOf(entries int) store {
	held, order, next := map[uint64]bool{}, make([]uint64, entries), 0
	return func(key uint64) bool {
		if held[key] {
			return true
		}
		if len(held) == entries {
			delete(held, order[next])
		}
		order[next], held[key] = key, true
		next = (next + 1) % entries
		return false
	}
}

// zipf returns keys of which the k-th most read is read in proportion to k^-s;
// math/rand/v2's needs s above 1.
func zipf(s float64) func() uint64 {
	sums, sum := make([]float64, ratioKeys), 0.0
	for k := range sums {
		sum += math.Pow(float64(k+1), -s)
		sums[k] = sum
	}
	random := rand.New(rand.NewPCG(11, 13))
	return func() uint64 { return uint64(sort.SearchFloat64s(sums, random.Float64()*sum)) }
}

// scans mixes a trace with runs over keys that are read once.
func scans(next func() uint64) func() uint64 {
	const every, length = 40_000, 10_000
	n, fresh := 0, uint64(ratioKeys)
	return func() uint64 {
		if n++; n%every < length {
			fresh++
			return fresh
		}
		return next()
	}
}
