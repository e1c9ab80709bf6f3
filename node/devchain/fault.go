package devchain

import (
	"context"
	"time"
)

// Fault is how a provider misbehaves. The zero value is an honest, healthy one;
// several faults may be set at once.
type Fault struct {
	Latency time.Duration // added to every answer
	Jitter  time.Duration // up to so much more, at random

	ErrorRate float64 // share of requests answered with Status
	Status    int     // HTTP status of those; 500 when 0
	Reset     bool    // connections are cut without an answer
	Hang      bool    // no answer until the client gives up

	HTML      bool   // a web page with status 200
	Oversized int    // so many bytes are added to every answer
	ChainID   uint64 // claimed instead of the true chain id, when not 0
	Stale     uint64 // the head is so many blocks behind

	Lie Lie // what is answered falsely
}

// Lie says which answers a provider falsifies.
type Lie uint8

// The lies; they can be combined.
const (
	LieBlockHash   Lie = 1 << iota // another hash for the block, everywhere the same
	LieTransaction                 // another value
	LieBalance                     // another balance, also beside a proof
	LieReceipt                     // success and failure swapped
)

// Phase is a span of time with one fault.
type Phase struct {
	Name  string
	For   time.Duration
	Fault Fault
}

// RunSchedule goes through the phases over and over until ctx is done, and
// leaves the provider healthy. It returns the context's error.
func (p *Provider) RunSchedule(ctx context.Context, phases []Phase) error {
	defer p.SetFault(Fault{})
	for len(phases) > 0 {
		for _, phase := range phases {
			p.SetFault(phase.Fault)
			wait := time.NewTimer(max(phase.For, time.Millisecond))
			select {
			case <-ctx.Done():
				wait.Stop()
				return ctx.Err()
			case <-wait.C:
			}
		}
	}
	<-ctx.Done()
	return ctx.Err()
}
