package validation_test

import (
	"fmt"
	"testing"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

// BenchmarkVerdict measures a verdict when every answer is there at once: what
// the node itself does for it, with three providers.
func BenchmarkVerdict(b *testing.B) {
	for _, transactions := range []int{20, 200} {
		cfg := devchain.Config{Prefill: 9, Traffic: true, MinTx: transactions, MaxTx: transactions, GasLimit: 30_000_000, Seed: 3}
		said, chainID, subjects := recorded(b, cfg, func(n *devchain.Net) [][2]string {
			s := subjectsOf(n)
			block, _ := n.Chain.Block(8)
			if got := len(block.Transactions()); got != transactions {
				b.Fatalf("%d transactions in a block, not %d", got, transactions)
			}
			return [][2]string{{"transaction", s.tx}, {"block", s.number}, {"address", s.address}}
		})
		v := validation.New(said, chainID, validation.Declare(settings.NewRegistry()), nil)
		for _, c := range subjects {
			if c[0] == "address" && transactions > 20 {
				continue
			}
			b.Run(fmt.Sprintf("%s/transactions=%d", c[0], transactions), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if got, err := validate(b.Context(), v, c[0], c[1]); err != nil || got.Outcome != validation.Valid {
						b.Fatal(err, show(got))
					}
				}
				if c[0] == "block" {
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(transactions), "µs/transaction")
				}
			})
		}
	}
}
