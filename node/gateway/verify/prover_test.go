package verify_test

import (
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/gateway/verify"
)

func TestHonestAnswersAreProved(t *testing.T) {
	r := newRig(t, busy)
	for _, window := range []bool{true, false} {
		r.window = window
		for _, q := range r.questions(t) {
			f := r.prover(t).Prove(t.Context(), r.answer(t, q.method, q.params...))
			if f.Status != verify.Proved || f.Reason != "" {
				t.Errorf("%s %v: %s: %s", q.method, q.params, f.Status, f.Reason)
			}
			if class, ok := verify.ClassOf(q.method); !ok || (f.Block.Hash == common.Hash{}) != (class == verify.Constants) {
				t.Errorf("%s %v rests on %v", q.method, q.params, f.Block)
			}
		}
	}
	if len(r.liars) > 0 {
		t.Errorf("%q", r.liars)
	}
}

func TestLiesAreRefuted(t *testing.T) {
	r := newRig(t, busy)
	for _, c := range []struct {
		lie     devchain.Lie
		methods string
	}{
		{devchain.LieBlockHash, "eth_getBlockByHash eth_getBlockByNumber eth_getTransactionByHash eth_getTransactionReceipt eth_getBlockReceipts"},
		{devchain.LieTransaction, "eth_getTransactionByHash"},
		{devchain.LieReceipt, "eth_getTransactionReceipt eth_getBlockReceipts"},
		{devchain.LieBalance, "eth_getBalance"},
	} {
		for _, q := range r.questions(t) {
			if !strings.Contains(c.methods, q.method) || q.params[0] == "0x0" {
				continue
			}
			r.liars = nil
			r.net.Providers[0].SetFault(devchain.Fault{Lie: c.lie})
			f := r.prover(t).Prove(t.Context(), r.answer(t, q.method, q.params...))
			r.net.Providers[0].SetFault(devchain.Fault{})
			if f.Status == verify.Proved {
				t.Errorf("%s %v: proved", q.method, q.params)
			}
			if c.lie != devchain.LieBlockHash && (f.Status != verify.Refuted || len(r.liars) == 0 || !strings.HasPrefix(r.liars[0], r.net.Providers[0].Name())) {
				t.Errorf("%s %v: %s: %s: %q", q.method, q.params, f.Status, f.Reason, r.liars)
			}
		}
	}
}
