package validation_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bizra/bizra-top/node/validation"
)

// stored is a block as a chain's own client answered it, or in the shape in which one
// does, with its receipts.
type stored struct {
	Name     string                       `json:"name"`
	ChainID  uint64                       `json:"chainId"`
	Block    map[string]json.RawMessage   `json:"block"`
	Receipts []map[string]json.RawMessage `json:"receipts"` // nil where nobody kept them
}

func (s *stored) text(name string) string {
	return strings.Trim(string(s.Block[name]), `"`)
}

func (s *stored) transactions(t testing.TB) (out []map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal(s.Block["transactions"], &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// storedBlock reads testdata/chains.
func storedBlock(t testing.TB, name string) *stored {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "chains", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, 8<<20))
	if err != nil {
		t.Fatal(err)
	}
	s := new(stored)
	if err := json.Unmarshal(raw, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// keepers is a Source of three providers that have kept some blocks, and nothing else.
type keepers struct {
	chainID uint64
	said    map[string]json.RawMessage // by method and parameters
	mu      sync.Mutex
	lies    []string
}

func marshal(t testing.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// keep has the providers answer what there is to answer about a block.
func (k *keepers) keep(t testing.TB, s *stored) {
	t.Helper()
	var hashes []json.RawMessage
	for _, tx := range s.transactions(t) {
		hashes = append(hashes, tx["hash"])
		k.said[fmt.Sprintf("eth_getTransactionByHash[%s]", tx["hash"])] = marshal(t, tx)
	}
	light := map[string]json.RawMessage{}
	for name, value := range s.Block {
		light[name] = value
	}
	if light["transactions"] = json.RawMessage("[]"); hashes != nil {
		light["transactions"] = marshal(t, hashes)
	}
	for _, id := range []string{"ByHash[" + string(s.Block["hash"]), "ByNumber[" + string(s.Block["number"])} {
		k.said["eth_getBlock"+id+",true]"] = marshal(t, s.Block)
		k.said["eth_getBlock"+id+",false]"] = marshal(t, light)
	}
	if s.Receipts != nil {
		k.said[fmt.Sprintf("eth_getBlockReceipts[%s]", s.Block["hash"])] = marshal(t, s.Receipts)
	}
	k.said["eth_blockNumber[]"] = json.RawMessage(`"0x7fffffff"`)
	k.said["eth_chainId[]"] = json.RawMessage(fmt.Sprintf(`"0x%x"`, s.ChainID))
}

func (k *keepers) ask(provider, method string, params []any) validation.Answer {
	if params == nil {
		params = []any{}
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return validation.Answer{Provider: provider, Err: err}
	}
	answer, ok := k.said[method+string(raw)]
	switch {
	case ok:
		return validation.Answer{Provider: provider, Result: answer}
	case method == "eth_getBlockReceipts":
		return validation.Answer{Provider: provider, Err: errors.New("the method does not exist")}
	}
	return validation.Answer{Provider: provider, Result: json.RawMessage("null")}
}

func (k *keepers) Call(_ context.Context, method string, params ...any) (validation.Answer, error) {
	a := k.ask("a", method, params)
	return a, a.Err
}

func (k *keepers) CallEach(_ context.Context, n int, method string, params ...any) (out []validation.Answer) {
	for _, name := range []string{"a", "b", "c"}[:min(n, 3)] {
		out = append(out, k.ask(name, method, params))
	}
	return out
}

func (k *keepers) Providers() int { return 3 }

func (k *keepers) Distrust(provider, lie string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lies = append(k.lies, provider+": "+lie)
}

func keeping(t testing.TB, blocks ...*stored) *keepers {
	t.Helper()
	k := &keepers{chainID: blocks[0].ChainID, said: map[string]json.RawMessage{}}
	for _, s := range blocks {
		k.keep(t, s)
	}
	return k
}

// ofParent are the checks that need the parent's header.
var ofParent = map[string]bool{"parent": true, "gas_limit": true, "base_fee": true, "timestamp": true}

// chainCases are the stored blocks. What is skipped is everything but what needs the parent.
var chainCases = []struct {
	name    string
	ordinal int // transactions that are valid; the others are undecided
	skipped string
}{
	{"mainnet-46147", 1, ""},
	{"mainnet-48711", 0, ""},
	{"mainnet-48712", 5, ""},
	{"mainnet-14764013", 19, ""},
	{"mainnet-19426586", 127, ""},
	{"mainnet-19426587", 37, ""},
	{"real-aura-52173", 0, "block_hash canonical transactions_root receipts_root uncles_root logs_bloom gas_used block_fields transaction_fields receipt_fields"},
	{"real-opstack-274", 0, "transactions_root receipts_root logs_bloom gas_used block_fields transaction_fields receipt_fields"},
	{"faithful-polygon-statesync", 11, "block_fields transaction_fields"},
	{"faithful-zksync-type2", 0, "block_hash canonical transactions_root receipts_root uncles_root logs_bloom gas_used block_fields transaction_fields receipt_fields"},
}

func TestBlocksOfOtherChainsAreNeverInvalid(t *testing.T) {
	for _, c := range chainCases {
		t.Run(c.name, func(t *testing.T) {
			s := storedBlock(t, c.name)
			k := keeping(t, s)
			v := newValidator(t, k, s.ChainID)
			for _, id := range []string{s.text("hash"), s.text("number")} {
				got := ask(t, v, "block", id)
				if got.Outcome == validation.Invalid || got.Outcome == validation.NotFound || len(got.Liars) > 0 {
					t.Errorf("%s", show(got))
				}
				skipped := map[string]bool{}
				for _, name := range strings.Fields(c.skipped) {
					skipped[name] = true
				}
				for _, check := range got.Checks {
					if ofParent[check.Name] || strings.Contains(" withdrawals_root uncles_root blob_gas ", " "+check.Name+" ") {
						continue
					}
					if (check.Status == validation.Skipped) != skipped[check.Name] || check.Evidence == "not reached" {
						t.Errorf("%s %s: %s", check.Name, check.Status, check.Evidence)
					}
				}
			}
			step := 1
			if n := len(s.transactions(t)); !thorough() {
				step = max(1, n/16)
			}
			for i, tx := range s.transactions(t) {
				if i < c.ordinal && i%step != 0 {
					continue
				}
				want := validation.Valid
				if i >= c.ordinal {
					want = validation.Undecided
				}
				got := ask(t, v, "transaction", strings.Trim(string(tx["hash"]), `"`))
				if got.Outcome != want || len(got.Liars) > 0 {
					t.Errorf("transaction %d: %s", i, show(got))
				}
				if want == validation.Valid && s.Receipts[i]["status"] != nil && got.Execution == "" {
					t.Errorf("transaction %d: no execution: %s", i, show(got))
				}
			}
			if len(k.lies) > 0 {
				t.Errorf("%q", k.lies)
			}
		})
	}
}

func TestAForkBlockAfterItsParentIsValid(t *testing.T) {
	before, after := storedBlock(t, "mainnet-19426586"), storedBlock(t, "mainnet-19426587")
	got := ask(t, newValidator(t, keeping(t, before, after), 1), "block", after.text("hash"))
	if got.Outcome != validation.Valid || len(got.Liars) > 0 {
		t.Errorf("%s", show(got))
	}
}
