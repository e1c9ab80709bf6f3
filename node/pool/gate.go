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
type Gate struct {
	settings Settings

	mu      sync.Mutex
	inUse   int
	busy    time.Duration // time in use, summed over all places, until changed
	changed time.Time
	waiters list.List // of chan struct{}, closed when its turn has come

	wait     prometheus.Histogram
	hold     prometheus.Histogram
	timeouts prometheus.Counter
}

// NewGate returns a gate that follows s.Limit and s.AcquireTimeout, and
// registers its metrics with reg. Call Resized after the limit has changed.
func NewGate(s Settings, reg prometheus.Registerer) *Gate {
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(latency.Options(name, help))
	}
	g := &Gate{
		settings: s,
		changed:  time.Now(),
		wait:     histogram("bizra_db_pool_acquire_wait_seconds", "Time callers waited for a database connection."),
		hold:     histogram("bizra_db_pool_query_seconds", "Time a database connection was in use."),
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
// use a context that ends with the statement timeout. The error is use's own,
// ErrSaturated, or the context's.
func (g *Gate) Do(ctx context.Context, use func(context.Context) error) error {
	if err := g.enter(ctx); err != nil {
		return err
	}
	began := time.Now()
	defer func() {
		g.leave()
		g.hold.Observe(time.Since(began).Seconds())
	}()
	ctx, cancel := context.WithTimeout(ctx, g.settings.StatementTimeout.Get())
	defer cancel()
	return use(ctx)
}

func (g *Gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.inUse < g.settings.Limit.Get() && g.waiters.Len() == 0 {
		g.take(1)
		g.mu.Unlock()
		g.wait.Observe(0)
		return nil
	}
	turn := make(chan struct{})
	place := g.waiters.PushBack(turn)
	g.mu.Unlock()

	began := time.Now()
	timeout := g.settings.AcquireTimeout.Get()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	select {
	case <-turn:
		g.wait.Observe(time.Since(began).Seconds())
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fmt.Errorf("%w: no connection within %s; raise pool.limit or find what holds them", ErrSaturated, timeout)
	}
	g.wait.Observe(time.Since(began).Seconds())
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // it came while we gave up: pass it on
		g.take(-1)
		g.wake()
	default:
		g.waiters.Remove(place)
	}
	g.timeouts.Inc()
	return err
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(-1)
	g.wake()
}

// take changes the number of places in use and accounts for the time until now.
func (g *Gate) take(n int) {
	now := time.Now()
	g.busy += time.Duration(g.inUse) * now.Sub(g.changed)
	g.changed = now
	g.inUse += n
}

func (g *Gate) busySeconds() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(0)
	return g.busy.Seconds()
}

// wake gives free places to the longest waiting.
func (g *Gate) wake() {
	for limit := g.settings.Limit.Get(); g.inUse < limit && g.waiters.Len() > 0; {
		turn := g.waiters.Remove(g.waiters.Front()).(chan struct{})
		g.take(1)
		close(turn)
	}
}

// Resized makes a changed limit known to those who wait. A lower limit takes
// effect as places are given back; nobody is interrupted.
func (g *Gate) Resized() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wake()
}

// Stat returns the gate as it is now.
func (g *Gate) Stat() Stat {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stat{Limit: g.settings.Limit.Get(), InUse: g.inUse, Waiting: g.waiters.Len()}
}
