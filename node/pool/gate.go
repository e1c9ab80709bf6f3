package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/latency"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
)

// ErrSaturated is returned when no place became free before the deadline.
var ErrSaturated = errors.New("database pool is saturated")

// Settings are the live tunables of the gate and the pool behind it.
type Settings struct {
	Limit            *settings.Value[int]
	AcquireTimeout   *settings.Value[time.Duration]
	IdleTimeout      *settings.Value[time.Duration]
	StatementTimeout *settings.Value[time.Duration]
	Ceiling          *settings.Value[int]
}

// Declare declares the pool's tunables. cores sets the default limit,
// cores*2+4: enough to keep each core and its disk busy, as PostgreSQL's wiki
// page on the number of database connections advises, and some to spare.
func Declare(r *settings.Registry, cores int) Settings {
	s := Settings{
		Limit: settings.Int(r, settings.Spec{Key: "pool.limit", Unit: "connections", Min: 1, Max: 1000, Step: 1,
			Doc: "Database connections that may be in use at once.", Risk: settings.RiskHigh}, cores*2+4),
		AcquireTimeout: settings.Duration(r, settings.Spec{Key: "pool.acquire_timeout", Min: 0.01, Max: 600, Step: 1,
			Doc: "Longest wait for a database connection.", Risk: settings.RiskHigh}, time.Minute),
		IdleTimeout: settings.Duration(r, settings.Spec{Key: "pool.idle_timeout", Min: 1, Max: 3600, Step: 5, Restart: true,
			Doc: "An idle database connection is closed after this."}, 10*time.Second),
		StatementTimeout: settings.Duration(r, settings.Spec{Key: "pool.statement_timeout", Min: 0.05, Max: 600, Step: 1,
			Doc: "Longest use of a connection for one statement or batch.", Risk: settings.RiskMedium}, 15*time.Second),
		Ceiling: settings.Int(r, settings.Spec{Key: "pool.ceiling", Unit: "connections", Min: 1, Max: 1000, Restart: true,
			Doc: "Most connections the limit can be raised to while running."}, 64),
	}
	r.Relate(func(number func(string) float64) error {
		if l, c := number("pool.limit"), number("pool.ceiling"); l > c {
			return fmt.Errorf("%.0f is above pool.ceiling %.0f, which is read at start only", l, c)
		}
		return nil
	}, "pool.limit", "pool.ceiling")
	return s
}

// Stat is a gate at one moment.
type Stat struct {
	Limit, InUse, Waiting int
}

// Gate is a semaphore whose limit follows a setting. Waiters are served in the
// order in which they came. All methods may be called from any goroutine.
//
// Free, it costs a mutex taken twice, as any semaphore that is fair does, two
// readings of the monotonic clock for its metrics, and two atomic histograms.
type Gate struct {
	settings Settings
	start    time.Time // what times below are since

	mu      sync.Mutex
	inUse   int
	entered time.Duration // when each place in use was taken, summed
	busy    time.Duration // time in use of places given back, summed
	told    time.Duration // the busy time last exported
	waiters list.List     // of *waiter

	wait     *latency.Histogram
	hold     *latency.Histogram
	timeouts prometheus.Counter
}

type waiter struct {
	turn  chan struct{} // closed when the place is given
	began time.Duration // when it was; written before turn is closed
}

// NewGate returns a gate that follows s.Limit and s.AcquireTimeout, and
// registers its metrics with reg. Call Resized after the limit has changed.
func NewGate(s Settings, reg prometheus.Registerer) *Gate {
	g := &Gate{
		settings: s,
		start:    time.Now(),
		wait:     latency.NewHistogram("bizra_db_pool_acquire_wait_seconds", "Time callers waited for a database connection."),
		hold:     latency.NewHistogram("bizra_db_pool_query_seconds", "Time a database connection was in use."),
		timeouts: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_db_pool_timeouts_total",
			Help: "Callers that gave up waiting for a database connection."}),
	}
	gauge := func(name, help string, read func(Stat) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(read(g.Stat())) })
	}
	reg.MustRegister(g.wait, g.hold, g.timeouts,
		gauge("bizra_db_pool_limit", "Database connections that may be in use at once.", func(s Stat) int { return s.Limit }),
		gauge("bizra_db_pool_in_use", "Database connections in use.", func(s Stat) int { return s.InUse }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "bizra_db_pool_busy_seconds_total",
			Help: "Time database connections were in use, summed; its rate is the average number in use."}, g.busySeconds),
		gauge("bizra_db_pool_waiting", "Callers waiting for a database connection.", func(s Stat) int { return s.Waiting }))
	return g
}

// Do calls use while holding one place of the gate. It waits for the place
// until ctx ends or the acquire timeout is over, whichever is first, and gives
// use a context that ends with the statement timeout, which is ctx itself when
// that ends before. The error is use's own, ErrSaturated, or the context's.
func (g *Gate) Do(ctx context.Context, use func(context.Context) error) error {
	began, err := g.enter(ctx)
	if err != nil {
		return err
	}
	defer g.leave(began)
	timeout := g.settings.StatementTimeout.Get()
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(g.start)-began <= timeout {
		return use(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return use(ctx)
}

// Hold takes as many places as the limit is now, each as it comes free, and gives them
// back when ctx ends. It is for drills: what holds them does nothing.
func (g *Gate) Hold(ctx context.Context) {
	var held sync.WaitGroup
	for range g.settings.Limit.Get() {
		supervise.Go(&held, "held place of the pool", func() {
			if began, err := g.enter(ctx); err == nil {
				<-ctx.Done()
				g.leave(began)
			}
		}, nil)
	}
	held.Wait()
}

// enter waits for a place and returns when it was given.
func (g *Gate) enter(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	asked := time.Since(g.start)
	g.mu.Lock()
	if g.inUse < g.settings.Limit.Get() && g.waiters.Len() == 0 {
		g.take(asked)
		g.mu.Unlock()
		g.wait.Observe(0)
		return asked, nil
	}
	w := &waiter{turn: make(chan struct{})}
	place := g.waiters.PushBack(w)
	g.mu.Unlock()

	timeout := g.settings.AcquireTimeout.Get()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	select {
	case <-w.turn:
		g.wait.Observe(w.began - asked)
		return w.began, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fmt.Errorf("%w: no connection within %s; raise pool.limit or find what holds them", ErrSaturated, timeout)
	}
	now := time.Since(g.start)
	g.wait.Observe(now - asked)
	g.timeouts.Inc()
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.turn: // it came while we gave up: pass it on
		g.giveBack(w.began, now)
	default:
		g.waiters.Remove(place)
	}
	return 0, err
}

func (g *Gate) leave(began time.Duration) {
	now := time.Since(g.start)
	g.mu.Lock()
	g.giveBack(began, now)
	g.mu.Unlock()
	g.hold.Observe(now - began)
}

func (g *Gate) take(now time.Duration) {
	g.inUse++
	g.entered += now
}

// giveBack frees a place taken at began, for the longest waiting if there is one.
func (g *Gate) giveBack(began, now time.Duration) {
	g.inUse--
	g.entered -= began
	g.busy += now - began
	if g.waiters.Len() > 0 {
		g.wake(now)
	}
}

func (g *Gate) busySeconds() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	// A place may be given back with a reading of the clock from before the last
	// look, and a counter must never fall.
	g.told = max(g.told, g.busy+time.Duration(g.inUse)*time.Since(g.start)-g.entered)
	return g.told.Seconds()
}

// wake gives free places to the longest waiting.
func (g *Gate) wake(now time.Duration) {
	for limit := g.settings.Limit.Get(); g.inUse < limit && g.waiters.Len() > 0; {
		w := g.waiters.Remove(g.waiters.Front()).(*waiter)
		w.began = now
		g.take(now)
		close(w.turn)
	}
}

// Resized makes a changed limit known to those who wait. A lower limit takes
// effect as places are given back; nobody is interrupted.
func (g *Gate) Resized() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wake(time.Since(g.start))
}

// Stat returns the gate as it is now.
func (g *Gate) Stat() Stat {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stat{Limit: g.settings.Limit.Get(), InUse: g.inUse, Waiting: g.waiters.Len()}
}
