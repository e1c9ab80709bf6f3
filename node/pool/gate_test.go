package pool_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func gate(t *testing.T) (*pool.Gate, *settings.Registry, *prometheus.Registry) {
	t.Helper()
	reg := settings.NewRegistry()
	s := pool.Declare(reg, 2)
	metrics := prometheus.NewRegistry()
	g := pool.NewGate(s, metrics)
	reg.OnChange(func() error { g.Resized(); return nil }, "pool.limit")
	return g, reg, metrics
}

func set(t *testing.T, reg *settings.Registry, key, value string) {
	t.Helper()
	if _, err := reg.Apply([]settings.Change{{Key: key, Value: value}}); err != nil {
		t.Fatal(err)
	}
}

// hold takes n places until the returned function is called.
func hold(t *testing.T, g *pool.Gate, n int) (release func()) {
	t.Helper()
	free := make(chan struct{})
	var wg, in sync.WaitGroup
	for range n {
		in.Add(1)
		wg.Go(func() {
			_ = g.Do(context.Background(), func(context.Context) error { in.Done(); <-free; return nil })
		})
	}
	in.Wait()
	return func() { close(free); wg.Wait() }
}

func TestAcquireKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, reg, _ := gate(t)
		set(t, reg, "pool.limit", "2")
		set(t, reg, "pool.acquire_timeout", "250ms")
		release := hold(t, g, 2)
		began := time.Now()
		err := g.Do(t.Context(), func(context.Context) error { return nil })
		if !errors.Is(err, pool.ErrSaturated) || time.Since(began) != 250*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := g.Do(ctx, func(context.Context) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if s := g.Stat(); s != (pool.Stat{Limit: 2, InUse: 2}) {
			t.Errorf("%+v", s)
		}
		release()
	})
}

func TestRaisedLimitWakesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, reg, _ := gate(t)
		set(t, reg, "pool.limit", "1")
		release := hold(t, g, 1)
		var wg sync.WaitGroup
		var ran atomic.Int32
		for range 3 {
			wg.Go(func() {
				_ = g.Do(context.Background(), func(context.Context) error { ran.Add(1); return nil })
			})
		}
		synctest.Wait()
		if s := g.Stat(); s.Waiting != 3 || ran.Load() != 0 {
			t.Fatalf("%+v", s)
		}
		set(t, reg, "pool.limit", "2")
		wg.Wait()
		if ran.Load() != 3 {
			t.Fatalf("%d ran", ran.Load())
		}
		release()
	})
}

func TestNeverAboveTheLimitWhileItChanges(t *testing.T) {
	g, reg, _ := gate(t)
	var wg sync.WaitGroup
	var in, worst atomic.Int32
	for range 16 {
		wg.Go(func() {
			for range 300 {
				_ = g.Do(context.Background(), func(context.Context) error {
					if n := in.Add(1); n > worst.Load() {
						worst.Store(n)
					}
					defer in.Add(-1)
					return nil
				})
			}
		})
	}
	for _, v := range []string{"8", "3", "12", "1", "5"} {
		set(t, reg, "pool.limit", v)
		time.Sleep(time.Millisecond)
	}
	wg.Wait()
	if s := g.Stat(); s.InUse != 0 || s.Waiting != 0 {
		t.Fatalf("places leaked: %+v", s)
	}
	if worst.Load() > 12 {
		t.Fatalf("%d at once, limit was at most 12", worst.Load())
	}
}

func TestStatementTimeoutReachesTheUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, reg, _ := gate(t)
		set(t, reg, "pool.statement_timeout", "2s")
		err := g.Do(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestBusyTimeIsTheIntegralOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _, metrics := gate(t)
		release := hold(t, g, 3)
		time.Sleep(2 * time.Second)
		release()
		time.Sleep(5 * time.Second)
		want := "# HELP bizra_db_pool_busy_seconds_total Time database connections were in use, summed; its rate is the average number in use.\n" +
			"# TYPE bizra_db_pool_busy_seconds_total counter\nbizra_db_pool_busy_seconds_total 6\n"
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "bizra_db_pool_busy_seconds_total"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPostgresAddressErrorsHideThePassword(t *testing.T) {
	g, reg, _ := gate(t)
	_ = reg
	_, err := pool.OpenPostgres("postgres://user:hunter2@host:notaport/db", pool.Declare(settings.NewRegistry(), 2), g, nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("%v", err)
	}
}

// A server that takes connections and says nothing is a failing one, though it
// is the caller's deadline that ends the wait.
func TestAHungDatabaseCountsAsFailing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reg := settings.NewRegistry()
	s, bs := pool.Declare(reg, 2), breaker.Declare(reg, "database")
	b := breaker.New("database", "database", bs, breaker.WithProber())
	p, err := pool.OpenPostgres("postgres://u@"+l.Addr().String()+"/db?sslmode=disable", s, pool.NewGate(s, prometheus.NewRegistry()), b)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	use := func(context.Context, *pgxpool.Conn) error { return nil }
	if err := p.Do(ctx, use); err == nil {
		t.Fatal("no error")
	}
	if s := b.Snapshot(); s.Failures != 1 || p.LastError() == "" {
		t.Fatalf("%+v, last error %q", s, p.LastError())
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if err := p.Do(left, use); err == nil {
		t.Fatal("no error")
	}
	if s := b.Snapshot(); s.Failures != 1 {
		t.Fatalf("a caller that left counts as a failure: %+v", s)
	}
}

// A gate that nobody else uses: with a context that ends before the statement
// timeout, and with one that has to be given a deadline.
func BenchmarkGate(b *testing.B) {
	reg := settings.NewRegistry()
	g := pool.NewGate(pool.Declare(reg, 2), prometheus.NewRegistry())
	bounded, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	use := func(context.Context) error { return nil }
	for name, ctx := range map[string]context.Context{"deadline": bounded, "no deadline": context.Background()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = g.Do(ctx, use)
			}
		})
	}
}

// Hold takes every place, those in use as they come free, and gives all back.
func TestHoldTakesEveryPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, reg, _ := gate(t)
		set(t, reg, "pool.limit", "3")
		free := make(chan struct{})
		var users sync.WaitGroup
		use := func(ctx context.Context) error { <-free; return nil }
		users.Go(func() { _ = g.Do(t.Context(), use) })
		synctest.Wait()
		ctx, release := context.WithCancel(t.Context())
		held := make(chan struct{})
		go func() { defer close(held); g.Hold(ctx) }()
		synctest.Wait()
		close(free) // the one in use comes free
		users.Wait()
		synctest.Wait()
		if s := g.Stat(); s.InUse != 3 || s.Waiting != 0 {
			t.Errorf("held: %+v", s)
		}
		waited := errors.New("not yet")
		users.Go(func() { waited = g.Do(t.Context(), func(context.Context) error { return nil }) })
		synctest.Wait()
		if s := g.Stat(); s.Waiting != 1 {
			t.Errorf("a caller does not wait: %+v", s)
		}
		release()
		<-held
		users.Wait()
		if s := g.Stat(); waited != nil || s.InUse != 0 || s.Waiting != 0 {
			t.Errorf("after it: %+v, %v", s, waited)
		}
	})
}
