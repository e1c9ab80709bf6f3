package verify_test

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stage measures processor time beside the clock's.
func stage(b *testing.B, name string, work func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		before := cpu(b)
		for b.Loop() {
			if err := work(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	})
}

// BenchmarkProve measures the proof of a block of 200 transactions and of its receipts, and
// what of it is parsing: of the JSON into go-ethereum's types, once.
func BenchmarkProve(b *testing.B) {
	r := newRig(b, devchain.Config{Prefill: 9, Traffic: true, MinTx: 200, MaxTx: 200, GasLimit: 30_000_000, Seed: 3})
	block, _ := r.net.Chain.Block(8)
	if n := len(block.Transactions()); n != 200 {
		b.Fatalf("%d transactions", n)
	}
	reg := settings.NewRegistry()
	judge := validation.NewJudge(1337, validation.Declare(reg))
	whole := r.answer(b, "eth_getBlockByHash", block.Hash(), true)
	b.Logf("%d bytes", len(whole.Result))
	stage(b, "block/parsing", func() error {
		var sent struct {
			*types.Header
			Transactions []json.RawMessage
		}
		if err := json.Unmarshal(whole.Result, &sent.Header); err != nil {
			return err
		}
		if err := json.Unmarshal(whole.Result, &struct{ Transactions *[]json.RawMessage }{&sent.Transactions}); err != nil {
			return err
		}
		for _, raw := range sent.Transactions {
			if err := new(types.Transaction).UnmarshalJSON(raw); err != nil {
				return err
			}
		}
		return nil
	})
	stage(b, "block/roots", func() error {
		_, err := judge.Block(whole.Result, common.Hash{})
		return err
	})
	stage(b, "block/whole", func() error {
		proved, err := judge.Block(whole.Result, common.Hash{})
		if err != nil {
			return err
		}
		return proved.Whole(whole.Result)
	})
	for _, q := range []question{
		{"eth_getBlockByHash", []any{block.Hash(), true}}, {"eth_getBlockByNumber", []any{"0x8", false}},
		{"eth_getBlockReceipts", []any{block.Hash()}}, {"eth_getTransactionReceipt", []any{block.Transactions()[7].Hash()}},
		{"eth_getLogs", []any{map[string]any{"blockHash": block.Hash()}}},
	} {
		a := r.answer(b, q.method, q.params...)
		p := r.prover(b)
		p.Prove(b.Context(), a)
		stage(b, "again/"+q.method, func() error {
			if f := p.Prove(b.Context(), a); f.Status != verify.Proved {
				b.Fatal(f.Reason)
			}
			return nil
		})
	}
}
