package validation_test

import (
	"testing"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

// BenchmarkVerdict measures a verdict over loopback HTTP with three providers,
// the providers' own work included.
func BenchmarkVerdict(b *testing.B) {
	n, err := devchain.Start(b.Context(), devchain.Config{Prefill: 12, Traffic: true, MinTx: 20, MaxTx: 20, Seed: 3})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	src := newSource(b, n.URLs()...)
	v := validation.New(src, n.Chain.ChainID(), validation.Declare(settings.NewRegistry()), nil)
	s := subjectsOf(n)
	for _, c := range [][2]string{{"transaction", s.tx}, {"block", s.number}, {"address", s.address}} {
		b.Run(c[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := validate(b.Context(), v, c[0], c[1]); err != nil || got.Outcome != validation.Valid {
					b.Fatal(err, show(got))
				}
			}
		})
	}
}
