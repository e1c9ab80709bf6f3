package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/supervise"
)

const (
	// watchTick is how finely a provider is watched, and calmTick how finely while all is
	// well with it: each look wakes an idle processor.
	watchTick = 25 * time.Millisecond
	calmTick  = 100 * time.Millisecond
	// pingGap is between the questions to a provider whose breaker is open, and
	// probeGap between the probes of one that has answered, so that three of them
	// are three moments and not one: together they find it within 1 s.
	pingGap  = 250 * time.Millisecond
	probeGap = 100 * time.Millisecond
	// suspectGap is between the questions to a provider whose last answer was a
	// failure: with little traffic, it would take long to be sure.
	suspectGap = 150 * time.Millisecond
	// patience is how long a question of the watch may be without an answer, or
	// three times the provider's p95 if that is longer, before it counts as bad.
	patience = 350 * time.Millisecond
	// outAfter is how long a provider may answer nothing but failures until its
	// breaker opens, however much of its window is from better times.
	outAfter = 750 * time.Millisecond
	// maxQuestions bounds how many the watch has under way at a provider: those
	// that one which hangs keeps for the longest time that they are given.
	maxQuestions = 24
	// questionLimit bounds how long they are waited for.
	questionLimit = 3 * time.Second
	// chainEvery is how often a provider is asked again which chain it serves.
	chainEvery = 30 * time.Second
)

// watcher polls one provider: its chain, its head, and when its breaker is open,
// whether it is back. It never waits for an answer: one that hangs must not keep
// it from finding out that the next question is answered.
type watcher struct {
	*Set
	p         *provider
	wg        sync.WaitGroup
	questions []*asking

	polled, asked, refreshed time.Time
	tagged                   time.Time    // when it was asked for the safe and the final block
	chainChecked             atomic.Int64 // Unix nanoseconds
	alive                    atomic.Bool  // has answered while its breaker is open
	probing                  atomic.Bool
}

// asking is a question under way.
type asking struct {
	began time.Time
	done  atomic.Bool
	late  bool
}

func (s *Set) watch(ctx context.Context, p *provider) {
	w := &watcher{Set: s, p: p}
	defer w.wg.Wait()
	for {
		w.look(ctx, time.Now())
		rest := watchTick
		if w.calm() {
			rest = calmTick
		}
		if !w.rest(ctx, rest) {
			return
		}
	}
}

// rest waits until the next look is due, or sooner where the head is wanted at once.
func (w *watcher) rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.p.pollNow:
		w.polled = time.Time{}
	case <-ctx.Done():
		return false
	}
	return true
}

// calm tells whether no question is under way, and none was answered badly.
func (w *watcher) calm() bool {
	state := w.p.breaker.State()
	return len(w.questions) == 0 && w.p.badCount.Load() == 0 && state != breaker.Open && state != breaker.HalfOpen
}

func (w *watcher) look(ctx context.Context, now time.Time) {
	p, every := w.p, w.pollEvery()
	if now.Sub(w.refreshed) >= w.settings.PollEvery.Get() {
		w.refresh(p, now.Sub(w.refreshed))
		w.refreshed = now
	}
	w.lateness(now)
	if p.resting() {
		return
	}
	switch state := p.breaker.State(); {
	case state == breaker.Closed && p.failing() && monotonic.Of(now)-p.badSince.Load() >= int64(outAfter):
		w.alive.Store(false)
		p.breaker.Trip(fmt.Sprintf("%d failures in a row and nothing else for %s", p.badCount.Load(), outAfter))
	case state != breaker.Open && state != breaker.HalfOpen:
		if p.badCount.Load() > 0 {
			every = min(every, suspectGap)
		}
		if p.head.Load() != 0 && now.Sub(w.tagged) >= tagsEvery*every && len(w.questions) < maxQuestions {
			w.tagged = now
			w.ask(now, func() { w.askTags(ctx, p) })
		}
		if now.Sub(w.polled) < every || len(w.questions) >= maxQuestions {
			return
		}
		w.polled = now
		if permit, err := p.breaker.Acquire(); err == nil {
			w.ask(now, func() { w.poll(ctx, permit, now) })
		}
	case !w.alive.Load():
		if now.Sub(w.asked) >= pingGap && len(w.questions) < maxQuestions {
			w.asked = now
			w.ask(now, func() { w.ping(ctx) })
		}
	case now.Sub(w.asked) >= probeGap && !w.probing.Load():
		if permit, ok := p.breaker.Probe(); ok {
			w.asked = now
			w.probing.Store(true)
			w.ask(now, func() {
				defer w.probing.Store(false)
				w.probe(ctx, permit, now)
			})
		}
	}
}

// ask runs a question beside the watch.
func (w *watcher) ask(now time.Time, question func()) {
	a := &asking{began: now}
	w.questions = append(w.questions, a)
	supervise.Go(&w.wg, "question of the watch", func() {
		defer a.done.Store(true)
		question()
	}, nil)
}

// lateness forgets questions that have ended, and counts those that are late.
func (w *watcher) lateness(now time.Time) {
	w.questions = slices.DeleteFunc(w.questions, func(a *asking) bool { return a.done.Load() })
	enough := max(patience, 3*time.Duration(w.p.p95.Load()))
	for _, a := range w.questions {
		if !a.late && now.Sub(a.began) > enough && w.p.breaker.Allows() {
			a.late = true
			w.p.badFrom(a.began)
		}
	}
}

// ping asks a provider whose breaker is open, past the breaker, whether it
// answers at all. Several may be under way.
func (w *watcher) ping(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	began := time.Now()
	_, err := w.p.ask(limited, "eth_blockNumber", json.RawMessage("[]"))
	switch w.account(w.p, time.Since(began), err) {
	case outcomeSuccess, outcomeRPCError:
		w.alive.Store(true)
	}
}

// probe is a question under a permit of the breaker. The one that closes it says
// how fast the provider is now: what it was when it failed counts no more.
func (w *watcher) probe(ctx context.Context, permit breaker.Permit, now time.Time) {
	began := time.Now()
	if !w.poll(ctx, permit, now) {
		w.alive.Store(false)
		return
	}
	if w.p.breaker.Allows() {
		w.alive.Store(false)
		w.p.expected.Store(math.Float64bits(time.Since(began).Seconds()))
	}
}

// poll asks for the chain when that is due, and else for the head.
func (w *watcher) poll(ctx context.Context, permit breaker.Permit, now time.Time) bool {
	if checked := w.chainChecked.Load(); w.p.chain.Load() != 0 && checked != 0 && monotonic.Of(now)-checked <= int64(chainEvery) {
		return w.askHead(ctx, w.p, permit)
	}
	if !w.checkChain(ctx, w.p, permit) {
		return false
	}
	w.chainChecked.Store(monotonic.Of(now))
	if w.p.head.Load() == 0 {
		w.p.wantHead()
	}
	return true
}

// refresh computes the quantiles that the hot path reads, and lets mistrust
// fade: it halves in a minute.
func (s *Set) refresh(p *provider, since time.Duration) {
	q := p.latency.quantiles(0.5, 0.95, 0.99, s.settings.HedgeAfter.Get())
	p.p50.Store(int64(q[0]))
	p.p95.Store(int64(q[1]))
	p.p99.Store(int64(q[2]))
	p.hedge.Store(int64(q[3]))
	d := math.Float64frombits(p.distrust.Load()) * math.Exp2(-since.Minutes())
	p.distrust.Store(math.Float64bits(d))
}

// query asks p under a permit that has been given, and settles it.
func (s *Set) query(ctx context.Context, p *provider, permit breaker.Permit, method, params string) (json.RawMessage, error) {
	limited, cancel := context.WithTimeout(ctx, min(questionLimit, s.settings.AttemptLimit.Get()))
	defer cancel()
	began := time.Now()
	result, err := p.ask(limited, method, json.RawMessage(params))
	s.settle(p, permit, time.Since(began), err, nil)
	return result, err
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
	if want := s.chain.Load(); want != 0 && id != want {
		s.heads.Forget(p.index)
		if s.distrust != nil && before != id {
			s.distrust()
		}
	}
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
