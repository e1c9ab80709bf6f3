package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bizra/bizra-top/node/cache"
)

// hanging returns a loader that waits until its context ends, and counts.
func hanging(started, ended *atomic.Int64) cache.Loader {
	return func(ctx context.Context) (cache.Loaded, error) {
		started.Add(1)
		defer ended.Add(1)
		<-ctx.Done()
		return cache.Loaded{}, ctx.Err()
	}
}

// Twenty thousand reads of distinct keys that were given up left as many loads behind, for
// as long as cache.load_timeout. A load ends with the last who waits for it.
func TestAbandonedReadsLeaveNoLoad(t *testing.T) {
	c := build(t, false)
	before := runtime.NumGoroutine()
	var started, ended atomic.Int64
	var wg sync.WaitGroup
	for worker := range 20 {
		wg.Go(func() {
			for i := range 1000 {
				ctx, leave := context.WithCancel(t.Context())
				leaving := started.Load()
				go func() {
					for started.Load() == leaving && ctx.Err() == nil {
						runtime.Gosched()
					}
					leave()
				}()
				if _, err := c.Get(ctx, cache.Block, fmt.Sprint(worker, " ", i), hanging(&started, &ended)); !errors.Is(err, context.Canceled) && !errors.Is(err, cache.ErrBusy) {
					t.Error(err)
				}
				leave()
			}
		})
	}
	wg.Wait()
	eventually(t, "all loads end", func() bool { return started.Load() == ended.Load() })
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+2 })
}

// Above cache.max_loads a load is refused at once, and counted; what L1 holds is answered.
func TestLoadsHaveABound(t *testing.T) {
	c := build(t, false)
	set(t, c, "cache.max_loads", "3")
	if got, _ := get(t, c.Cache, "held", body("v")); got != "v" {
		t.Fatal(got)
	}
	var started, ended atomic.Int64
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { _, _ = c.Get(ctx, cache.Block, fmt.Sprint(i), hanging(&started, &ended)) })
	}
	eventually(t, "three loads", func() bool { return started.Load() == 3 })
	if _, err := c.Get(t.Context(), cache.Block, "one more", never(t)); !errors.Is(err, cache.ErrBusy) {
		t.Errorf("%v", err)
	}
	if got, tier := get(t, c.Cache, "held", never(t)); got != "v" || tier != cache.L1 {
		t.Errorf("%s from %s", got, tier)
	}
	if n := value(t, c, "bizra_cache_loads_shed_total"); n != 1 {
		t.Errorf("%g were counted", n)
	}
	leave()
	wg.Wait()
}

// A refresh ahead of time that joined a running load was never done again: what ended it
// was that load's end, not its own.
func TestARefreshThatJoinedALoadIsDoneAgain(t *testing.T) {
	c := build(t, false)
	set(t, c, "cache.ttl.block", "20s")
	set(t, c, "cache.refresh_ahead", "0.9")
	if got, _ := get(t, c.Cache, "k", body("old")); got != "old" {
		t.Fatal(got)
	}
	// A load of the same key runs when the refresh begins, and fails.
	started, release := make(chan struct{}), make(chan struct{})
	warming := make(chan error, 1)
	go func() {
		warming <- c.Refresh(t.Context(), cache.Block, "k", func(context.Context) (cache.Loaded, error) {
			close(started)
			<-release
			return cache.Loaded{}, errors.New("the provider is away")
		})
	}()
	<-started
	eventually(t, "the entry is due and its refresh joins the load", func() bool {
		_, err := c.Get(t.Context(), cache.Block, "k", never(t))
		return err == nil && value(t, c, "bizra_cache_refreshes_total") == 1
	})
	close(release)
	if err := <-warming; err == nil {
		t.Error("the load did not fail")
	}
	eventually(t, "a later read refreshes it", func() bool {
		a, err := c.Get(t.Context(), cache.Block, "k", body("new"))
		return err == nil && string(a.Body) == "new"
	})
}

// value returns a metric without labels.
func value(t *testing.T, r rig, name string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
