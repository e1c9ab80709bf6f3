package verify_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

// stuck is a source that answers when it is let, and counts who is waiting.
type stuck struct {
	let     chan struct{}
	waiting chan struct{}
}

func (s *stuck) Call(ctx context.Context, _ string, _ ...any) (validation.Answer, error) {
	s.waiting <- struct{}{}
	select {
	case <-s.let:
		return validation.Answer{}, nil
	case <-ctx.Done():
		return validation.Answer{}, ctx.Err()
	}
}

func (s *stuck) CallEach(context.Context, int, string, ...any) []validation.Answer { return nil }
func (s *stuck) Providers() int                                                    { return 3 }

func stuckProver(t *testing.T, r *rig, s *stuck, changes ...settings.Change) *verify.Prover {
	t.Helper()
	reg := settings.NewRegistry()
	set := verify.Declare(reg, validation.Declare(reg))
	if err := reg.Load(settings.SourceFlag, changes); err != nil {
		t.Fatal(err)
	}
	return verify.New(s, r, 1337, set, nil, nil)
}

func running(t *testing.T, p *verify.Prover) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	stop = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestLater(t *testing.T) {
	r := newRig(t, busy)
	running(t, r.Prover)
	findings := make(chan verify.Finding, 100)
	n := 0
	for _, q := range r.questions(t) {
		if !r.Later(r.answer(t, q.method, q.params...), func(f verify.Finding) { findings <- f }) {
			t.Fatal("the queue is full")
		}
		n++
	}
	for range n {
		select {
		case f := <-findings:
			if f.Status != verify.Proved {
				t.Errorf("%s: %s", f.Status, f.Reason)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a proof is missing")
		}
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	r := newRig(t, busy)
	s := &stuck{make(chan struct{}), make(chan struct{}, 100)}
	p := stuckProver(t, r, s, settings.Change{Key: "gateway.verify.workers", Value: "3"}, settings.Change{Key: "gateway.verify.queue_bytes", Value: "1MiB"})
	stop := running(t, p)
	b, _ := r.net.Chain.Block(8)
	raw, err := json.Marshal([]any{b.Hash(), false})
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu       sync.Mutex
		findings []verify.Finding
		accepted int
	)
	large := verify.Answer{Method: "eth_getBlockByHash", Params: raw, Result: json.RawMessage(`"` + strings.Repeat("x", 100<<10) + `"`)}
	for range 100 {
		if p.Later(large, func(f verify.Finding) { mu.Lock(); findings = append(findings, f); mu.Unlock() }) {
			accepted++
		}
	}
	if accepted == 0 || accepted > 10 {
		t.Errorf("%d answers of 100 KiB fit 1 MiB", accepted)
	}
	for range 3 {
		<-s.waiting
	}
	select {
	case <-s.waiting:
		t.Error("more than three at work")
	case <-time.After(50 * time.Millisecond):
	}
	stop()
	if len(findings) != accepted {
		t.Errorf("%d findings of %d", len(findings), accepted)
	}
	for _, f := range findings {
		if f.Status != verify.Unproved {
			t.Errorf("%s: %s", f.Status, f.Reason)
		}
	}
	if p.Later(large, func(verify.Finding) { t.Error("called") }) {
		t.Error("taken after the end")
	}
}

func TestEntriesAreBounded(t *testing.T) {
	r := newRig(t, busy)
	p := r.prover(t) // which does not run
	accepted := 0
	for range 10_000 {
		if p.Later(verify.Answer{Method: "eth_chainId", Result: json.RawMessage("null")}, func(verify.Finding) {}) {
			accepted++
		}
	}
	if accepted != 4096 {
		t.Errorf("%d taken", accepted)
	}
}

// breaking is a source that panics.
type breaking struct{ *rig }

func (breaking) Call(context.Context, string, ...any) (validation.Answer, error) {
	panic("bytes that no decoder expected")
}

func TestAPanicIsNoProof(t *testing.T) {
	r := newRig(t, busy)
	reg := settings.NewRegistry()
	p := verify.New(breaking{r}, r, 1337, verify.Declare(reg, validation.Declare(reg)), nil, nil)
	f := p.Prove(t.Context(), r.answer(t, "eth_getBlockReceipts", "0x8"))
	if f.Status != verify.Unproved || !strings.Contains(f.Reason, "panicked") {
		t.Errorf("%s: %s", f.Status, f.Reason)
	}
}

func TestWhen(t *testing.T) {
	r := newRig(t, busy)
	p := r.prover(t, settings.Change{Key: "gateway.verify.receipts", Value: "before"}, settings.Change{Key: "gateway.verify.blocks", Value: "off"},
		settings.Change{Key: "gateway.verify.sample", Value: "0.5"})
	for method, want := range map[string]verify.When{
		"eth_getTransactionReceipt": verify.Before, "eth_getBlockByHash": verify.Off, "eth_getLogs": verify.After,
		"eth_chainId": verify.Before, "eth_call": verify.Off,
	} {
		if got := p.When(method); got != want {
			t.Errorf("%s: %s", method, got)
		}
	}
	seen := map[verify.When]int{}
	for range 1000 {
		seen[p.When("eth_getBalance")]++
	}
	if seen[verify.After] < 400 || seen[verify.Off] < 400 || len(seen) != 2 {
		t.Errorf("%v", seen)
	}
}
