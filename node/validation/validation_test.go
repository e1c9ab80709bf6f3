package validation_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/validation"
)

func start(t *testing.T, cfg devchain.Config) *devchain.Net {
	t.Helper()
	n, err := devchain.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// subjects are one of each kind, with something in them.
type subjects struct {
	tx, block, number, address, absent string
}

func subjectsOf(n *devchain.Net) subjects {
	b, _ := n.Chain.Block(8)
	return subjects{
		tx:      b.Transactions()[1].Hash().Hex(),
		block:   b.Hash().Hex(),
		number:  "8",
		address: n.Chain.Accounts()[3],
		absent:  "0x00000000000000000000000000000000000000fe",
	}
}

var busy = devchain.Config{Prefill: 12, Traffic: true, Seed: 3}

func ask(t *testing.T, v *validation.Validator, kind, subject string) validation.Verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var (
		out validation.Verdict
		err error
	)
	switch kind {
	case "transaction":
		out, err = v.Transaction(ctx, subject)
	case "block":
		out, err = v.Block(ctx, subject)
	default:
		out, err = v.Address(ctx, subject)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out.ID == "" || out.At.IsZero() || out.Seconds <= 0 {
		t.Errorf("incomplete: %+v", out)
	}
	return out
}

func TestTrueThingsAreValid(t *testing.T) {
	n := start(t, busy)
	src := newSource(t, n.URLs()...)
	v := newValidator(t, src, n.Chain.ChainID())
	s := subjectsOf(n)
	for _, c := range []struct{ name, kind, subject string }{
		{"transaction", "transaction", s.tx},
		{"upper-case hash", "transaction", "0x" + strings.ToUpper(s.tx[2:])},
		{"block by hash", "block", s.block},
		{"block by number", "block", s.number},
		{"block by hex number", "block", "0x8"},
		{"genesis", "block", "earliest"},
		{"latest", "block", "latest"},
		{"finalized", "block", "finalized"},
		{"account", "address", s.address},
		{"account without checksum", "address", strings.ToLower(s.address)},
		{"contract", "address", devchain.TokenAddress.Hex()},
		{"absent account", "address", s.absent},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, v, c.kind, c.subject)
			if got.Outcome != validation.Valid || len(got.Liars) > 0 || len(src.distrusts) > 0 {
				t.Fatalf("distrusts %v\n%s", src.distrusts, show(got))
			}
			if got.Block == nil || got.Facts == nil || len(got.Providers) != 3 {
				t.Errorf("block %v, providers %v", got.Block, got.Providers)
			}
			for _, check := range got.Checks {
				if check.Status == validation.Skipped && got.Subject != "0" {
					t.Errorf("%s was skipped: %s", check.Name, check.Evidence)
				}
			}
			t.Log(show(got))
		})
	}
}

func TestEveryTransactionIsValid(t *testing.T) {
	n := start(t, busy)
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID())
	for _, hash := range n.Chain.RecentTransactions(30) {
		if got := ask(t, v, "transaction", hash); got.Outcome != validation.Valid {
			t.Errorf("%s", show(got))
		}
	}
}

func TestNotThere(t *testing.T) {
	n := start(t, busy)
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID())
	unknown := "0x" + strings.Repeat("ab", 32)
	for _, c := range []struct{ name, kind, subject string }{
		{"transaction", "transaction", unknown},
		{"block by hash", "block", unknown},
		{"block by number", "block", "99999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ask(t, v, c.kind, c.subject); got.Outcome != validation.NotFound || len(got.Liars) > 0 {
				t.Errorf("%s", show(got))
			}
		})
	}
}

func TestOneProviderDoesNotKnow(t *testing.T) {
	n := start(t, busy)
	n.Providers[0].SetFault(devchain.Fault{Stale: 10})
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID())
	s := subjectsOf(n)
	for _, c := range [][2]string{{"transaction", s.tx}, {"block", s.block}, {"block", "8"}, {"block", "latest"}, {"address", s.address}} {
		if got := ask(t, v, c[0], c[1]); got.Outcome != validation.Valid || len(got.Liars) > 0 {
			t.Errorf("%s", show(got))
		}
	}
}

func TestMalformedInput(t *testing.T) {
	v := newValidator(t, newSource(t), 1)
	ctx := t.Context()
	for _, c := range []struct {
		name, field string
		call        func() (validation.Verdict, error)
	}{
		{"short hash", "hash", func() (validation.Verdict, error) { return v.Transaction(ctx, "0x12") }},
		{"no prefix", "hash", func() (validation.Verdict, error) { return v.Transaction(ctx, strings.Repeat("ab", 33)) }},
		{"escape codes", "hash", func() (validation.Verdict, error) { return v.Transaction(ctx, "\x1b[31m"+strings.Repeat("x", 1<<20)) }},
		{"pending block", "block", func() (validation.Verdict, error) { return v.Block(ctx, "pending") }},
		{"negative", "block", func() (validation.Verdict, error) { return v.Block(ctx, "-1") }},
		{"too large", "block", func() (validation.Verdict, error) { return v.Block(ctx, "18446744073709551616") }},
		{"empty", "block", func() (validation.Verdict, error) { return v.Block(ctx, "") }},
		{"0x", "block", func() (validation.Verdict, error) { return v.Block(ctx, "0x") }},
		{"short address", "address", func() (validation.Verdict, error) { return v.Address(ctx, "0x1234") }},
		{"not hex", "address", func() (validation.Verdict, error) { return v.Address(ctx, "0x"+strings.Repeat("g", 40)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.call()
			var input *validation.InputError
			if !errors.As(err, &input) || input.Field != c.field || len(err.Error()) > 300 || strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCanonicalSubjects(t *testing.T) {
	for in, want := range map[string]string{
		"0x10": "16", "007": "7", "LATEST": "latest", "earliest": "0",
		"0X" + strings.Repeat("AB", 32): "0x" + strings.Repeat("ab", 32),
	} {
		if id, err := validation.ParseBlockID(in); err != nil || id.String() != want {
			t.Errorf("%s: %s, %v", in, id, err)
		}
	}
	const right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
	for in, holds := range map[string]bool{
		right: true, strings.ToLower(right): true, "0x" + strings.ToUpper(right[2:]): true,
		"0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": false,
	} {
		a, err := validation.ParseAddress(in)
		if err != nil || a.ChecksumHolds() != holds || (a.String() == right) != holds {
			t.Errorf("%s: %s %v %v", in, a, a.ChecksumHolds(), err)
		}
	}
}

func TestWrongChecksumIsInvalid(t *testing.T) {
	v := newValidator(t, newSource(t), 1)
	got := ask(t, v, "address", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	if got.Outcome != validation.Invalid || find(t, got, "eip55").Status != validation.Failed {
		t.Errorf("%s", show(got))
	}
}

func payment(t *testing.T, n *devchain.Net, to common.Address) *types.Transaction {
	t.Helper()
	from := common.HexToAddress(n.Chain.Accounts()[0])
	price := common.Big1.Mul(common.Big32, common.Big1)
	tx, err := n.Chain.Sign(0, &types.LegacyTx{
		Nonce: n.Chain.Nonce(from), To: &to, Gas: 21000, Value: common.Big1,
		GasPrice: price.SetUint64(9_000_000_000),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Chain.Send(tx); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestPendingThenMinedThenReorged(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 3})
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID())
	hash := payment(t, n, common.HexToAddress("0x77")).Hash().Hex()

	got := ask(t, v, "transaction", hash)
	if got.Outcome != validation.Undecided || !strings.Contains(got.Reason, "no block yet") || got.Confirmations != 0 {
		t.Errorf("pending: %s", show(got))
	}
	for range 2 {
		if _, err := n.Chain.Mine(); err != nil {
			t.Fatal(err)
		}
	}
	mined, _ := n.Chain.Block(4)
	if got = ask(t, v, "transaction", hash); got.Outcome != validation.Valid || got.Confirmations != 2 {
		t.Errorf("mined: %s", show(got))
	}
	if err := n.Chain.Reorg(2); err != nil {
		t.Fatal(err)
	}
	if got = ask(t, v, "transaction", hash); got.Outcome != validation.NotFound {
		t.Errorf("reorged: %s", show(got))
	}
	got = ask(t, v, "block", mined.Hash().Hex())
	if got.Outcome != validation.Invalid || find(t, got, "canonical").Status != validation.Failed || len(got.Liars) > 0 {
		t.Errorf("block on the side: %s", show(got))
	}
	if got = ask(t, v, "block", "4"); got.Outcome != validation.Valid {
		t.Errorf("new block: %s", show(got))
	}
}

func TestStaleAnswerAfterReorg(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 3})
	src := newSource(t, n.URLs()...)
	v := newValidator(t, src, n.Chain.ChainID())
	tx := payment(t, n, common.HexToAddress("0x78"))
	if _, err := n.Chain.Mine(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	old, err := src.Call(ctx, "eth_getTransactionByHash", tx.Hash().Hex())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Chain.Reorg(1); err != nil {
		t.Fatal(err)
	}
	// Provider a still remembers the transaction in the block that is gone.
	src.answer = func(provider, method string, result json.RawMessage) json.RawMessage {
		if provider == "a" && method == "eth_getTransactionByHash" {
			return old.Result
		}
		return result
	}
	got := ask(t, v, "transaction", tx.Hash().Hex())
	if got.Outcome != validation.Invalid || find(t, got, "canonical").Status != validation.Failed {
		t.Errorf("%s", show(got))
	}
	// Sent again, it is mined in another block; the others tell.
	if err := n.Chain.Send(tx); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Chain.Mine(); err != nil {
		t.Fatal(err)
	}
	if got = ask(t, v, "transaction", tx.Hash().Hex()); got.Outcome != validation.Valid || got.Block.Number != 5 {
		t.Errorf("%s", show(got))
	}
}

func TestARevertIsAFactAndNoLie(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 12, Traffic: true, Reverts: 1})
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID())
	for _, hash := range n.Chain.RecentTransactions(50) {
		got := ask(t, v, "transaction", hash)
		if got.Outcome != validation.Valid || len(got.Liars) > 0 || find(t, got, "status").Status != validation.Passed {
			t.Errorf("%s", show(got))
		}
		if got.Execution == validation.Succeeded {
			continue
		}
		if got.Execution != validation.Reverted || !strings.Contains(string(got.Facts), `"status":"reverted"`) {
			t.Errorf("%q: %s", got.Execution, show(got))
		}
		return
	}
	t.Error("nothing was reverted")
}

func TestQuorumIsLoweredToTheProvidersConfigured(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 5, Traffic: true, Providers: 1})
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID(), set("quorum", "3"))
	for kind, subject := range map[string]string{
		"transaction": n.Chain.RecentTransactions(1)[0], "block": "3", "address": n.Chain.Accounts()[0],
	} {
		got := ask(t, v, kind, subject)
		if got.Outcome != validation.Valid || !strings.Contains(find(t, got, "canonical").Evidence, "1 of 1 providers") {
			t.Errorf("%s", show(got))
		}
	}
	if got := ask(t, v, "transaction", "0x"+strings.Repeat("12", 32)); got.Outcome != validation.NotFound {
		t.Errorf("%s", show(got))
	}
}

func TestUnhealthyProvidersDoNotLowerTheQuorum(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 5, Traffic: true, Providers: 3})
	for _, p := range n.Providers[1:] {
		p.SetFault(devchain.Fault{ErrorRate: 1})
	}
	got := ask(t, newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID()), "transaction", n.Chain.RecentTransactions(1)[0])
	canonical := find(t, got, "canonical")
	if got.Outcome != validation.Undecided || canonical.Status != validation.Skipped || !strings.Contains(canonical.Evidence, "1 of 3 providers") {
		t.Errorf("%s", show(got))
	}
}

func TestWrongChainIDOfTransaction(t *testing.T) {
	n := start(t, busy)
	src := newSource(t, n.URLs()...)
	src.answer = func(_, method string, result json.RawMessage) json.RawMessage {
		if method == "eth_chainId" {
			return json.RawMessage(`"0x1"`)
		}
		return result
	}
	got := ask(t, newValidator(t, src, 1), "transaction", subjectsOf(n).tx)
	if got.Outcome != validation.Invalid || find(t, got, "chain_id").Status != validation.Failed {
		t.Errorf("%s", show(got))
	}
}

func validate(ctx context.Context, v *validation.Validator, kind, subject string) (validation.Verdict, error) {
	switch kind {
	case "transaction":
		return v.Transaction(ctx, subject)
	case "block":
		return v.Block(ctx, subject)
	}
	return v.Address(ctx, subject)
}

func TestABlockAheadOfTheClockIsUndecided(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 3, GenesisTime: time.Now().Add(time.Hour)})
	v := newValidator(t, newSource(t, n.URLs()...), n.Chain.ChainID())
	got := ask(t, v, "block", "2")
	check := find(t, got, "timestamp")
	if got.Outcome != validation.Undecided || check.Status != validation.Skipped || !strings.Contains(check.Evidence, "ahead of this host's clock") || len(got.Liars) > 0 {
		t.Errorf("%s", show(got))
	}
}
