package devchain

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Net is a chain with several providers in front of it.
type Net struct {
	Chain     *Chain
	Providers []*Provider

	cancel context.CancelFunc
	mining sync.WaitGroup
	err    error // of mining; read after mining is done
	close  sync.Once
}

// Start makes a chain and its providers and mines until ctx is done or Close is
// called. Close must be called in either case.
func Start(ctx context.Context, cfg Config) (*Net, error) {
	chain, err := NewChain(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	n := &Net{Chain: chain, cancel: cancel}
	for i := range chain.cfg.Providers {
		p, err := NewProvider(chain, fmt.Sprintf("dev-%c", 'a'+i))
		if err != nil {
			return nil, errors.Join(err, n.Close())
		}
		n.Providers = append(n.Providers, p)
	}
	n.mining.Go(func() {
		if err := chain.Run(ctx); ctx.Err() == nil {
			n.err = err
		}
	})
	return n, nil
}

// URLs returns the providers' addresses, in the order of Providers.
func (n *Net) URLs() []string {
	out := make([]string, len(n.Providers))
	for i, p := range n.Providers {
		out[i] = p.URL()
	}
	return out
}

// Close stops mining and the providers and waits for all of it. It returns what
// went wrong, a failure to mine included.
func (n *Net) Close() error {
	var errs []error
	n.close.Do(func() {
		n.cancel()
		for _, p := range n.Providers {
			errs = append(errs, p.Close())
		}
		n.mining.Wait()
		errs = append(errs, n.err)
	})
	return errors.Join(errs...)
}
