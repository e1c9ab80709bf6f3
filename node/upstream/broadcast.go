package upstream

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/node/upstream/refusal"
)

const (
	// longestSent bounds the answer to what is sent: a hash, or an error.
	longestSent = 64 << 10
	// patienceForDoubt is how long the others have to accept a transaction that more than
	// half have refused by the chain's rules.
	patienceForDoubt = 500 * time.Millisecond
)

// sends are broadcasts that go on after their caller has been answered. Run waits for them.
type sends struct {
	mu    sync.Mutex
	under sync.WaitGroup
	ended bool
}

// start runs f beside its caller. It is false when the set has ended.
func (s *sends) start(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	supervise.Go(&s.under, "broadcast", f, nil)
	return true
}

// end waits for those under way, each of which has a deadline; no more are started.
func (s *sends) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.under.Wait()
}

// Broadcast sends a signed transaction to up to n providers at once, and to another for each
// that has not taken it in: one that refuses for its quota, or fails. The first that accepts
// it ends the call; the others go on, up to the time that an attempt may take. It is an
// error only where nobody has accepted it.
//
// A transaction is the same wherever it is sent: one that is known already has been accepted,
// and its hash is computed here. A provider that answers another hash lies.
func (s *Set) Broadcast(ctx context.Context, q Question, n int) (Answer, error) {
	s.pace.used()
	s.active.Add(1)
	defer s.active.Add(-1)
	queue := &candidateQueue{left: s.candidates(&q)}
	if len(queue.left) == 0 {
		return Answer{}, s.cannot(&q)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, time.Now().Add(s.settings.Deadline.Get()), ErrDeadline)
	defer cancel()
	b := &broadcast{set: s, q: q, hash: hashOf(q.Params), queue: queue, until: s.limit(time.Now().Add(s.settings.Deadline.Get()))}
	n = max(1, min(n, len(queue.left)))
	b.heard = make(chan delivery, 2*len(queue.left))
	working := 0
	for range n {
		if p := queue.next(); s.sends.start(func() { b.send(p) }) {
			working++
		}
	}
	if working == 0 {
		return Answer{}, ErrUnavailable
	}
	return b.gather(ctx, working)
}

// delivery is what came of a provider.
type delivery struct {
	Answer
	last bool // of the worker
}

// broadcast is one transaction on its way.
type broadcast struct {
	set   *Set
	q     Question
	hash  string // in JSON; empty where it cannot be computed
	queue *candidateQueue
	until time.Time
	heard chan delivery // with room for everybody: nobody waits for a caller that has left
}

// gather waits for the first that accepts, or for all.
func (b *broadcast) gather(ctx context.Context, working int) (Answer, error) {
	var (
		bad      refusals
		by       string
		doubt    <-chan time.Time
		sent     = working
		verdicts int
	)
	for working > 0 {
		select {
		case a := <-b.heard:
			if a.Err == nil {
				return a.Answer, nil
			}
			if final(a.Err) {
				verdicts++
			}
			if weightOf(a.Err) > bad.weight {
				by = a.Provider
			}
			bad.add(a.Err)
			if a.last {
				working--
			}
			if doubt == nil && working > 0 && verdicts > sent/2 {
				t := time.NewTimer(patienceForDoubt)
				defer t.Stop()
				doubt = t.C
			}
		case <-doubt:
			working = 0
		case <-ctx.Done():
			if bad.best == nil || !isAnswer(bad.best) {
				return Answer{}, context.Cause(ctx)
			}
			working = 0
		}
	}
	return Answer{Provider: by}, bad.error(&b.q)
}

// send sends the transaction to p, and while nobody takes it in, to the next that nobody
// has sent it to. It outlives the caller, and so holds nothing of it.
func (b *broadcast) send(p *provider) {
	ctx, cancel := context.WithDeadline(context.Background(), b.until)
	defer cancel()
	last := false
	defer func() {
		if !last { // a panic, which is reported where it is caught
			b.heard <- delivery{Answer{Provider: p.name, Err: p.failure(KindMalformed, "the answer cannot be read")}, true}
		}
	}()
	for {
		a := b.try(ctx, p)
		var next *provider
		if a.Err != nil && !final(a.Err) && ctx.Err() == nil {
			next = b.queue.next()
		}
		last = next == nil
		b.heard <- delivery{a, last}
		if last {
			return
		}
		p = next
	}
}

// try sends the transaction to one provider.
func (b *broadcast) try(ctx context.Context, p *provider) Answer {
	result, err := b.set.attemptUpTo(ctx, p, &b.q, longestSent, nil)
	switch {
	case err != nil && classOf(err) == refusal.Known && b.hash != "":
		return Answer{Provider: p.name, Result: json.RawMessage(b.hash)}
	case err != nil:
		return Answer{Provider: p.name, Err: err}
	case b.hash == "":
		return Answer{Provider: p.name, Result: result}
	case strings.EqualFold(string(result), b.hash):
		return Answer{Provider: p.name, Result: json.RawMessage(b.hash)}
	}
	b.set.Distrust(p.name, "answered another hash for a transaction than it has")
	return Answer{Provider: p.name, Err: p.failure(KindMalformed, "the answer is not the hash of the transaction")}
}

// hashOf computes the hash of a signed transaction from the parameters it is sent with, as a
// JSON string. It is empty for what is no transaction of a type that is known here: there
// are chains whose hashes are made another way.
func hashOf(params json.RawMessage) string {
	var list []json.RawMessage
	var raw hexutil.Bytes
	var tx types.Transaction
	if json.Unmarshal(params, &list) != nil || len(list) == 0 || json.Unmarshal(list[0], &raw) != nil || tx.UnmarshalBinary(raw) != nil {
		return ""
	}
	return `"` + tx.Hash().Hex() + `"`
}
