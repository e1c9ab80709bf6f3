package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
)

const (
	// probeTick is how finely the wait of an open breaker is watched.
	probeTick = 50 * time.Millisecond
	// probeGap spreads the probes of one half-open breaker, so that three of
	// them are three moments and not one.
	probeGap = 200 * time.Millisecond
	// chainEvery is how often a provider is asked again which chain it serves.
	chainEvery = 30 * time.Second
	// maxJump bounds how far ahead of the others one provider's head is
	// believed: a lying one would make everyone else seem behind.
	maxJump = 1000
)

// watch polls one provider: its chain, its head, and when its breaker is open,
// whether it is back.
func (s *Set) watch(ctx context.Context, p *provider) {
	tick := time.NewTicker(probeTick)
	defer tick.Stop()
	var polled, probed, chainChecked time.Time
	for {
		now := time.Now()
		var permit breaker.Permit
		asking := false
		switch {
		case p.breaker.State() == breaker.Open || p.breaker.State() == breaker.HalfOpen:
			if now.Sub(probed) >= probeGap {
				permit, asking = p.breaker.Probe()
				probed = now
			}
		case now.Sub(polled) >= s.settings.PollEvery.Get():
			var err error
			permit, err = p.breaker.Acquire()
			asking = err == nil
		}
		if asking {
			polled = now
			if p.chain.Load() == 0 || now.Sub(chainChecked) > chainEvery {
				if s.checkChain(ctx, p, permit) {
					chainChecked = now
				}
			} else {
				s.poll(ctx, p, permit)
			}
			s.refresh(p, s.settings.PollEvery.Get())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh computes the quantiles that the hot path reads, and lets mistrust
// fade: it halves in a minute.
func (s *Set) refresh(p *provider, since time.Duration) {
	q := p.latency.quantiles(0.5, 0.95, s.settings.HedgeAfter.Get())
	p.p50.Store(int64(q[0]))
	p.p95.Store(int64(q[1]))
	p.hedge.Store(int64(q[2]))
	d := math.Float64frombits(p.distrust.Load()) * math.Exp2(-since.Minutes())
	p.distrust.Store(math.Float64bits(d))
}

// query asks p under a permit that has been given, and settles it.
func (s *Set) query(ctx context.Context, p *provider, permit breaker.Permit, method, params string) (json.RawMessage, error) {
	limited, cancel := context.WithTimeout(ctx, s.settings.AttemptLimit.Get())
	defer cancel()
	began := time.Now()
	result, err := p.ask(limited, method, json.RawMessage(params))
	s.settle(ctx, p, permit, time.Since(began), err, nil)
	return result, err
}

func (s *Set) poll(ctx context.Context, p *provider, permit breaker.Permit) {
	result, err := s.query(ctx, p, permit, "eth_blockNumber", "[]")
	if err != nil {
		return
	}
	n, err := quantity(result)
	if err != nil {
		p.remember(fmt.Errorf("head: %w", err))
		return
	}
	p.head.Store(n)
	for {
		h := s.head.Load()
		if n <= h || (h != 0 && n > h+maxJump && len(s.providers) > 1) {
			return
		}
		if s.head.CompareAndSwap(h, n) {
			return
		}
	}
}

func (s *Set) checkChain(ctx context.Context, p *provider, permit breaker.Permit) bool {
	result, err := s.query(ctx, p, permit, "eth_chainId", "[]")
	if err != nil {
		return false
	}
	id, err := quantity(result)
	if err != nil || id == 0 {
		p.remember(errors.New("chain id is not a number"))
		return false
	}
	before := p.chain.Swap(id)
	switch want := s.chain.Load(); {
	case want == 0: // Discover decides
	case id != want && before != id:
		text := fmt.Sprintf("serves chain %d, not %d: it is not asked", id, want)
		p.remember(errors.New(text))
		s.notify(Event{p.name, "bad", text})
	case id == want && before != 0 && before != id:
		s.notify(Event{p.name, "good", fmt.Sprintf("serves chain %d again", id)})
	}
	return true
}

// quantity reads a hexadecimal JSON-RPC quantity.
func quantity(raw json.RawMessage) (uint64, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || len(text) < 3 || text[:2] != "0x" {
		return 0, errors.New("not a hexadecimal quantity")
	}
	return strconv.ParseUint(text[2:], 16, 64)
}
