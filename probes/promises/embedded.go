package promises

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
)

// The embedded providers answer as ones in the same region do.
const (
	embeddedLatency = 2 * time.Millisecond
	embeddedJitter  = time.Millisecond
)

// Embedded are the parts a bench without a configuration runs on: a chain in memory
// with three providers over loopback HTTP, and a Redis in this process.
type Embedded struct {
	chain *devchain.Net
	redis *miniredis.Miniredis
}

// StartEmbedded starts them. Close ends them.
func StartEmbedded(ctx context.Context) (*Embedded, error) {
	chain, err := devchain.Start(ctx, devchain.Config{Seed: 1, Interval: 2 * time.Second, Prefill: 120, Traffic: true, MinTx: 2, MaxTx: 6})
	if err != nil {
		return nil, fmt.Errorf("start the embedded chain: %w", err)
	}
	for _, p := range chain.Providers {
		p.SetFault(devchain.Fault{Latency: embeddedLatency, Jitter: embeddedJitter})
	}
	redis, err := miniredis.Run()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the embedded Redis: %w", err), chain.Close())
	}
	return &Embedded{chain, redis}, nil
}

// Settings are those of a node that runs on them.
func (e *Embedded) Settings() []settings.Change {
	var providers []string
	for i, url := range e.chain.URLs() {
		providers = append(providers, fmt.Sprintf("dev-%c=%s", 'a'+i, url))
	}
	return []settings.Change{
		{Key: "upstream.providers", Value: strings.Join(providers, ",")},
		{Key: "upstream.chain_id", Value: strconv.FormatUint(e.chain.Chain.ChainID(), 10)},
		{Key: "cache.l2.url", Value: "redis://" + e.redis.Addr()},
		{Key: "cache.l2.secret", Value: rand.Text()},
	}
}

func (e *Embedded) String() string {
	return fmt.Sprintf("embedded parts: %d providers of a chain in memory that answer in %s to %s, an SQLite file, a Redis in this process",
		len(e.chain.Providers), embeddedLatency, embeddedLatency+embeddedJitter)
}

// Close ends them.
func (e *Embedded) Close() error {
	e.redis.Close()
	return e.chain.Close()
}
