package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fastjson"
)

// Bounds of a load.
const (
	maxConcurrency = 10_000
	maxTimeout     = 5 * time.Minute
	// lateAfter is how long after its due time a request may begin before it counts
	// as late: above what a timer and a busy scheduler cost.
	lateAfter = 5 * time.Millisecond
	// progressEvery is how often progress is told, and what one row of the timeline
	// is.
	progressEvery = time.Second
)

// Config says what load is put on what.
type Config struct {
	Target   *Target
	Pattern  Pattern
	Mix      Mix
	Subjects Subjects
	// Skew is the exponent of Zipf's law by which subjects are drawn, the newest
	// most; 0 draws all alike.
	Skew float64
	// Follow keeps the subjects to the newest so many blocks while the load runs; 0
	// leaves them as they are.
	Follow int
	// WarmUp is how long the load runs at the pattern's first rate before anything is
	// counted.
	WarmUp time.Duration
	// Timeout is how long after its due time a request may begin, and how long after
	// that it may be answered.
	Timeout time.Duration
	// Concurrency is how many requests are under way at most.
	Concurrency int
	Seed        uint64
	// Progress, which may be nil, is told once a second how it goes. The next second
	// waits for it, the load does not.
	Progress func(Report)
}

func (c Config) check() (Config, error) {
	var err error
	if c.Pattern, err = c.Pattern.withDefaults(); err != nil {
		return c, err
	}
	switch {
	case c.Concurrency < 1 || c.Concurrency > maxConcurrency:
		return c, fmt.Errorf("the concurrency must be from 1 to %d", maxConcurrency)
	case c.Timeout <= 0 || c.Timeout > maxTimeout:
		return c, fmt.Errorf("the timeout must be above 0 and at most %s", maxTimeout)
	case !(c.Skew >= 0) || c.Skew > 10:
		return c, errors.New("the skew must be from 0 to 10")
	case c.WarmUp < 0 || c.WarmUp > maxDuration:
		return c, fmt.Errorf("the warm-up must be from 0 to %s", maxDuration)
	}
	return c, nil
}

// arrival is one request's due time.
type arrival struct {
	due  time.Time
	warm bool
}

// schedule hands out arrivals to the workers, warm-up first.
type schedule struct {
	begin time.Time // of the pattern

	mu            sync.Mutex
	warm, pattern *arrivals // warm is nil when it is over
	warmUp        time.Duration
}

func newSchedule(c Config, now time.Time) *schedule {
	random := rand.New(rand.NewPCG(c.Seed, 0xa))
	s := &schedule{begin: now.Add(c.WarmUp), pattern: newArrivals(c.Pattern, random), warmUp: c.WarmUp}
	if c.WarmUp > 0 {
		s.warm = newArrivals(Pattern{Shape: Constant, Rate: c.Pattern.rate(0), Duration: c.WarmUp}, nil)
	}
	return s
}

func (s *schedule) next() (arrival, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warm != nil {
		if at, ok := s.warm.next(); ok {
			return arrival{s.begin.Add(at - s.warmUp), true}, true
		}
		s.warm = nil
	}
	at, ok := s.pattern.next()
	return arrival{s.begin.Add(at), false}, ok
}

// Run puts the load on the target and returns what it saw. It ends when the last
// request is answered or has timed out, which is at most two timeouts after the
// pattern's end, or at once when ctx ends, which is no error: the report says so.
func Run(ctx context.Context, c Config) (Report, error) {
	c, err := c.check()
	if err != nil {
		return Report{}, err
	}
	choose, err := c.Mix.on(c.Target.rpc, &c.Subjects)
	if err != nil {
		return Report{}, err
	}
	l := &running{Config: c, choose: choose, skew: newSkewed(c.Skew), schedule: newSchedule(c, time.Now())}
	l.subjects.Store(&c.Subjects)
	l.recorder = newRecorder(c, choose, l.schedule.begin)
	besides, stop := context.WithCancel(ctx)
	var watching, workers sync.WaitGroup
	if c.Follow > 0 {
		f := finder{target: c.Target, blocks: c.Follow}
		watching.Go(func() { f.follow(besides, &l.subjects) })
	}
	watching.Go(func() { l.recorder.tick(besides, c.Progress) })
	for i := range c.Concurrency {
		workers.Go(func() { l.work(ctx, rand.New(rand.NewPCG(c.Seed, uint64(i)+0xb))) })
	}
	workers.Wait()
	stop()
	watching.Wait()
	return l.recorder.finish(ctx.Err() != nil), nil
}

// running is a load that runs.
type running struct {
	Config
	choose   chooser
	skew     skewed
	schedule *schedule
	subjects atomic.Pointer[Subjects]
	recorder *recorder
}

// work makes one request after the other, each as it falls due, until none is left.
// A request that fell due while all workers were busy is made late.
func (l *running) work(ctx context.Context, random *rand.Rand) {
	var body bytes.Buffer
	var parser fastjson.Parser
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		next, ok := l.schedule.next()
		if !ok {
			return
		}
		var lateness blame
		if wait := time.Until(next.due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			if time.Since(next.due) > lateAfter {
				lateness = generatorLate
			}
		} else if -wait > lateAfter {
			lateness = concurrencyFull
		}
		if ctx.Err() != nil {
			return
		}
		l.request(ctx, next, lateness, random, &body, &parser)
	}
}

func (l *running) request(ctx context.Context, a arrival, lateness blame, random *rand.Rand, body *bytes.Buffer, parser *fastjson.Parser) {
	number := l.choose.draw(random)
	if waited := time.Since(a.due); waited >= l.Timeout {
		// The client it stands for has given up.
		l.recorder.record(observation{kind: number, latency: waited, failure: notBegun, warm: a.warm, lateness: lateness})
		return
	}
	subjects := l.subjects.Load()
	k := l.choose.kinds[number]
	r := k.request(l.Target.rpc, draw{subjects, l.skew, random})
	limited, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	l.recorder.begin()
	sent := time.Now()
	status, err := l.Target.send(limited, r, body)
	latency := time.Since(a.due)
	o := observation{kind: number, latency: latency, warm: a.warm, lateness: lateness, begun: true}
	switch {
	case ctx.Err() != nil:
		o.cut = true // by who ended the load, not by the target
	case err != nil:
		o.failure = failureOf(err)
	default:
		o.failure = r.judge(status, body.Bytes(), parser)
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			o.refused = max(time.Since(sent), 1)
		}
	}
	l.recorder.record(o)
}
