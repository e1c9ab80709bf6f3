package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/validation"
)

// discoverFor bounds the wait at start for a provider that says its chain.
const discoverFor = 10 * time.Second

// Options say how a node is built.
type Options struct {
	Registry *settings.Registry
	Settings Settings
	StateDir string
	Socket   string
	Mode     string // "demo" or "node"
	Version  string
	Log      *slog.Logger
	// Metrics is what everything registers with.
	Metrics *prometheus.Registry
	// Happened is called after each event, outside all locks.
	Happened func(control.Event)
}

// Opening is what a node needs beside its options to open.
type Opening struct {
	// Observer answers the API's queries over the node's metrics.
	Observer api.Observer
	// Listener is what the API is served on, and Adopted connections to it that
	// another process accepted.
	Listener net.Listener
	Adopted  []net.Conn
	// Health, which may be nil, says how the parts beside the node are, by check.
	Health func() map[string][]api.HealthPart
}

// Node is a running validation node. Build it with New, then call Open and Run.
type Node struct {
	options   Options
	settings  Settings
	log       *slog.Logger
	started   time.Time
	metrics   *prometheus.Registry
	events    *control.Events
	told      *prometheus.CounterVec // events by kind and severity
	upstreams *upstream.Set
	cache     *cache.Cache
	prover    *verify.Prover
	cached    atomic.Pointer[cache.Cache] // the same, for who watches before it is open
	redis     *cache.Redis                // nil without L2
	warmer    *cache.Warmer
	gate      *pool.Gate
	postgres  *pool.Postgres // nil with an embedded ledger
	ledger    *store.Ledger
	server    *api.Server
	breakers  []*breaker.Breaker
	chainID   uint64
	besides   func() map[string][]api.HealthPart // nil without any
	probing   sync.Map                           // names of open breakers whose probing was told of

	closing atomic.Bool // from the end of Run's ctx on
	// give is where connections go in a handover; nil without one.
	give atomic.Pointer[func(net.Conn) error]

	// Watching providers begins in New, since the chain is needed there.
	stopWatch context.CancelFunc
	watching  sync.WaitGroup
}

// New builds a node with all that another process may have at once: it touches no
// ledger and serves nothing. It waits a moment for a provider that says which chain
// it serves, unless that is configured. After an error nothing stays open.
func New(ctx context.Context, o Options) (_ *Node, err error) {
	n := &Node{options: o, settings: o.Settings, log: o.Log, started: time.Now(), metrics: o.Metrics,
		told: newTold()}
	n.events = control.NewEvents(func(e control.Event) {
		n.told.WithLabelValues(e.Kind, e.Severity).Inc()
		if o.Happened != nil {
			o.Happened(e)
		}
	})
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)} // half of what is in use, by design
	n.metrics.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		settings.Collector(o.Registry),
		breaker.Collector(func() []*breaker.Breaker { return n.breakers }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_node_info", Help: "1, with the node's version.",
			ConstLabels: prometheus.Labels{"version": o.Version, "mode": o.Mode}}, func() float64 { return 1 }),
		n.told, supervise.Collector())
	supervise.OnPanic(func(p *supervise.Panic) {
		n.log.Error("a task panicked: a defect of this program", "task", p.Name, "panic", p.Value, "stack", p.Stack)
		n.event("node", "bad", p.Name, printable.Clean("panicked, which failed what it did and nothing else: "+p.Value, 200))
	})
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if _, err := files.Folder(o.StateDir, true); err != nil {
		return nil, err
	}
	if err := n.openUpstreams(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// Open opens what only one process may have, the ledger before all, and the API.
// After an error the node is closed.
func (n *Node) Open(ctx context.Context, o Opening) (err error) {
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if err := n.openLedger(ctx); err != nil {
		return err
	}
	if err := n.openCache(); err != nil {
		return err
	}
	n.besides = o.Health
	bodies := memory.NewBudget(n.settings.API.MaxBodies.Get, n.metrics)
	v := validation.New(NewSource(n.upstreams), n.chainID, n.settings.Validation, n.metrics)
	n.prover = verify.New(NewSource(n.upstreams), trusted{n.upstreams.Heads()}, n.chainID, n.settings.Verify, n.metrics, n.lied)
	n.server, err = api.New(n.settings.API, api.Parts{
		Validator: v, Cache: n.cache, Upstreams: n.upstreams, Prover: n.prover, Ledger: n.ledger,
		Health: n.health, Registry: n.metrics, Observer: o.Observer, Bodies: bodies,
		Report: func(text string) {
			n.log.Warn("a request failed", "error", text)
			n.event("api", "warn", "request", text)
		},
		Listener: o.Listener, Adopted: o.Adopted,
	})
	if err != nil {
		return err
	}
	n.warmer = cache.NewWarmer(n.cache, filepath.Join(n.options.StateDir, fmt.Sprintf("hottest-%d.cache", n.chainID)), n.server.Warm, n.metrics,
		func(severity, text string) { n.event("cache", severity, "cache", text) })
	n.limitMemory()
	for _, reaction := range []struct {
		run  func()
		keys []string
	}{
		{n.gate.Resized, []string{"pool.limit"}},
		{n.cache.Resized, []string{"cache.l1.max_bytes"}},
		{n.limitMemory, []string{"cache.l1.max_bytes", "node.memory_headroom"}},
	} {
		n.options.Registry.OnChange(func() error { reaction.run(); return nil }, reaction.keys...)
	}
	return nil
}

// Close closes a node that was built and is not run.
func (n *Node) Close() { n.close() }

// limitMemory tells the garbage collector how much there is: by itself it lets the
// heap grow to twice of what is in use, and so L1 to twice its bound.
func (n *Node) limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(n.settings.Cache.MaxBytes.Get() + n.settings.Headroom.Get())
	}
}

// newTold returns the counter of events, which begins with what every run tells.
func newTold() *prometheus.CounterVec {
	told := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_node_events_total",
		Help: "Events told to the operator, by kind and severity."}, []string{"kind", "severity"})
	told.WithLabelValues("node", "info")
	return told
}

func (n *Node) event(kind, severity, subject, text string) {
	n.events.Add(control.Event{Kind: kind, Severity: severity, Subject: subject, Text: text})
}

func (n *Node) openUpstreams(ctx context.Context) error {
	set, err := upstream.New(n.settings.Upstream, func(provider string) *breaker.Breaker {
		return n.newBreaker(classUpstream+"/"+provider, classUpstream, n.settings.Upstreams)
	}, n.metrics, func(e upstream.Event) { n.event("upstream", e.Severity, e.Provider, e.Text) }, upstream.Chain{
		Quorum: n.settings.Validation.Quorum.Get, Depth: n.settings.Validation.ConfirmationsFinal.Get,
		Moved: func() {
			if c := n.cached.Load(); c != nil {
				c.Moved()
			}
		},
		Replaced: func() { supervise.Go(&n.watching, "emptying of the cache", n.replaced, nil) },
	})
	if err != nil {
		return err
	}
	n.upstreams = set
	limited, cancel := context.WithTimeout(ctx, discoverFor)
	defer cancel()
	if n.chainID, err = n.discover(limited, filepath.Join(n.options.StateDir, "chain")); err != nil {
		return err
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stopWatch = stop
	supervise.Loop(watch, &n.watching, "watch of the providers", set.Run)
	return nil
}

func (n *Node) openLedger(ctx context.Context) (err error) {
	n.gate = pool.NewGate(n.settings.Pool, n.metrics)
	told := func(severity, text string) { n.event("ledger", severity, "ledger", text) }
	dsn := n.settings.Store.DSN.Get()
	if dsn == "" {
		n.ledger, err = store.OpenSQLite(ctx, n.settings.Store, filepath.Join(n.options.StateDir, "ledger.db"), n.gate, n.metrics, told)
		return err
	}
	b := n.newBreaker(classDatabase, classDatabase, n.settings.Database)
	if n.postgres, err = pool.OpenPostgres(dsn, n.settings.Pool, n.gate, b); err != nil {
		return err
	}
	n.metrics.MustRegister(n.postgres)
	n.ledger, err = store.OpenPostgres(ctx, n.settings.Store, n.postgres, filepath.Join(n.options.StateDir, "outbox.db"), n.metrics, told)
	return err
}

func (n *Node) openCache() (err error) {
	if n.settings.Cache.URL.Get() != "" {
		b := n.newBreaker(classRedis, classRedis, n.settings.Redis)
		if n.redis, err = cache.OpenRedis(n.settings.Cache, n.chainID, b); err != nil {
			return err
		}
	}
	if n.cache, err = cache.New(n.settings.Cache, n.redis, n.upstreams.Heads().Canonical, n.metrics); err != nil {
		return err
	}
	n.cached.Store(n.cache)
	return nil
}

// replaced drops all that the cache holds: more of the chain was replaced than is known.
func (n *Node) replaced() {
	c := n.cached.Load()
	if c == nil {
		return
	}
	entries := c.FlushL1()
	ctx, cancel := context.WithTimeout(context.Background(), flushFor)
	defer cancel()
	removed, err := c.FlushL2(ctx)
	text := fmt.Sprintf("all known blocks were replaced: %d entries of L1 and %d of L2 dropped", entries, removed)
	if err != nil && !errors.Is(err, cache.ErrNoL2) {
		text += "; L2: " + printable.Clean(err.Error(), 200) + "; run cache.flush_l2"
	}
	n.event("cache", "bad", "cache", text)
}

// flushFor bounds the emptying of Redis when the chain was replaced.
const flushFor = 15 * time.Second

// restoreFor bounds how long serving waits for the hottest entries of the last run.
const restoreFor = time.Second

// HandOver has Run pass on the connections that wait for their next request, instead
// of closing them, when its ctx ends; new ones wait in the queue of the socket then.
func (n *Node) HandOver(give func(net.Conn) error) { n.give.Store(&give) }

// Run serves until ctx ends, then drains: it refuses new requests, finishes
// those under way, commits the ledger and closes everything. serving, which may be
// nil, is called when it serves. The error is of serving, or says what could not be
// finished.
func (n *Node) Run(ctx context.Context, serving func()) error {
	defer n.close()
	var background, ledger sync.WaitGroup
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	supervise.Essential(&ledger, "ledger", n.ledger.Run)
	if n.postgres != nil {
		supervise.Loop(work, &background, "watch of PostgreSQL", n.postgres.Run)
	}
	if n.redis != nil {
		supervise.Loop(work, &background, "watch of Redis", n.redis.Run)
		supervise.Go(&background, "look at Redis", func() { n.warnAboutRedis(work) }, nil)
	}
	supervise.Loop(work, &background, "proofs of answers", n.prover.Run)
	supervise.Go(&background, "warming", func() { n.warmer.Run(work) }, nil)
	select {
	case <-n.warmer.Restored():
	case <-time.After(restoreFor):
	}
	served := make(chan error, 1)
	var server sync.WaitGroup
	defer server.Wait()
	supervise.Go(&server, "API", func() { served <- n.server.Serve() }, func(err error) { served <- err })
	if serving != nil {
		serving()
	}
	supervise.Go(&background, "first collection", runtime.GC, nil) // else the heap may grow to twice what opening had in use
	n.event("node", "good", n.name(), fmt.Sprintf("started %s on %s, chain %d, ledger %s", n.options.Version, n.server.Address(), n.chainID, n.ledger.Backend()))

	var err error
	select {
	case <-ctx.Done():
		n.closing.Store(true)
		if give := n.give.Load(); give != nil {
			err = n.server.HandOver(*give)
		} else {
			n.event("node", "info", n.name(), "draining")
			err = n.server.Shutdown()
		}
		err = errors.Join(err, <-served)
	case err = <-served:
	}
	n.ledger.Stop()
	ledger.Wait()
	stop()
	background.Wait()
	return err
}

func (n *Node) warnAboutRedis(ctx context.Context) {
	if w := n.redis.Warning(ctx); w != "" {
		n.event("node", "warn", "redis", w)
	}
	if !n.redis.Signed() {
		n.event("node", "warn", "redis", "cache.l2.secret is not set, so whoever can write to Redis could forge what is there: "+
			"only blocks by hash are taken from it, which prove themselves; set the same secret in all nodes that share it (openssl rand -hex 32)")
	}
}

// close closes what is open; what is not was never opened.
func (n *Node) close() {
	if n.stopWatch != nil {
		n.stopWatch()
		n.watching.Wait()
	}
	if n.cache != nil {
		n.cache.Close()
	}
	if n.redis != nil {
		_ = n.redis.Close() // only cached values are lost
	}
	if n.ledger != nil {
		if err := n.ledger.Close(); err != nil {
			n.log.Error("close the ledger", "error", err)
		}
	}
	if n.postgres != nil {
		n.postgres.Close()
	}
}

// Events returns the node's list of events.
func (n *Node) Events() *control.Events { return n.events }

// Address returns where the API listens.
func (n *Node) Address() string { return n.server.Address() }

// Listens returns where the API listens, as it is dialled.
func (n *Node) Listens() net.Addr { return n.server.Listens() }

// HoldConnections takes every place of the database gate and keeps it until ctx ends.
func (n *Node) HoldConnections(ctx context.Context) { n.gate.Hold(ctx) }

// Closing says whether Run has begun to drain.
func (n *Node) Closing() bool { return n.closing.Load() }

func (n *Node) name() string {
	host, _ := os.Hostname() // an unnamed host is shown as the binary's name
	return printable.Clean(cmp.Or(n.settings.Name.Get(), host, "bizra-top"), 40)
}
