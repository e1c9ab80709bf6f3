package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisserver "github.com/alicebob/miniredis/v2/server"

	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/probes/drill"
)

// slowRedis is how long the embedded Redis takes for a command while it is slow: longer
// than cache.l2.timeout.
const slowRedis = 200 * time.Millisecond

// demoFaultsWithout says what a demo cannot have fail.
const demoFaultsWithout = "the ledger's file is not damaged here: make faults does that, and kills the node"

// providerFaults are how a provider of the demo may misbehave; each adds to the others.
var providerFaults = []struct {
	name, title, doc string
	add              func(*devchain.Fault)
}{
	{"slow", "slow", "answers take 700 ms", func(f *devchain.Fault) { f.Latency = 700 * time.Millisecond }},
	{"failing", "failing", "9 of 10 requests get HTTP 503", func(f *devchain.Fault) { f.ErrorRate, f.Status = 0.9, 503 }},
	{"lying", "lying", "transactions, receipts and balances are other ones", func(f *devchain.Fault) {
		f.Lie = devchain.LieTransaction | devchain.LieReceipt | devchain.LieBalance
	}},
	{"down", "down", "connections are cut without an answer", func(f *devchain.Fault) { f.Reset = true }},
}

// demoProvider is a provider with the faults that were chosen for it, which go before
// those of its schedule.
type demoProvider struct {
	provider *devchain.Provider
	mu       sync.Mutex
	chosen   []bool // of providerFaults
}

func (p *demoProvider) choose(i int, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chosen[i] = on
	var sum *devchain.Fault
	for i, f := range providerFaults {
		if p.chosen[i] {
			if sum == nil {
				sum = &devchain.Fault{}
			}
			f.add(sum)
		}
	}
	p.provider.Override(sum)
}

// demoRedis is the embedded Redis, which may be slow or gone.
type demoRedis struct {
	redis      *miniredis.Miniredis
	mu         sync.Mutex
	slow, gone bool
}

func (r *demoRedis) set(which *bool, on bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.gone
	*which = on
	if r.gone {
		r.redis.Close() // once more does nothing
		return nil
	}
	if was {
		if err := r.redis.Restart(); err != nil {
			return fmt.Errorf("start the embedded Redis again: %w", err)
		}
	}
	var wait redisserver.Hook
	if r.slow {
		wait = func(*redisserver.Peer, string, ...string) bool { time.Sleep(slowRedis); return false }
	}
	r.redis.Server().SetPreHook(wait)
	return nil
}

// demoFaults lists what a demo can have fail. The node is known once it is built.
func demoFaults(chain *devchain.Net, redis *miniredis.Miniredis) func(*node.Node) []drill.Fault {
	return func(n *node.Node) []drill.Fault {
		var out []drill.Fault
		for i, provider := range chain.Providers {
			p := &demoProvider{provider: provider, chosen: make([]bool, len(providerFaults))}
			for j, f := range providerFaults {
				out = append(out, drill.Fault{ID: demoProviders[i] + "." + f.name, Title: demoProviders[i] + " " + f.title, Doc: f.doc,
					Do: func(ctx context.Context) error {
						p.choose(j, true)
						<-ctx.Done()
						p.choose(j, false)
						return nil
					}})
			}
		}
		r := &demoRedis{redis: redis}
		hold := func(which *bool) func(context.Context) error {
			return func(ctx context.Context) error {
				if err := r.set(which, true); err != nil {
					return err
				}
				<-ctx.Done()
				return r.set(which, false)
			}
		}
		return append(out,
			drill.Fault{ID: "redis.slow", Title: "Redis slow", Doc: fmt.Sprintf("each command takes %s", slowRedis), Do: hold(&r.slow)},
			drill.Fault{ID: "redis.gone", Title: "Redis gone", Doc: "connections are closed and refused", Do: hold(&r.gone)},
			drill.Fault{ID: "database.held", Title: "database held", Doc: "every connection of the pool is taken",
				Do: func(ctx context.Context) error { n.HoldConnections(ctx); return nil }})
	}
}
