package validation

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// Validator reaches verdicts. Its methods may be called from any goroutine.
type Validator struct {
	src     Source
	chainID uint64
	set     Settings
	judge   Judge
	metrics *metrics

	listsMissing atomic.Int64 // no provider has eth_getBlockReceipts, until then; monotonic

	chainMu    sync.Mutex
	knownChain chainAnswers
}

// New returns a validator for one chain. Its metrics are registered with reg,
// which may be nil.
func New(src Source, chainID uint64, s Settings, reg prometheus.Registerer) *Validator {
	return &Validator{src: src, chainID: chainID, set: s, judge: NewJudge(chainID, s), metrics: newMetrics(reg)}
}

// Transaction reaches a verdict on the transaction with a hash. The error is an
// [*InputError], the context's, or wraps [ErrNoAnswer].
func (v *Validator) Transaction(ctx context.Context, hash string) (Verdict, error) {
	subject, err := ParseHash(hash)
	if err != nil {
		return Verdict{}, err
	}
	return v.reach(ctx, KindTransaction, subject, func(q *inquiry) error {
		q.subject = common.HexToHash(subject)
		return q.transaction()
	})
}

// Block reaches a verdict on a block, named as [ParseBlockID] reads it. The
// error is an [*InputError], the context's, or wraps [ErrNoAnswer].
func (v *Validator) Block(ctx context.Context, numberOrHash string) (Verdict, error) {
	id, err := ParseBlockID(numberOrHash)
	if err != nil {
		return Verdict{}, err
	}
	return v.reach(ctx, KindBlock, id.String(), func(q *inquiry) error { return q.block(id) })
}

// Address reaches a verdict on an account at the head of the chain. The error is
// an [*InputError], the context's, or wraps [ErrNoAnswer].
func (v *Validator) Address(ctx context.Context, address string) (Verdict, error) {
	addr, err := ParseAddress(address)
	if err != nil {
		return Verdict{}, err
	}
	return v.reach(ctx, KindAddress, addr.String(), func(q *inquiry) error { return q.address(addr) })
}

// quorum is how many providers must agree: those the setting asks for, and all
// of them where fewer are configured. Providers that are merely not healthy still
// count, or whoever silences the others would be believed alone.
func (v *Validator) quorum() int {
	return max(1, min(v.set.Quorum.Get(), v.src.Providers()))
}

func (v *Validator) reach(ctx context.Context, kind Kind, subject string, work func(*inquiry) error) (Verdict, error) {
	start := time.Now()
	q := newInquiry(ctx, v, kind, subject)
	err := work(q)
	q.wg.Wait()
	if err == nil && ctx.Err() != nil && q.wasSilenced() {
		// What looks unanswered was only cut off.
		err = context.Cause(ctx)
	}
	if err != nil {
		v.metrics.verdicts.WithLabelValues(string(kind), string(outcomeError)).Inc()
		return Verdict{}, err
	}
	verdict := q.settle()
	verdict.ID = uuid.NewString()
	verdict.At = time.Now().UTC()
	took := time.Since(start)
	verdict.Seconds = took.Seconds()

	v.metrics.verdicts.WithLabelValues(string(kind), string(verdict.Outcome)).Inc()
	v.metrics.seconds.With(string(kind)).Observe(took)
	for _, c := range verdict.Checks {
		v.metrics.checks.WithLabelValues(c.Name, string(c.Status)).Inc()
	}
	return verdict, nil
}
