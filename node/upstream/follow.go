package upstream

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/upstream/head"
)

const (
	// votesFor is how long what a provider said of its head counts at least.
	votesFor = 15 * time.Second
	// tagsEvery is after how many polls a provider is asked for its safe and final block.
	tagsEvery = 6
	// hashlessFor is how long a provider that tells no newest block is asked for its
	// height alone.
	hashlessFor = time.Minute
	// reachFor bounds how long an answer waits for a quorum to reach its block, and
	// reachEvery is between two questions to all for their heads meanwhile.
	reachFor   = time.Second
	reachEvery = 50 * time.Millisecond
	// momentFor is how old a moment may be, or two polls if that is more, until the
	// providers are asked before a client is answered; confirmFor is how long they are then
	// waited for.
	momentFor   = 2 * time.Second
	momentSlack = 200 * time.Millisecond
	confirmFor  = 500 * time.Millisecond
)

// follow returns what decides on the head of the set's chain.
func (s *Set) follow(c Chain, reg prometheus.Registerer) *head.Tracker {
	quorum, depth, moved, replaced := c.Quorum, c.Depth, c.Moved, c.Replaced
	if quorum == nil {
		quorum = func() int { return 2 }
	}
	if depth == nil {
		depth = func() int { return 64 }
	}
	return head.New(head.Config{
		Providers:  len(s.providers),
		Quorum:     quorum,
		Depth:      func() int { return head.FinalDepth(s.chain.Load(), depth()) },
		StaleAfter: s.staleAfter,
		Usable: func(i int) bool {
			ok, _ := s.providers[i].usable(s.chain.Load())
			return ok
		},
		Ask: func(ctx context.Context, i int, block string) (head.Header, error) {
			if len(block) == 66 {
				return s.header(ctx, s.providers[i], "eth_getBlockByHash", block)
			}
			return s.header(ctx, s.providers[i], "eth_getBlockByNumber", block)
		},
		Moved: func(head.Moment) {
			if moved != nil {
				moved()
			}
		},
		Replaced: func() {
			if replaced != nil {
				replaced()
			}
		},
		Report: func(provider int, severity, text string) {
			name := "chain"
			if provider >= 0 {
				name = s.providers[provider].name
			}
			s.notify(Event{name, severity, text})
		},
	}, reg)
}

// Heads returns what decides on the trusted head.
func (s *Set) Heads() *head.Tracker { return s.heads }

// Reach waits, no longer than a second, until the trusted head has reached a height that a
// provider says it has, and says whether it has.
func (s *Set) Reach(ctx context.Context, number uint64) bool {
	if s.Head() >= number {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, reachFor)
	defer cancel()
	for ctx.Err() == nil {
		s.pollNow(reachEvery)
		limited, done := context.WithTimeout(ctx, reachEvery)
		reached := s.heads.Await(limited, number)
		done()
		if reached {
			return true
		}
	}
	return false
}

// late waits, no longer than a second, for a provider that was a few blocks behind when it
// was last asked, where those that have the block could not answer: the first to have it may
// all be ill. It says whether there is one.
func (s *Set) late(ctx context.Context, c *call) bool {
	ctx, cancel := context.WithTimeout(ctx, reachFor)
	defer cancel()
	for waits := true; waits; {
		waits = false
		for _, p := range s.providers {
			if ok, _ := p.usable(s.chain.Load()); !ok || c.except.has(p.index) || p.full() {
				continue
			}
			if p.has(&c.q, s.Head()) {
				return true
			}
			waits = waits || p.behind(c.q.Height) && c.q.Height-p.head.Load() <= uint64(s.settings.MaxLag.Get())
		}
		if waits {
			s.pollNow(reachEvery)
			waits = sleep(ctx, reachEvery)
		}
	}
	return false
}

// Moment returns the moment that clients are answered at, where a quorum stood behind it
// lately; nil where it must be waited for (Confirm). It takes some nanoseconds.
func (s *Set) Moment() *head.Moment {
	m := s.heads.Now()
	if m == nil {
		return nil
	}
	age, known := s.heads.Age()
	every := s.settings.PollEvery.Get()
	if !known || age > min(max(2*every, momentFor), votesFor) {
		return nil
	}
	if age > min(every, momentFor)+momentSlack {
		s.pollNow(momentFor / 2) // somebody wants to know
	}
	return m
}

// Followed returns the newest moment, nil until a head is known, and whether a quorum stood
// behind it not longer ago than what providers say counts. It asks nobody.
func (s *Set) Followed() (m *head.Moment, current bool) {
	age, known := s.heads.Age()
	m = s.heads.Now()
	return m, m != nil && known && age <= s.staleAfter()
}

// Confirm has the providers asked for their heads, and returns the moment once a quorum
// stands behind it, or the one that a quorum stood behind not long ago. It is nil where ctx
// ends before that.
func (s *Set) Confirm(ctx context.Context) *head.Moment {
	for waited := time.Duration(0); ; waited += reachEvery {
		m := s.Moment()
		if m == nil && waited >= confirmFor {
			if known, current := s.Followed(); current {
				m = known
			}
		}
		if m != nil {
			return m
		}
		s.pollNow(reachEvery)
		if !sleep(ctx, reachEvery) {
			return nil
		}
	}
}

// staleAfter is how long what a provider said of its head counts.
func (s *Set) staleAfter() time.Duration { return max(votesFor, 4*s.pollEvery()) }

// Claimed says whether any provider that can be asked says that it has a height.
func (s *Set) Claimed(number uint64) bool {
	for _, p := range s.providers {
		if ok, _ := p.usable(s.chain.Load()); ok && p.head.Load() >= number {
			return true
		}
	}
	return false
}

// Stands says whether a provider has the trusted head.
func (s *Set) Stands(name string) bool {
	for _, p := range s.providers {
		if p.name == name {
			return s.heads.Stance(p.index) == head.Stands
		}
	}
	return false
}

// Apart names the providers that are not known to have the trusted head: what they do not
// know of may be there.
func (s *Set) Apart() (names []string) {
	for _, p := range s.providers {
		if s.heads.Stance(p.index) != head.Stands {
			names = append(names, p.name)
		}
	}
	return names
}

// pollNow has every provider asked for its head, unless that was done not longer than gap
// ago.
func (s *Set) pollNow(gap time.Duration) {
	last, now := s.polledNow.Load(), monotonic.Now()
	if last != 0 && now-last < int64(gap) || !s.polledNow.CompareAndSwap(last, now) {
		return
	}
	for _, p := range s.providers {
		p.wantHead()
	}
}

// wantHead has the watch ask for the provider's head now.
func (p *provider) wantHead() {
	select {
	case p.pollNow <- struct{}{}:
	default: // it is about to
	}
}

// askHead says whether p has answered.
func (s *Set) askHead(ctx context.Context, p *provider, permit breaker.Permit) bool {
	if until := p.hashless.Load(); until != 0 && monotonic.Now() < until {
		result, err := s.query(ctx, p, permit, "eth_blockNumber", "[]")
		return err == nil && s.heardNumber(p, result)
	}
	result, err := s.query(ctx, p, permit, "eth_getBlockByNumber", `["latest",false]`)
	if err == nil {
		if h, err := headerOfBlock(result); err == nil {
			p.head.Store(h.Number)
			s.heads.Heard(p.index, h)
			return true
		}
	} else if !isAnswer(err) {
		return false
	}
	// It may have no such method, or no block: its height is better than nothing.
	p.hashless.Store(monotonic.Now() + int64(hashlessFor))
	ctx, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	result, err = p.ask(ctx, "eth_blockNumber", json.RawMessage("[]"))
	return err == nil && s.heardNumber(p, result)
}

func (s *Set) heardNumber(p *provider, result json.RawMessage) bool {
	n, err := quantity(result)
	if err != nil {
		p.remember(fmt.Errorf("head: %w", err))
		return true // it has answered
	}
	p.head.Store(n)
	s.heads.HeardNumber(p.index, n)
	return true
}

// askTags asks p which blocks it calls safe and final.
func (s *Set) askTags(ctx context.Context, p *provider) {
	ctx, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	final, err := s.header(ctx, p, "eth_getBlockByNumber", "finalized")
	var unavailable *Failure
	if errors.As(err, &unavailable) || ctx.Err() != nil {
		return // what it said before counts
	}
	if err != nil {
		s.heads.HeardTags(p.index, head.Block{}, head.Block{}, false)
		return
	}
	safe, err := s.header(ctx, p, "eth_getBlockByNumber", "safe")
	if err != nil {
		safe = final
	}
	s.heads.HeardTags(p.index, safe.Block, final.Block, true)
}

// header asks p for a block, and returns its header.
func (s *Set) header(ctx context.Context, p *provider, method, block string) (head.Header, error) {
	result, err := p.ask(ctx, method, json.RawMessage(`["`+block+`",false]`))
	if err != nil {
		return head.Header{}, err
	}
	return headerOfBlock(result)
}

var errNoHeader = errors.New("not a block")

// headerOfBlock reads what ties a block to its parent, and whether its header hashes to
// what it says.
func headerOfBlock(block json.RawMessage) (head.Header, error) {
	var named struct{ Number, Hash, ParentHash string }
	if err := json.Unmarshal(block, &named); err != nil {
		return head.Header{}, fmt.Errorf("%w: %w", errNoHeader, err)
	}
	digits, ok := strings.CutPrefix(named.Number, "0x")
	number, err := strconv.ParseUint(digits, 16, 64)
	h := head.Header{Block: head.Block{Number: number}}
	if !ok || err != nil || !hash32(&h.Hash, named.Hash) || !hash32(&h.Parent, named.ParentHash) {
		return head.Header{}, cmp.Or(err, errNoHeader)
	}
	var full types.Header
	if json.Unmarshal(block, &full) == nil && full.Hash() == h.Hash && full.Number.Uint64() == number && full.ParentHash == h.Parent {
		h.Proven = true
	}
	return h, nil
}

func hash32(out *[32]byte, text string) bool {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || len(digits) != 2*len(out) {
		return false
	}
	_, err := hex.Decode(out[:], []byte(digits))
	return err == nil
}
