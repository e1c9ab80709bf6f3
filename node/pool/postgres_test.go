//go:build integration

package pool_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
)

// rig is a pool on the real server.
type rig struct {
	*pool.Postgres
	gate     *pool.Gate
	breaker  *breaker.Breaker
	registry *settings.Registry
}

func open(t *testing.T) rig {
	t.Helper()
	dsn := os.Getenv("BIZRA_TEST_POSTGRES_URL")
	if dsn == "" {
		t.Fatal("BIZRA_TEST_POSTGRES_URL is not set: run `make test`, which starts a private PostgreSQL")
	}
	reg := settings.NewRegistry()
	s, bs := pool.Declare(reg, 2), breaker.Declare(reg, "database")
	r := rig{gate: pool.NewGate(s, prometheus.NewRegistry()), breaker: breaker.New("database", "database", bs, breaker.WithProber()), registry: reg}
	reg.OnChange(func() error { r.gate.Resized(); return nil }, "pool.limit")
	var err error
	if r.Postgres, err = pool.OpenPostgres(dsn, s, r.gate, r.breaker); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

func sleep(seconds string) func(context.Context, *pgxpool.Conn) error {
	return func(ctx context.Context, conn *pgxpool.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_sleep("+seconds+")")
		return err
	}
}

// The limit goes from 8 to 3 to 20 under a load that would take more: those who
// are in finish, nobody enters above the limit, and a higher one is used at once.
func TestTheLimitChangesUnderLoad(t *testing.T) {
	r := open(t)
	set(t, r.registry, "pool.limit", "8")
	var in, worst, calls, failed atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := r.Do(context.Background(), func(ctx context.Context, conn *pgxpool.Conn) error {
					n := in.Add(1)
					defer in.Add(-1)
					for old := worst.Load(); n > old && !worst.CompareAndSwap(old, n); old = worst.Load() {
					}
					return sleep("0.005")(ctx, conn)
				})
				calls.Add(1)
				if err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	for _, step := range []struct {
		limit string
		most  int64
	}{{"8", 8}, {"3", 3}, {"20", 20}} {
		set(t, r.registry, "pool.limit", step.limit)
		for deadline := time.Now().Add(10 * time.Second); in.Load() > step.most; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("limit %s: still %d in", step.limit, in.Load())
			}
		}
		worst.Store(0)
		for deadline := time.Now().Add(10 * time.Second); worst.Load() < step.most; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("limit %s: never more than %d in", step.limit, worst.Load())
			}
		}
		time.Sleep(300 * time.Millisecond)
		t.Logf("limit %s: at most %d in", step.limit, worst.Load())
		if worst.Load() > step.most {
			t.Errorf("limit %s: %d in", step.limit, worst.Load())
		}
	}
	close(stop)
	wg.Wait()
	t.Logf("%d calls, %d failed", calls.Load(), failed.Load())
	if s := r.gate.Stat(); s.InUse != 0 || s.Waiting != 0 {
		t.Errorf("places leaked: %+v", s)
	}
}

// Others hold every connection: who waits gives up within 50 ms of their
// deadline, whichever of the two it is, and that says nothing about the database.
// The figure is logged; the test allows four times as much on a busy machine.
func TestDeadlinesWhileOthersHoldEveryConnection(t *testing.T) {
	r := open(t)
	set(t, r.registry, "pool.limit", "4")
	set(t, r.registry, "pool.acquire_timeout", "300ms")
	var holders, waiters sync.WaitGroup
	for range 4 {
		holders.Go(func() {
			if err := r.Do(context.Background(), sleep("2")); err != nil {
				t.Error(err)
			}
		})
	}
	for r.gate.Stat().InUse < 4 {
		time.Sleep(time.Millisecond)
	}
	var latest atomic.Int64
	for i := range 40 {
		waiters.Go(func() {
			ctx, deadline, want := context.Background(), 300*time.Millisecond, pool.ErrSaturated
			if i%2 == 0 {
				deadline, want = 150*time.Millisecond, context.DeadlineExceeded
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, deadline)
				defer cancel()
			}
			began := time.Now()
			err := r.Do(ctx, sleep("0"))
			late := int64(time.Since(began) - deadline)
			for old := latest.Load(); late > old && !latest.CompareAndSwap(old, late); old = latest.Load() {
			}
			if !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
	waiters.Wait()
	t.Logf("latest %s after its deadline", time.Duration(latest.Load()))
	if late := time.Duration(latest.Load()); late > 200*time.Millisecond {
		t.Errorf("%s after its deadline", late)
	}
	if s := r.breaker.Snapshot(); s.Failures != 0 || r.LastError() != "" {
		t.Errorf("the wait counts against the database: %+v, %q", s, r.LastError())
	}
	holders.Wait()
}

// A panic while a connection is used gives back the place, the connection and
// the breaker's permit, and the next caller is served.
func TestAPanicLeavesNothingBehind(t *testing.T) {
	r := open(t)
	set(t, r.registry, "pool.limit", "1")
	set(t, r.registry, "pool.acquire_timeout", "1s")
	set(t, r.registry, "breaker.database.slow_after", "50ms")
	for range 5 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_ = r.Do(t.Context(), func(ctx context.Context, conn *pgxpool.Conn) error {
				if _, err := conn.Query(ctx, "SELECT generate_series(1, 100000)"); err != nil { // rows left unread
					t.Error(err)
				}
				panic("in use")
			})
		}()
	}
	if err := r.Do(t.Context(), sleep("0")); err != nil {
		t.Fatal(err)
	}
	if s := r.gate.Stat(); s.InUse != 0 {
		t.Errorf("%+v", s)
	}
	time.Sleep(300 * time.Millisecond) // a permit that never reports would count as a slow call by now
	if s := r.breaker.Snapshot(); s.Calls != 1 || s.Failures != 0 {
		t.Errorf("a permit leaked: %+v", s)
	}
}

// An error in a statement is not the database's, a connection cut under it is.
func TestWhatCountsAgainstTheDatabase(t *testing.T) {
	r := open(t)
	statement := func(sql string) {
		_ = r.Do(t.Context(), func(ctx context.Context, conn *pgxpool.Conn) error {
			_, err := conn.Exec(ctx, sql)
			return err
		})
	}
	statement("SELECT 1/0")
	statement("SELECT * FROM no_such_table")
	statement("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$")
	if s := r.breaker.Snapshot(); s.Failures != 0 || s.Calls != 3 {
		t.Errorf("%+v", s)
	}
	statement("SELECT pg_terminate_backend(pg_backend_pid())")
	if s := r.breaker.Snapshot(); s.Failures != 1 || r.LastError() == "" {
		t.Errorf("%+v, %q", s, r.LastError())
	}
}
