package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/probes/load"
)

// demoProviders are the names of the demo's providers. The second is the faulty
// one.
var demoProviders = []string{"alpha", "bravo", "charlie"}

// The demo's loads: one that goes up and down, 80 requests a second on average, which
// is enough to move every panel and little enough for a laptop on battery; and now
// and then several clients that read the ledger at once, enough to fill a small pool
// for a moment.
var demoLoads = []load.Config{
	{
		Pattern: load.Pattern{Shape: load.Wave, Rate: 120, Period: 40 * time.Second, Poisson: true},
		Mix: load.Mix{{Kind: "transaction", Weight: 200}, {Kind: "block", Weight: 100}, {Kind: "address", Weight: 100}, {Kind: "ledger", Weight: 100},
			{Kind: "rpc.block", Weight: 200}, {Kind: "rpc.receipt", Weight: 150}, {Kind: "rpc.address", Weight: 70}, {Kind: "rpc.head", Weight: 70},
			{Kind: "absent", Weight: 7}, {Kind: "malformed", Weight: 3}},
		Skew: 1, Follow: demoBlocks, Timeout: 5 * time.Second, Concurrency: 24,
	},
	{
		Pattern: load.Pattern{Shape: load.Burst, Rate: 400, Period: 15 * time.Second},
		Mix:     load.Mix{{Kind: "ledger", Weight: 1}}, Timeout: time.Second, Concurrency: 6,
	},
}

// demoBlocks is how many of the newest blocks the demo's load asks about.
const demoBlocks = 60

// demoSchedule is what happens to the faulty provider, over and over.
var demoSchedule = []devchain.Phase{
	{Name: "healthy", For: 12 * time.Second},
	{Name: "failing", For: 14 * time.Second, Fault: devchain.Fault{ErrorRate: 0.9, Status: 503}},
	{Name: "healthy", For: 20 * time.Second},
	{Name: "lying", For: 4 * time.Second, Fault: devchain.Fault{Lie: devchain.LieTransaction}},
	{Name: "healthy", For: 16 * time.Second},
	{Name: "hanging", For: 12 * time.Second, Fault: devchain.Fault{Hang: true}},
}

func demoCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a node on embedded parts, with a small chain, load and a failing provider",
		Long: `demo needs nothing: it starts a small real chain in memory with three JSON-RPC
providers on loopback, one of which fails on a schedule, an embedded Redis, a
SQLite ledger and some load, and shows the node that runs on them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, o) },
	}
	o.registerLook(cmd)
	return cmd
}

func runDemo(cmd *cobra.Command, o *options) error {
	if err := o.check(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	p, cleanUp, err := demoPlace(ctx, o)
	if err != nil {
		return err
	}
	defer cleanUp()
	o.stateDir, o.socket = p.stateDir, p.socket // what other nodes saved is none of its business

	chain, err := devchain.Start(ctx, devchain.Config{Interval: time.Second, Prefill: 90, History: 1024, Providers: len(demoProviders), Traffic: true, Reverts: 0.1})
	if err != nil {
		return fmt.Errorf("start the demo chain: %w", err)
	}
	defer chain.Close() // nothing of it is worth keeping
	redis, err := miniredis.Run()
	if err != nil {
		return fmt.Errorf("start the embedded Redis: %w", err)
	}
	defer redis.Close()

	p.faults = demoFaults(chain, redis)

	d := declareAll()
	if err := d.registry.Load(settings.SourceDefault, demoSettings(chain, redis.Addr(), o)); err != nil {
		return fmt.Errorf("demo settings: %w", err)
	}
	if err := o.load(d, o.config); err != nil {
		return err
	}
	for i, provider := range chain.Providers {
		// Three providers that are alike would be a dull sight.
		provider.SetFault(devchain.Fault{Latency: time.Duration(2+3*i) * time.Millisecond, Jitter: 4 * time.Millisecond})
	}
	return o.serve(ctx, cmd, d, p, func(ctx context.Context, address string) {
		var wg sync.WaitGroup
		supervise.Loop(ctx, &wg, "load of the demo", func(ctx context.Context) { demoLoad(ctx, "http://"+address) })
		supervise.Loop(ctx, &wg, "faults of the demo", func(ctx context.Context) {
			// It ends with the context, which is no error.
			_ = chain.Providers[1].RunSchedule(ctx, demoSchedule)
		})
		supervise.Loop(ctx, &wg, "clock of the embedded Redis", func(ctx context.Context) { ageKeys(ctx, redis) })
		wg.Wait()
	})
}

// demoLoad asks a node about its chain as its clients would, until ctx ends.
func demoLoad(ctx context.Context, address string) {
	target, err := load.NewTarget(address, false)
	if err != nil {
		return // the node's own address is a good one
	}
	defer target.Close()
	subjects, err := load.Find(ctx, target, demoBlocks)
	for err != nil { // the node begins to answer in a moment
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
		subjects, err = load.Find(ctx, target, demoBlocks)
	}
	var wg sync.WaitGroup
	for _, c := range demoLoads {
		c.Target, c.Subjects = target, subjects
		supervise.Go(&wg, "load of the demo", func() { _, _ = load.Run(ctx, c) }, nil) // what came of it is the node's to count
	}
	wg.Wait()
}

// ageKeys moves miniredis's clock, which does not move by itself.
func ageKeys(ctx context.Context, redis *miniredis.Miniredis) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			redis.FastForward(time.Second)
		}
	}
}

func demoSettings(chain *devchain.Net, redis string, o *options) []settings.Change {
	providers := ""
	for i, url := range chain.URLs() {
		if i > 0 {
			providers += ","
		}
		providers += demoProviders[i] + "=" + url
	}
	changes := []settings.Change{
		{Key: "upstream.providers", Value: providers},
		{Key: "upstream.chain_id", Value: strconv.FormatUint(chain.Chain.ChainID(), 10)},
		{Key: "cache.l2.url", Value: "redis://" + redis},
		{Key: "cache.l2.secret", Value: rand.Text()},
		{Key: "node.name", Value: "demo"},
		{Key: "upstream.attempt_timeout", Value: "1s"},
		{Key: "cache.ttl.address", Value: "10s"},
		// Small, so that L1 evicts and L2 has something to answer.
		{Key: "cache.l1.max_bytes", Value: "2MiB"},
		{Key: "cache.ttl.unfinalised", Value: "1m"},
		{Key: "pool.limit", Value: "4"},
	}
	// Someone who did not ask for the usual address gets a free one instead of
	// an error when it is taken.
	if o.listen == "" {
		if l, err := net.Listen("tcp", "127.0.0.1:3000"); err != nil {
			changes = append(changes, settings.Change{Key: "api.listen", Value: "127.0.0.1:0"})
		} else {
			_ = l.Close() // the node opens it again
		}
	}
	return changes
}

// demoPlace is a folder of the demo's own, emptied by nobody else, and removed
// at the end unless it was asked for.
func demoPlace(ctx context.Context, o *options) (place, func(), error) {
	if o.stateDir != "" {
		return place{stateDir: o.stateDir, socket: o.socketPath(), mode: "demo"}, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "bizra-top-demo-")
	if err != nil {
		return place{}, nil, fmt.Errorf("make a folder for the demo: %w", err)
	}
	socket := o.socket
	if socket == "" {
		socket = filepath.Join(dir, "control.sock")
	} else if there, err := running(ctx, control.NewClient(socket)); there {
		return place{}, nil, errors.Join(fmt.Errorf("%w: %s; look at it with bizra-top --socket %s", control.ErrRunning, socket, socket), os.RemoveAll(dir))
	} else if err != nil {
		return place{}, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return place{stateDir: dir, socket: socket, mode: "demo"}, func() { _ = os.RemoveAll(dir) }, nil
}
