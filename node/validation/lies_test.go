package validation_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/validation"
)

// lies are what providers may do, and the check that must find it out.
var lies = []struct {
	name, kind string
	subject    func(subjects) string
	fault      devchain.Fault
	check      string
}{
	{"transaction value", "transaction", func(s subjects) string { return s.tx }, devchain.Fault{Lie: devchain.LieTransaction}, "transaction_hash"},
	{"transaction's block hash", "transaction", func(s subjects) string { return s.tx }, devchain.Fault{Lie: devchain.LieBlockHash}, "block_hash"},
	{"transaction's receipt", "transaction", func(s subjects) string { return s.tx }, devchain.Fault{Lie: devchain.LieReceipt}, "receipts_root"},
	{"block hash by number", "block", func(s subjects) string { return s.number }, devchain.Fault{Lie: devchain.LieBlockHash}, "block_hash"},
	{"block hash by hash", "block", func(s subjects) string { return s.block }, devchain.Fault{Lie: devchain.LieBlockHash}, "block_hash"},
	{"block's transactions", "block", func(s subjects) string { return s.block }, devchain.Fault{Lie: devchain.LieTransaction}, "transactions_root"},
	{"block's receipts", "block", func(s subjects) string { return s.number }, devchain.Fault{Lie: devchain.LieReceipt}, "receipts_root"},
	{"balance", "address", func(s subjects) string { return s.address }, devchain.Fault{Lie: devchain.LieBalance}, "balance"},
	{"balance of nobody", "address", func(s subjects) string { return s.absent }, devchain.Fault{Lie: devchain.LieBalance}, "balance"},
	{"chain id", "block", func(s subjects) string { return s.number }, devchain.Fault{ChainID: 5}, "chain_id"},
}

func TestLoneLiarIsNamedAndFoolsNobody(t *testing.T) {
	n := start(t, busy)
	s := subjectsOf(n)
	for _, c := range lies {
		t.Run(c.name, func(t *testing.T) {
			src := newSource(t, n.URLs()...)
			v := newValidator(t, src, n.Chain.ChainID())
			n.Providers[0].SetFault(c.fault) // the one that Call prefers
			defer n.Providers[0].SetFault(devchain.Fault{})
			got := ask(t, v, c.kind, c.subject(s))
			if got.Outcome != validation.Valid || !slices.Equal(got.Liars, []string{"a"}) {
				t.Fatalf("%s", show(got))
			}
			if len(src.distrusts) != 1 || !strings.HasPrefix(src.distrusts["a"][0], c.check+": ") {
				t.Errorf("distrusts %v", src.distrusts)
			}
		})
	}
}

func TestWrongChainIsReportedOnce(t *testing.T) {
	n := start(t, busy)
	n.Providers[1].SetFault(devchain.Fault{ChainID: 5})
	src := newSource(t, n.URLs()...)
	v := newValidator(t, src, n.Chain.ChainID())
	for range 3 {
		got := ask(t, v, "block", "8")
		if got.Outcome != validation.Valid || !slices.Equal(got.Liars, []string{"b"}) || !slices.Equal(got.Providers, []string{"a", "c"}) {
			t.Errorf("%s", show(got))
		}
	}
	if len(src.distrusts["b"]) != 1 {
		t.Errorf("%v", src.distrusts)
	}
}

func TestOnlyLiarsIsInvalid(t *testing.T) {
	n := start(t, busy)
	s := subjectsOf(n)
	for _, c := range lies {
		t.Run(c.name, func(t *testing.T) {
			src := newSource(t, n.URLs()...)
			v := newValidator(t, src, n.Chain.ChainID())
			for _, p := range n.Providers {
				p.SetFault(c.fault)
				defer p.SetFault(devchain.Fault{})
			}
			got := ask(t, v, c.kind, c.subject(s))
			if got.Outcome != validation.Invalid || find(t, got, c.check).Status != validation.Failed {
				t.Fatalf("%s", show(got))
			}
			if !slices.Equal(got.Liars, []string{"a", "b", "c"}) {
				t.Errorf("liars %v", got.Liars)
			}
		})
	}
}

func TestHostileAnswers(t *testing.T) {
	n := start(t, busy)
	s := subjectsOf(n)
	for name, evil := range map[string]string{
		"number":     `7`,
		"string":     `"\u001b]0;owned\u0007<html>"`,
		"array":      `[` + strings.Repeat(`null,`, 5_000) + `null]`,
		"object":     `{}`,
		"nulls":      `{"hash":null,"number":null,"transactions":[null],"withdrawals":[null],"accountProof":[null],"logs":[null]}`,
		"deep":       strings.Repeat(`[`, 9000) + strings.Repeat(`]`, 9000),
		"wrong type": `{"hash":[],"transactions":"x","number":{},"balance":"0xzz","accountProof":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			src := newSource(t, n.URLs()...)
			for _, method := range []string{"eth_getTransactionByHash", "eth_getBlockByHash", "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getProof", "eth_chainId", "eth_blockNumber"} {
				for _, c := range [][2]string{{"transaction", s.tx}, {"block", s.block}, {"address", s.address}} {
					src.answer = func(_, m string, result json.RawMessage) json.RawMessage {
						if m == method {
							return json.RawMessage(evil)
						}
						return result
					}
					v := newValidator(t, src, n.Chain.ChainID())
					got, err := validate(t.Context(), v, c[0], c[1])
					if err != nil {
						continue // nobody said how high the chain is
					}
					asked := map[string]string{"transaction": "ByHash ByNumber Receipts", "block": "BlockByHash ByNumber Receipts", "address": "ByNumber Proof"}[c[0]]
					if got.Outcome == validation.Valid && strings.Contains(asked, strings.TrimPrefix(method, "eth_get")) {
						t.Errorf("%s of %s: %s", name, method, show(got))
					}
					if strings.ContainsAny(show(got), "\x1b\x07") {
						t.Errorf("escape codes in %q", show(got))
					}
				}
			}
		})
	}
}

func TestMinorityIsNamed(t *testing.T) {
	n := start(t, busy)
	src := newSource(t, n.URLs()...)
	other, _ := n.Chain.Block(3)
	// Provider a answers block 8 with a true header of another fork: it is its
	// own block 3 with another number, and hashes to what it claims.
	header := types.CopyHeader(other.Header())
	header.Number.SetUint64(8)
	forged, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	src.answer = func(provider, method string, result json.RawMessage) json.RawMessage {
		if provider == "a" && method == "eth_getBlockByNumber" {
			return forged
		}
		return result
	}
	got := ask(t, newValidator(t, src, n.Chain.ChainID()), "block", "8")
	if got.Outcome != validation.Valid || !slices.Equal(got.Liars, []string{"a"}) || !strings.HasPrefix(src.distrusts["a"][0], "canonical: ") {
		t.Errorf("%v\n%s", src.distrusts, show(got))
	}
	// Near the head it may only be late.
	src.distrusts = map[string][]string{}
	got = ask(t, newValidator(t, src, n.Chain.ChainID(), set("reorg_depth", "50")), "block", "8")
	if got.Outcome != validation.Valid || len(got.Liars) > 0 {
		t.Errorf("%v\n%s", src.distrusts, show(got))
	}
	// With one vote each, nothing is decided.
	src = newSource(t, n.URLs()[:2]...)
	src.answer = func(provider, method string, result json.RawMessage) json.RawMessage {
		if provider == "a" && method == "eth_getBlockByNumber" {
			return forged
		}
		return result
	}
	if got = ask(t, newValidator(t, src, n.Chain.ChainID()), "block", "8"); got.Outcome == validation.Valid {
		t.Errorf("%s", show(got))
	}
}

// A host whose clock was set back called every new block invalid. Whose clock is wrong cannot
// be told from here.
