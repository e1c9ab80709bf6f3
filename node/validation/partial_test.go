package validation_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

func TestNobodyAnswers(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 2, Traffic: true})
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID())
	s := n.Chain.RecentTransactions(1)[0]
	for name, fault := range map[string]devchain.Fault{
		"errors": {ErrorRate: 1}, "html": {HTML: true}, "reset": {Reset: true}, "hang": {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range n.Providers {
				p.SetFault(fault)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			for _, call := range []func() (validation.Verdict, error){
				func() (validation.Verdict, error) { return v.Transaction(ctx, s) },
				func() (validation.Verdict, error) { return v.Block(ctx, "1") },
				func() (validation.Verdict, error) { return v.Address(ctx, n.Chain.Accounts()[0]) },
			} {
				if got, err := call(); err == nil {
					t.Errorf("%s", show(got))
				} else if name != "hang" && !errors.Is(err, validation.ErrNoAnswer) {
					t.Errorf("%v", err)
				} else if name == "hang" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestReceiptsOneByOne(t *testing.T) {
	n := start(t, busy)
	s := subjectsOf(n)
	without := func(src *httpSource, with ...settings.Change) *validation.Validator {
		return newValidator(t, unsupported{src, []string{"eth_getBlockReceipts"}}, n.Chain.ChainID(), with...)
	}
	t.Run("honest", func(t *testing.T) {
		src := newSource(t, n.URLs()...)
		v := without(src)
		for _, c := range [][2]string{{"transaction", s.tx}, {"block", s.number}, {"block", "0"}} {
			if got := ask(t, v, c[0], c[1]); got.Outcome != validation.Valid || len(got.Liars) > 0 {
				t.Errorf("%s", show(got))
			}
		}
	})
	t.Run("one lies", func(t *testing.T) {
		src := newSource(t, n.URLs()...)
		n.Providers[0].SetFault(devchain.Fault{Lie: devchain.LieReceipt})
		defer n.Providers[0].SetFault(devchain.Fault{})
		got := ask(t, without(src), "block", s.number)
		if got.Outcome != validation.Valid || !slices.Equal(got.Liars, []string{"a"}) || !strings.HasPrefix(src.distrusts["a"][0], "receipts_root: ") {
			t.Errorf("%v\n%s", src.distrusts, show(got))
		}
	})
	t.Run("all lie", func(t *testing.T) {
		for _, p := range n.Providers {
			p.SetFault(devchain.Fault{Lie: devchain.LieReceipt})
			defer p.SetFault(devchain.Fault{})
		}
		got := ask(t, without(newSource(t, n.URLs()...)), "transaction", s.tx)
		if got.Outcome != validation.Invalid || find(t, got, "receipts_root").Status != validation.Failed {
			t.Errorf("%s", show(got))
		}
	})
	for name, v := range map[string]*validation.Validator{
		"too many":           without(newSource(t, n.URLs()...), set("receipt_calls", "2")),
		"not supported also": newValidator(t, unsupported{newSource(t, n.URLs()...), []string{"eth_getBlockReceipts", "eth_getTransactionReceipt"}}, n.Chain.ChainID()),
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range [][2]string{{"transaction", s.tx}, {"block", s.number}} {
				got := ask(t, v, c[0], c[1])
				check := find(t, got, "receipts_root")
				if got.Outcome != validation.Undecided || check.Status != validation.Skipped || !strings.Contains(check.Evidence, "does not exist") {
					t.Errorf("%s", show(got))
				}
			}
		})
	}
}

// unsupported is a source whose providers all lack some methods.
type unsupported struct {
	*httpSource
	methods []string
}

func (u unsupported) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	if slices.Contains(u.methods, method) {
		method = "no_such_method"
	}
	return u.httpSource.Call(ctx, method, params...)
}

func (u unsupported) CallEach(ctx context.Context, n int, method string, params ...any) []validation.Answer {
	if slices.Contains(u.methods, method) {
		method = "no_such_method"
	}
	return u.httpSource.CallEach(ctx, n, method, params...)
}

func TestRollup(t *testing.T) {
	n := start(t, busy)
	s := subjectsOf(n)
	deposit := func(raw json.RawMessage) json.RawMessage {
		return json.RawMessage(strings.Replace(string(raw), `"type":"0x2"`, `"type":"0x7e"`, 1))
	}
	for _, c := range []struct {
		name  string
		alter func(method string, raw json.RawMessage) json.RawMessage
		check string
	}{
		{"deposit transactions", func(method string, raw json.RawMessage) json.RawMessage { return deposit(raw) }, "transactions_root"},
		{"other header fields", func(method string, raw json.RawMessage) json.RawMessage {
			return json.RawMessage(strings.Replace(strings.Replace(string(raw), `"gasUsed":"0x`, `"l1Fee":"0x1","gasUsed":"0x1`, 1), `"mixHash":"0x`, `"mixHash":"0x`, 1))
		}, "block_hash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := newSource(t, n.URLs()...)
			src.answer = func(_, method string, result json.RawMessage) json.RawMessage {
				if strings.HasPrefix(method, "eth_getBlockBy") {
					return c.alter(method, result)
				}
				return result
			}
			v := newValidator(t, src, n.Chain.ChainID())
			got := ask(t, v, "block", s.number)
			if got.Outcome != validation.Undecided || find(t, got, c.check).Status != validation.Skipped || len(got.Liars) > 0 {
				t.Errorf("%s", show(got))
			}
			// One provider alone cannot pull the verdict down that way.
			src.answer = func(provider, method string, result json.RawMessage) json.RawMessage {
				if provider == "a" && strings.HasPrefix(method, "eth_getBlockBy") {
					return c.alter(method, result)
				}
				return result
			}
			if got := ask(t, v, "block", s.block); got.Outcome != validation.Valid {
				t.Errorf("%s", show(got))
			}
		})
	}
}
