// Package memory bounds the bytes that everything in flight holds together: large
// requests, answers of providers while they are read and used, answers that wait for
// slow readers. One budget for all of them, since the process has one memory.
package memory

import (
	"context"
	"math"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/settings"
)

// Budget is a bound on bytes. All methods may be called from any goroutine. A nil
// budget has no bound.
type Budget struct {
	limit   func() int64
	held    atomic.Int64
	refused prometheus.Counter
}

// Declare declares the bound of a node. Half of what a node may use beside L1 leaves
// room for what is not counted, and for what the garbage collector has not freed yet.
func Declare(r *settings.Registry) *settings.Value[int64] {
	return settings.Bytes(r, settings.Spec{Key: "api.max_bodies", Min: 1 << 20, Max: 64 << 30, Step: 8 << 20,
		Doc: "Memory that all bodies in flight may hold together: large requests, answers of providers, answers waiting for their readers; further ones are answered 503.", Risk: settings.RiskMedium}, 96<<20)
}

// NewBudget returns a budget whose bound is read at each use, and registers its metrics.
func NewBudget(limit func() int64, reg prometheus.Registerer) *Budget {
	b := &Budget{limit: limit, refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_bodies_refused_total",
		Help: "Requests, loads and answers that api.max_bodies had no room for."})}
	reg.MustRegister(b.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_bodies_in_flight_bytes",
		Help: "Memory that requests, answers of providers and unsent answers hold, as api.max_bodies counts it."},
		func() float64 { return float64(b.held.Load()) }))
	return b
}

// ClientPart is the part of a budget that clients may hold, with requests they have not
// sent whole and answers they have not read: the rest is for loads, so that who sends and
// reads slowly does not keep others from being answered.
const ClientPart = 0.75

// Take takes so many bytes, if there is room. Where nothing else is held, any number is
// taken: a bound below one answer must not make that answer impossible.
func (b *Budget) Take(n int64) bool { return b.TakePart(n, 1) }

// TakePart is Take for what may only fill a part of the budget.
func (b *Budget) TakePart(n int64, part float64) bool {
	if b == nil || n <= 0 {
		return true
	}
	if now := b.held.Add(n); float64(now) > part*float64(b.limit()) && now != n {
		b.held.Add(-n)
		b.refused.Inc()
		return false
	}
	return true
}

// Limit returns the bound.
func (b *Budget) Limit() int64 {
	if b == nil {
		return math.MaxInt64
	}
	return b.limit()
}

// Release gives back what Take took.
func (b *Budget) Release(n int64) {
	if b != nil && n > 0 {
		b.held.Add(-n)
	}
}

// Held returns how many bytes are taken.
func (b *Budget) Held() int64 {
	if b == nil {
		return 0
	}
	return b.held.Load()
}

// Share is what one load holds of a budget. All methods may be called from any
// goroutine; a nil share has no bound.
type Share struct {
	budget *Budget
	factor int64
	held   atomic.Int64
}

// Share returns a share that counts each byte factor times: decoding makes more of an
// answer than its bytes. Release it.
func (b *Budget) Share(factor int64) *Share { return &Share{budget: b, factor: factor} }

// Take takes bytes for the load.
func (s *Share) Take(n int64) bool {
	if s == nil || n <= 0 {
		return true
	}
	if !s.budget.Take(n * s.factor) {
		return false
	}
	s.held.Add(n * s.factor)
	return true
}

// Return gives back a part of what the load holds.
func (s *Share) Return(n int64) {
	if s != nil && n > 0 {
		s.held.Add(-n * s.factor)
		s.budget.Release(n * s.factor)
	}
}

// Release gives back all that the load holds.
func (s *Share) Release() {
	if s != nil {
		s.budget.Release(s.held.Swap(0))
	}
}

type shareKey struct{}

// With returns a context whose load counts its bytes in s.
func With(ctx context.Context, s *Share) context.Context {
	return context.WithValue(ctx, shareKey{}, s)
}

// Of returns the share of a context; nil without one.
func Of(ctx context.Context) *Share {
	s, _ := ctx.Value(shareKey{}).(*Share)
	return s
}
