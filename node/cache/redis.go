package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/supervise"
)

const (
	// writeQueue bounds the values waiting to be written to Redis.
	writeQueue = 1024
	// readQueue bounds the reads waiting for Redis.
	readQueue = 4096
	// longestKey is the longest key that is written as it is.
	longestKey = 200
	// writers is how many write at once; they also compress.
	writers = 2
	// flushDeadline bounds a flush of L2.
	flushDeadline = 10 * time.Second
)

// Redis is the L2 tier. Values are written in the background.
type Redis struct {
	client  redis.UniversalClient
	reads   *redis.AutoPipeliner
	prefix  string
	check   string // the key that checkWrites writes; no value's, whatever its name
	timeout func() time.Duration
	breaker *breaker.Breaker
	written lastWrite
	queue   chan *entry
	keys    keys
	metrics *metrics // set by New
	// provable, which may be nil, and proves are Cache.Prove's.
	provable func(key string) bool
	proves   func(key string, body []byte) bool
}

// Signed says whether values in Redis are signed with a secret.
func (r *Redis) Signed() bool { return len(r.keys) > 0 }

// trusts says whether a value of a key may be taken from Redis at all: everybody who can
// write there could have made it up.
func (r *Redis) trusts(key string) bool {
	return r.Signed() || r.provable != nil && r.provable(key)
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
	// Concurrent reads share round trips. They need no order, and a large answer
	// must not hold up all the others.
	reads, err := client.AsyncAutoPipelineWithOptions(&redis.AutoPipelineOptions{
		MaxBatchSize: 64, MaxConcurrentBatches: 4, Unordered: true, MaxQueuedCommands: readQueue,
	})
	if err != nil {
		_ = client.Close() // it has not connected yet
		return nil, fmt.Errorf("prepare the Redis client: %w", err)
	}
	return &Redis{
		client:  client,
		reads:   reads,
		prefix:  s.Prefix.Get() + ":" + strconv.FormatUint(chainID, 10) + ":",
		check:   s.Prefix.Get() + ":write-check:" + strconv.FormatUint(chainID, 10),
		timeout: s.L2Timeout.Get,
		breaker: b,
		queue:   make(chan *entry, writeQueue),
		keys:    keysOf(s.Secret.Get()),
	}, nil
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// pipelined is a client that can gather concurrent commands into pipelines.
type pipelined interface {
	redis.UniversalClient
	AsyncAutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error)
}

// connect builds the client. Redis slow or gone must cost nothing but hits, so
// the client itself never retries, and dials are short.
func connect(mode, url string) (pipelined, error) {
	const dial, transfer = 500 * time.Millisecond, time.Second
	brief := func(retries, dialerRetries *int, dials, reads, writes *time.Duration, contextTimeout *bool) {
		*retries, *dialerRetries, *dials, *reads, *writes, *contextTimeout = -1, 1, dial, transfer, transfer, true
	}
	switch mode {
	case "cluster":
		o, err := redis.ParseClusterURL(url)
		if err != nil {
			return nil, err
		}
		brief(&o.MaxRetries, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.ContextTimeoutEnabled)
		return redis.NewClusterClient(o), nil
	case "sentinel":
		o, err := redis.ParseFailoverURL(url)
		if err != nil {
			return nil, err
		}
		brief(&o.MaxRetries, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.ContextTimeoutEnabled)
		return redis.NewFailoverClient(o), nil
	default:
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, err
		}
		brief(&o.MaxRetries, &o.DialerRetries, &o.DialTimeout, &o.ReadTimeout, &o.WriteTimeout, &o.ContextTimeoutEnabled)
		return redis.NewClient(o), nil
	}
}

// key is where an entry stands in Redis. A long one is replaced by its SHA-256;
// the checksum of the value covers the whole.
func (r *Redis) key(key string) string {
	if len(key) > longestKey {
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:])
	}
	return r.prefix + key
}

// get returns what Redis holds, fresh or not; nil for whatever is wrong with it. It is no
// older than ttl says, whatever it says itself.
func (r *Redis) get(ctx context.Context, key string, ttl func(Class) time.Duration) *entry {
	var value []byte
	err := r.call(ctx, r.timeout(), func(ctx context.Context) error {
		get := redis.NewStringCmd(ctx, "get", r.key(key))
		// The future must say so before the command may be read: when the
		// deadline comes first, the pipeline may still write to it.
		if err := r.reads.Submit(ctx, get).WaitContext(ctx); err != nil {
			return err
		}
		var err error
		value, err = get.Bytes()
		return err
	})
	if err != nil {
		return nil
	}
	e, err := unseal(key, value, r.keys, r.prefix)
	switch {
	case errors.Is(err, errUnsigned), err == nil && !r.Signed() && !r.proves(key, e.body):
		r.metrics.l2Errors.WithLabelValues(l2Unsigned).Inc()
		return nil
	case err != nil:
		r.metrics.l2Errors.WithLabelValues(l2Corrupt).Inc()
		return nil
	}
	e.expires = min(e.expires, e.stored+int64(ttl(e.class)))
	e.until = e.expires
	return e
}

// put queues a value; a full queue drops it, which costs a hit later.
func (r *Redis) put(e *entry) {
	if !r.breaker.Allows() {
		return
	}
	select {
	case r.queue <- e:
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
	r.metrics.l2Latency.Observe(time.Since(began))
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		permit.Success()
	case errors.Is(ctx.Err(), context.Canceled):
		permit.Ignore()
	default:
		r.metrics.l2Errors.WithLabelValues(l2Call).Inc()
		permit.Failure(err)
	}
	return err
}

// Run writes queued values and probes Redis while its breaker is open, until
// ctx ends.
func (r *Redis) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range writers {
		supervise.Loop(ctx, &wg, "writes to Redis", r.writeLoop)
	}
	supervise.Loop(ctx, &wg, "check of Redis writes", r.checkWrites)
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
		case e := <-r.queue:
			ttl := time.Duration(e.until - monotonic.Now())
			if ttl <= 0 || r.resting() {
				continue
			}
			value, err := seal(e, r.keys, r.prefix)
			if err != nil {
				continue
			}
			// A write may take longer than a read: nobody waits for it.
			err = r.call(ctx, max(r.timeout(), time.Second), func(ctx context.Context) error {
				return r.settle(r.client.Set(ctx, r.key(e.key), value, ttl).Err())
			})
			if err == nil && !r.resting() { // an error is counted by call; a value not written is only a later miss
				r.metrics.l2Raw.Add(float64(len(e.body)))
				r.metrics.l2Written.Add(float64(len(value) - headerLength))
			}
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

// flush removes every key with this prefix, or those of one class, in small steps
// that do not block the server.
func (r *Redis) flush(ctx context.Context, class Class) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, flushDeadline)
	defer cancel()
	if c, ok := r.client.(*redis.ClusterClient); ok {
		var mu sync.Mutex
		total := 0
		err := c.ForEachMaster(ctx, func(ctx context.Context, shard *redis.Client) error {
			n, err := r.flushOne(ctx, shard, class)
			mu.Lock()
			defer mu.Unlock()
			total += n
			return err
		})
		return total, err
	}
	return r.flushOne(ctx, r.client, class)
}

func (r *Redis) flushOne(ctx context.Context, c redis.Cmdable, class Class) (int, error) {
	total, keys := 0, c.Scan(ctx, 0, r.prefix+"*", 500).Iterator()
	batch := make([]string, 0, 500)
	unlink := func() error {
		if err := r.keepClass(ctx, c, &batch, class); err != nil || len(batch) == 0 {
			batch = batch[:0]
			return err
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

// keepClass leaves the keys whose values are of a class, or all for none.
func (r *Redis) keepClass(ctx context.Context, c redis.Cmdable, keys *[]string, class Class) error {
	if class == 0 || len(*keys) == 0 {
		return nil
	}
	is := make([]*redis.StringCmd, len(*keys))
	if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range *keys {
			is[i] = p.GetRange(ctx, k, envelopeClass, envelopeClass)
		}
		return nil
	}); err != nil {
		return err
	}
	kept := (*keys)[:0]
	for i, k := range *keys {
		if is[i].Val() == string(byte(class)) {
			kept = append(kept, k)
		}
	}
	*keys = kept
	return nil
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
