package verify

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/node/validation"
)

// Answer is what a provider answered.
type Answer struct {
	Method   string
	Params   json.RawMessage // the list, as the provider was asked
	Result   json.RawMessage
	Provider string
}

// Status is what came of a proof.
type Status uint8

// The results of a proof.
const (
	Unproved Status = iota // nothing is known against the answer either
	Proved
	Refuted // the answer is false
)

// String returns the word for metrics and logs.
func (s Status) String() string {
	return [...]string{"unproved", "proved", "refuted"}[s]
}

// Block names a block.
type Block struct {
	Number uint64
	Hash   common.Hash
}

// Finding is the result of a proof, with the block that it rests on; of logs the last one.
// The block's hash is zero where the proof rests on none.
type Finding struct {
	Status Status
	Reason string // why it is not proved
	Block  Block
}

// Source asks providers. [validation.Source] is one.
type Source interface {
	Call(ctx context.Context, method string, params ...any) (validation.Answer, error)
	CallEach(ctx context.Context, n int, method string, params ...any) []validation.Answer
	Providers() int
}

// Chain is what is known of the chain apart from the answer, by a quorum.
type Chain interface {
	// Canonical returns the hash of the canonical block at a height, where it is known.
	Canonical(number uint64) (hash common.Hash, known bool)
	// Header returns the header with a hash. Where it returns an error, or another header,
	// the prover asks the providers.
	Header(ctx context.Context, hash common.Hash) (*types.Header, error)
}

// Prover proves answers. Its methods may be called from any goroutine.
type Prover struct {
	src     Source
	chain   Chain
	judge   validation.Judge
	set     Settings
	metrics *metrics
	refuted func(provider, reason string, a Answer)
	known   *proven
	queue   *queue
}

// New returns a prover for the chain with an id. Its metrics are registered with reg, which
// may be nil. refuted, which may be nil, is called for each false answer, also for those
// that the prover has asked for itself.
func New(src Source, chain Chain, chainID uint64, s Settings, reg prometheus.Registerer, refuted func(provider, reason string, a Answer)) *Prover {
	p := &Prover{src: src, chain: chain, judge: validation.NewJudge(chainID, s.Validation), set: s, refuted: refuted, known: newProven(), queue: newQueue()}
	p.metrics = newMetrics(reg, p.queue)
	return p
}

// ClassOf returns the class of a method, and false when nothing proves its answers.
func ClassOf(method string) (Class, bool) {
	m, ok := methods[method]
	return m.class, ok
}

// When says when an answer to a method is to be proved. For a share of the answers of a
// class in samples that is After, for the others Off. Constants are proved before.
func (p *Prover) When(method string) When {
	m, ok := methods[method]
	switch set := p.set.Classes[m.class]; {
	case !ok:
		return Off
	case set == nil:
		return Before
	default:
		when := When(set.Get())
		if when == Sample {
			if rand.Float64() < p.set.Sample.Get() {
				return After
			}
			return Off
		}
		return when
	}
}

// Prove puts an answer to the proof, whatever When says. It takes gateway.verify.timeout at
// most.
func (p *Prover) Prove(ctx context.Context, a Answer) Finding {
	ctx, cancel := context.WithTimeout(ctx, p.set.Timeout.Get())
	defer cancel()
	m, ok := methods[a.Method]
	if !ok {
		m = method{none, func(*proof) error { return errors.New("nothing proves answers to this method") }}
	}
	w := &proof{Prover: p, ctx: ctx, answer: a}
	start := time.Now()
	err := supervise.Call("proof of an answer", func() error {
		if err := w.read(); err != nil {
			return err
		}
		return w.witnessed(m.prove(w))
	})
	p.metrics.seconds.Add(max(0, time.Since(start)-w.waited).Seconds())
	f := Finding{Status: Proved, Block: w.on}
	if err != nil {
		f = Finding{Status: Unproved, Reason: err.Error(), Block: w.on}
		if reason, lie := validation.Lie(err); lie {
			f.Status, f.Reason = Refuted, reason
			p.denounce(a, reason)
		}
	}
	p.metrics.proofs.WithLabelValues(string(m.class), f.Status.String()).Inc()
	return f
}

func (p *Prover) denounce(a Answer, reason string) {
	if p.refuted != nil {
		p.refuted(a.Provider, reason, a)
	}
}

// quorum is how many providers must agree where the chain does not know.
func (p *Prover) quorum() int {
	return max(1, min(p.set.Validation.Quorum.Get(), p.src.Providers()))
}
