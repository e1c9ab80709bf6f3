package validation_test

import (
	"context"
	"slices"
	"testing"

	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/node/validation"
)

// breaking is a source whose answers to some methods break whoever reads them.
type breaking struct {
	*httpSource
	method string
}

func (b breaking) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	if b.method == method {
		panic("bytes that no decoder expected")
	}
	return b.httpSource.Call(ctx, method, params...)
}

func (b breaking) CallEach(ctx context.Context, n int, method string, params ...any) []validation.Answer {
	if b.method == method {
		panic("bytes that no decoder expected")
	}
	return b.httpSource.CallEach(ctx, n, method, params...)
}

// Questions of one verdict are asked in goroutines of their own. A decoder that panics in
// one of them ended the node; what the others found without it must not be a verdict.
func TestADecodersPanicIsNoVerdict(t *testing.T) {
	n := start(t, busy)
	s := subjectsOf(n)
	asked := []string{}
	for _, method := range []string{"eth_chainId", "eth_blockNumber", "eth_getBlockByHash", "eth_getBlockByNumber", "eth_getBlockReceipts",
		"eth_getTransactionByHash", "eth_getProof", "eth_getCode"} {
		for kind, subject := range map[string]string{"transaction": s.tx, "block": s.number, "address": s.address} {
			v := newValidator(t, breaking{newSource(t, n.URLs()...), method}, n.Chain.ChainID())
			var got validation.Verdict
			err := supervise.Call("verdict", func() (err error) {
				switch kind {
				case "transaction":
					got, err = v.Transaction(t.Context(), subject)
				case "block":
					got, err = v.Block(t.Context(), subject)
				default:
					got, err = v.Address(t.Context(), subject)
				}
				return err
			})
			if err != nil {
				asked = append(asked, method)
			} else if got.Outcome != validation.Valid {
				t.Errorf("%s without %s: %s", kind, method, got.Outcome)
			}
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(asked)))) < 6 {
		t.Errorf("only these were asked: %v", asked)
	}
}
