package promises

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/validation"
	"github.com/bizra/bizra-top/probes/load"
	"github.com/bizra/bizra-top/probes/promises/internal/before"
)

// The load on the API: a tenth above the rate that is promised, so that it can be
// kept.
const (
	promisedRate  = 3500
	apiRate       = promisedRate * 11 / 10
	apiBlocks     = 64
	apiSkew       = 1
	apiTimeout    = 2 * time.Second
	apiConcurrent = 256
)

var apiHow = fmt.Sprintf("%s at %.0f/s, skew %d, an open model, over the newest %d blocks; before: calls one by one, FIFO, a commit each",
	load.DefaultMix(), float64(apiRate), apiSkew, apiBlocks)

// Running is a whole node that serves.
type Running struct {
	URL     string
	Metrics prometheus.Gatherer
	Close   func() error
}

// providers are the configured ones.
func (s *stage) providers() []before.Provider {
	var out []before.Provider
	for _, p := range s.Settings.Upstream.Providers.Get() {
		if name, url, ok := strings.Cut(p, "="); ok {
			out = append(out, before.Provider{Name: name, URL: url})
		}
	}
	return out
}

// findSubjects asks the providers once for what all scenes ask about.
func (s *stage) findSubjects(ctx context.Context) (err error) {
	if len(s.subjects.Blocks) > 0 {
		return nil
	}
	err = errors.New("no provider is configured")
	for _, p := range s.providers() {
		var target *load.Target
		if target, err = load.NewTarget(p.URL, true); err != nil {
			continue
		}
		s.subjects, err = load.Find(ctx, target, apiBlocks)
		target.Close()
		if err == nil {
			return nil
		}
	}
	return err
}

// underLoad warms a service up, puts the load on it and measures. reads returns how
// many reads there were so far and how many asked no provider.
func (s *stage) underLoad(ctx context.Context, url string, reads func() (reads, hits uint64, err error)) (measured, []Sample, error) {
	if err := s.findSubjects(ctx); err != nil {
		return nil, nil, err
	}
	target, err := load.NewTarget(url, false)
	if err != nil {
		return nil, nil, err
	}
	defer target.Close()
	c := load.Config{Target: target, Mix: load.DefaultMix(), Subjects: s.subjects, Skew: apiSkew, Timeout: apiTimeout, Concurrency: apiConcurrent, Seed: 1,
		Pattern: load.Pattern{Shape: load.Ramp, Rate: apiRate, Duration: s.warmUp}}
	if _, err := load.Run(ctx, c); err != nil {
		return nil, nil, err
	}
	debug.FreeOSMemory() // what the scenes before have left
	readsBefore, hitsBefore, err := reads()
	if err != nil {
		return nil, nil, err
	}
	watching, stop := context.WithCancel(ctx)
	var samples []Sample
	var watchErr error
	watched := make(chan struct{})
	go func() { defer close(watched); samples, watchErr = watchMemory(watching) }()
	c.Pattern = load.Pattern{Shape: load.Constant, Rate: apiRate, Duration: s.loadSpan}
	r, err := load.Run(ctx, c)
	stop()
	<-watched
	if err = errors.Join(err, watchErr, ctx.Err()); err != nil {
		return nil, nil, err
	}
	readsAfter, hitsAfter, err := reads()
	if err != nil || readsAfter == readsBefore {
		return nil, nil, errors.Join(err, fmt.Errorf("nothing was read from the cache of %s: %v", target.Name(), r.Failures))
	}
	most := 0.0
	for _, sample := range samples {
		most = max(most, sample.RSS)
	}
	return measured{
		"api.latency_mean": r.Latency.Mean * 1e3, "api.latency_p99": r.Latency.P99 * 1e3, "api.rate": r.Rate, "api.errors": 100 * r.ErrorRatio,
		"cache.hit_ratio": 100 * float64(hitsAfter-hitsBefore) / float64(readsAfter-readsBefore),
		"memory.rss":      most / (1 << 20), "memory.growth": growth(samples),
	}, samples, nil
}

func (s *stage) apiBefore(ctx context.Context) (_ measured, err error) {
	source := before.NewSource(s.providers())
	defer source.Close()
	l, err := s.openLedger(ctx, "api-before")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close(ctx)) }()
	p, err := before.OpenPool(l.address)
	if err != nil {
		return nil, err
	}
	defer p.DB.Close()
	server, err := before.Serve(source, s.chainID, s.Settings.Validation, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	m, _, err := s.underLoad(ctx, server.URL(), func() (reads, hits uint64, err error) {
		reads, hits = server.Cache.Reads()
		return reads, hits, nil
	})
	return m, err
}

func (s *stage) apiAfter(ctx context.Context) (_ measured, err error) {
	// What the node writes goes to places of the bench's own.
	changes := []settings.Change{{Key: "api.listen", Value: "127.0.0.1:0"}, {Key: "cache.l2.prefix", Value: redisPrefix}}
	if dsn := s.Settings.Store.DSN.Get(); dsn != "" {
		address, drop, failed := makeSchema(ctx, dsn)
		if failed != nil {
			return nil, failed
		}
		defer func() { err = errors.Join(err, drop(context.WithoutCancel(ctx))) }()
		changes = append(changes, settings.Change{Key: "store.dsn", Value: address})
	}
	running, err := s.Start(ctx, changes)
	if err != nil {
		return nil, fmt.Errorf("start the node: %w", err)
	}
	defer func() { err = errors.Join(err, running.Close(), s.forget(ctx)) }()
	m, samples, err := s.underLoad(ctx, running.URL, func() (reads, hits uint64, err error) { return cacheReads(running.Metrics) })
	s.memory = samples
	return m, err
}

// forget removes from Redis what a node under the bench's prefix has left there.
func (s *stage) forget(ctx context.Context) error {
	if s.Settings.Cache.URL.Get() == "" {
		return nil
	}
	_, end, err := s.openL2(ctx)
	if err != nil {
		return err
	}
	return end()
}

// cacheReads adds up what the node counts: each read asks L1 first, and finds it
// there or in L2, or asks a provider.
func cacheReads(g prometheus.Gatherer) (reads, hits uint64, err error) {
	families, err := g.Gather()
	if err != nil {
		return 0, 0, err
	}
	for _, f := range families {
		name := f.GetName()
		if name != "bizra_cache_hits_total" && name != "bizra_cache_misses_total" {
			continue
		}
		for _, m := range f.Metric {
			n := uint64(m.GetCounter().GetValue())
			for _, label := range m.Label {
				if label.GetName() == "tier" && label.GetValue() == "l1" {
					reads += n
				}
			}
			if name == "bizra_cache_hits_total" {
				hits += n
			}
		}
	}
	return reads, hits, nil
}

const validationCallers = 4

var validationHow = fmt.Sprintf("%d callers reach verdicts on different blocks, transactions and addresses without a cache; before: calls one by one", validationCallers)

// verdicts measures a validator. one returns the context of one verdict.
func (s *stage) verdicts(ctx context.Context, v *validation.Validator, one func(context.Context) context.Context) (measured, error) {
	if err := s.findSubjects(ctx); err != nil {
		return nil, err
	}
	calls, _, err := callers(ctx, validationCallers, s.span, pace{}, func(ctx context.Context, caller, turn int, _ time.Time) (time.Duration, error) {
		n := caller + turn*validationCallers
		began := time.Now()
		verdict, err := s.verdict(one(ctx), v, n)
		took := time.Since(began)
		if err == nil && verdict.Outcome == validation.Undecided {
			err = fmt.Errorf("no verdict on %s: %s", verdict.Subject, verdict.Reason)
		}
		return took, err
	})
	return measured{"validation.mean": calls.mean(), "validation.p95": calls.quantile(95)}, err
}

// verdict reaches the n-th verdict: the kinds take turns in the proportion of the
// API's load.
func (s *stage) verdict(ctx context.Context, v *validation.Validator, n int) (validation.Verdict, error) {
	switch t := n % 10; {
	case t < 3 && len(s.subjects.Transactions) > 0:
		return v.Transaction(ctx, s.subjects.Transactions[n%len(s.subjects.Transactions)])
	case t == 3 && len(s.subjects.Addresses) > 0:
		return v.Address(ctx, s.subjects.Addresses[n%len(s.subjects.Addresses)])
	}
	return v.Block(ctx, fmt.Sprint(s.subjects.Blocks[n%len(s.subjects.Blocks)]))
}

func (s *stage) validationBefore(ctx context.Context) (measured, error) {
	source := before.NewSource(s.providers())
	defer source.Close()
	return s.verdicts(ctx, validation.New(source, s.chainID, s.Settings.Validation, nil), before.OneAtATime)
}

// openUpstreams opens the providers as the node does. end ends what runs.
func (s *stage) openUpstreams(ctx context.Context) (_ *upstream.Set, end func(), err error) {
	registry := settings.NewRegistry()
	b := breaker.Declare(registry, "upstream")
	set, err := upstream.New(s.Settings.Upstream, func(name string) *breaker.Breaker {
		return breaker.New("upstream/"+name, "upstream", b, breaker.WithProber())
	}, prometheus.NewRegistry(), nil, upstream.Chain{})
	if err != nil {
		return nil, nil, err
	}
	limited, cancel := context.WithTimeout(ctx, discoverWait)
	defer cancel()
	if s.chainID, err = set.Discover(limited); err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); set.Run(running) }()
	return set, func() { stop(); <-ended }, nil
}

// discoverWait bounds the wait for a provider that says which chain it serves.
const discoverWait = 10 * time.Second

func (s *stage) validationAfter(ctx context.Context) (measured, error) {
	set, end, err := s.openUpstreams(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return s.verdicts(ctx, validation.New(node.NewSource(set), s.chainID, s.Settings.Validation, nil), func(ctx context.Context) context.Context { return ctx })
}
