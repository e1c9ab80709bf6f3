package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/breaker"
)

const (
	// writeQueue bounds the values waiting to be written to Redis.
	writeQueue = 1024
	// writers is how many write at once; they also compress.
	writers = 2
	// flushDeadline bounds a flush of L2.
	flushDeadline = 10 * time.Second
)

// Redis is the L2 tier. Values are written in the background.
type Redis struct {
	client  redis.UniversalClient
	prefix  string
	timeout func() time.Duration
	breaker *breaker.Breaker
	queue   chan write
	metrics *metrics // set by New
}

type write struct {
	key string
	entry
}

// OpenRedis prepares an L2 tier for one chain; it does not connect. Its errors
// never show the address, which may hold a password. Run must be running for
// values to be written.
func OpenRedis(s Settings, chainID uint64, b *breaker.Breaker) (*Redis, error) {
	// The library would write to standard error, where the screen is; what it
	// has to say is counted and reaches the breaker anyway.
	redis.SetLogger(silent{})
	client, err := connect(s.Mode.Get(), s.URL.Get())
	if err != nil {
		return nil, fmt.Errorf("cache.l2.url is not a Redis address for cache.l2.mode %s; "+
			"it looks like redis://host:6379/0, or rediss:// for TLS", s.Mode.Get())
	}
	return &Redis{
		client:  client,
		prefix:  s.Prefix.Get() + ":" + strconv.FormatUint(chainID, 10) + ":",
		timeout: s.L2Timeout.Get,
		breaker: b,
		queue:   make(chan write, writeQueue),
	}, nil
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// connect builds the client. Redis slow or gone must cost nothing but hits, so
// the client itself never retries, and dials are short.
func connect(mode, url string) (redis.UniversalClient, error) {
	const dial = 500 * time.Millisecond
	switch mode {
	case "cluster":
		o, err := redis.ParseClusterURL(url)
		if err != nil {
			return nil, err
		}
		o.MaxRetries, o.DialTimeout, o.DialerRetries, o.ContextTimeoutEnabled = -1, dial, 1, true
		return redis.NewClusterClient(o), nil
	case "sentinel":
		o, err := redis.ParseFailoverURL(url)
		if err != nil {
			return nil, err
		}
		o.MaxRetries, o.DialTimeout, o.DialerRetries, o.ContextTimeoutEnabled = -1, dial, 1, true
		return redis.NewFailoverClient(o), nil
	default:
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, err
		}
		o.MaxRetries, o.DialTimeout, o.DialerRetries, o.ContextTimeoutEnabled = -1, dial, 1, true
		return redis.NewClient(o), nil
	}
}

func (r *Redis) get(ctx context.Context, key string) (entry, bool) {
	var value []byte
	err := r.call(ctx, r.timeout(), func(ctx context.Context) (err error) {
		value, err = r.client.Get(ctx, r.prefix+key).Bytes()
		return err
	})
	if err != nil {
		return entry{}, false
	}
	body, expires, err := unseal(key, value)
	if err != nil {
		r.metrics.l2Errors.WithLabelValues("corrupt").Inc()
		return entry{}, false
	}
	return entry{body: body, expires: expires}, true
}

// put queues a value; a full queue drops it, which costs a hit later.
func (r *Redis) put(key string, e entry) {
	if !r.breaker.Allows() {
		return
	}
	select {
	case r.queue <- write{key, e}:
	default:
		r.metrics.l2Dropped.Inc()
	}
}

// call runs one Redis command under the breaker and a deadline. A key that is
// not there is no failure.
func (r *Redis) call(ctx context.Context, timeout time.Duration, do func(context.Context) error) error {
	permit, err := r.breaker.Acquire()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	err = do(limited)
	r.metrics.l2Latency.Observe(time.Since(began).Seconds())
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		permit.Success()
	case errors.Is(ctx.Err(), context.Canceled):
		permit.Ignore()
	default:
		r.metrics.l2Errors.WithLabelValues("call").Inc()
		permit.Failure(err)
	}
	return err
}

// Run writes queued values and probes Redis while its breaker is open, until
// ctx ends.
func (r *Redis) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { r.writeLoop(ctx) })
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			r.probe(ctx)
		}
	}
	wg.Wait()
}

func (r *Redis) writeLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-r.queue:
			now := time.Now()
			ttl := w.expires.Sub(now)
			value, err := seal(w.key, w.body, now, w.expires)
			if err != nil || ttl <= 0 {
				continue
			}
			// A write may take longer than a read: nobody waits for it.
			_ = r.call(ctx, max(r.timeout(), time.Second), func(ctx context.Context) error {
				return r.client.Set(ctx, r.prefix+w.key, value, ttl).Err()
			}) // counted by call; a value not written is only a later miss
		}
	}
}

func (r *Redis) probe(ctx context.Context) {
	permit, ok := r.breaker.Probe()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := r.client.Ping(ctx).Err(); err != nil {
		permit.Failure(err)
	} else {
		permit.Success()
	}
}

// flush removes every key with this prefix, in small steps that do not block
// the server.
func (r *Redis) flush(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, flushDeadline)
	defer cancel()
	if c, ok := r.client.(*redis.ClusterClient); ok {
		var mu sync.Mutex
		total := 0
		err := c.ForEachMaster(ctx, func(ctx context.Context, shard *redis.Client) error {
			n, err := r.flushOne(ctx, shard)
			mu.Lock()
			defer mu.Unlock()
			total += n
			return err
		})
		return total, err
	}
	return r.flushOne(ctx, r.client)
}

func (r *Redis) flushOne(ctx context.Context, c redis.Cmdable) (int, error) {
	total, keys := 0, c.Scan(ctx, 0, r.prefix+"*", 500).Iterator()
	batch := make([]string, 0, 500)
	unlink := func() error {
		if len(batch) == 0 {
			return nil
		}
		// One command a key: keys of one shard may be in different slots.
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range batch {
				p.Unlink(ctx, k)
			}
			return nil
		})
		if err == nil {
			total += len(batch)
		}
		batch = batch[:0]
		return err
	}
	for keys.Next(ctx) {
		if batch = append(batch, keys.Val()); len(batch) == cap(batch) {
			if err := unlink(); err != nil {
				return total, fmt.Errorf("flush L2: %w", err)
			}
		}
	}
	if err := keys.Err(); err != nil {
		return total, fmt.Errorf("flush L2: %w", err)
	}
	if err := unlink(); err != nil {
		return total, fmt.Errorf("flush L2: %w", err)
	}
	return total, nil
}

// Warning returns what is wrong with the server's configuration, or "".
func (r *Redis) Warning(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	v, err := r.client.ConfigGet(ctx, "maxmemory").Result()
	if err == nil && v["maxmemory"] == "0" {
		return "Redis has no maxmemory: it may grow until the host has none left; set maxmemory and maxmemory-policy allkeys-lfu"
	}
	return ""
}

// Close closes the connections; call it after Run has returned.
func (r *Redis) Close() error { return r.client.Close() }
