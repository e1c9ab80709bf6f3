package verify_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/trie"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

func prove(t *testing.T, r *rig, a verify.Answer, want verify.Status, reason string) {
	t.Helper()
	if f := r.Prove(t.Context(), a); f.Status != want || !strings.Contains(f.Reason, reason) {
		t.Errorf("%s %s: %s: %s", a.Method, a.Params, f.Status, f.Reason)
	}
}

func TestWhatNothingProves(t *testing.T) {
	r := newRig(t, busy)
	unknown := common.Hash{0xab}
	for _, q := range []question{
		{"eth_getBlockByHash", []any{unknown, true}},
		{"eth_getBlockByNumber", []any{"0xfffff", true}},
		{"eth_getBlockByNumber", []any{"latest", true}},
		{"eth_getBlockByNumber", []any{"finalized", false}},
		{"eth_getTransactionByHash", []any{unknown}},
		{"eth_getTransactionReceipt", []any{unknown}},
		{"eth_getBlockReceipts", []any{"latest"}},
		{"eth_getBalance", []any{r.net.Chain.Accounts()[0], "latest"}},
		{"eth_getBalance", []any{r.net.Chain.Accounts()[0]}},
		{"eth_getLogs", []any{map[string]any{}}},
		{"eth_getLogs", []any{map[string]any{"fromBlock": "0x1", "toBlock": "latest"}}},
		{"eth_call", []any{map[string]any{"to": devchain.TokenAddress}, "0x8"}},
		{"eth_gasPrice", []any{}},
	} {
		a := verify.Answer{Method: q.method, Provider: "a", Result: r.post(t.Context(), 0, q.method, q.params).Result}
		var err error
		if a.Params, err = json.Marshal(q.params); err != nil {
			t.Fatal(err)
		}
		prove(t, r, a, verify.Unproved, "")
	}
	prove(t, r, verify.Answer{Method: "eth_getBlockByHash", Params: json.RawMessage("{"), Result: json.RawMessage("{}")}, verify.Unproved, "parameters")
}

func TestLogsThatAreLeftOut(t *testing.T) {
	r := newRig(t, busy)
	ask := map[string]any{"fromBlock": "0x2", "toBlock": "0x14", "address": devchain.TokenAddress}
	honest := r.answer(t, "eth_getLogs", ask)
	var logs []json.RawMessage
	var last, first struct{ BlockNumber string }
	if err := json.Unmarshal(honest.Result, &logs); err != nil || len(logs) < 10 {
		t.Fatal(err, len(logs))
	}
	with := func(list []json.RawMessage) verify.Answer {
		raw, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		a := honest
		a.Result = raw
		return a
	}
	prove(t, r, with(logs[1:]), verify.Refuted, "log 0")
	prove(t, r, with(append([]json.RawMessage{logs[1], logs[0]}, logs[2:]...)), verify.Refuted, "log 0")
	// All of the last blocks missing is what a provider answers that is late.
	cut := len(logs) - 1
	for _ = json.Unmarshal(logs[cut], &last); cut > 0; cut-- {
		if _ = json.Unmarshal(logs[cut-1], &first); first.BlockNumber != last.BlockNumber {
			break
		}
	}
	prove(t, r, with(logs[:cut]), verify.Unproved, "not have had yet")
	prove(t, r, with([]json.RawMessage{}), verify.Unproved, "not have had yet")
	wide := r.answer(t, "eth_getLogs", map[string]any{"fromBlock": "0x0", "toBlock": "0x64"})
	prove(t, r, wide, verify.Unproved, "more than 64 blocks")
}

func TestOfAReplacedBlockOnlyWhatIsAskedByItsHashIsProved(t *testing.T) {
	r := newRig(t, busy)
	b, _ := r.net.Chain.Block(38)
	tx := b.Transactions()[0].Hash()
	before := []verify.Answer{
		r.answer(t, "eth_getBlockByNumber", "0x26", true), r.answer(t, "eth_getTransactionByHash", tx),
		r.answer(t, "eth_getTransactionReceipt", tx), r.answer(t, "eth_getBlockReceipts", "0x26"),
	}
	byHash := r.answer(t, "eth_getBlockByHash", b.Hash(), true)
	if err := r.net.Chain.Reorg(5); err != nil {
		t.Fatal(err)
	}
	for _, a := range before[:3] {
		prove(t, r, a, verify.Unproved, "is not canonical")
	}
	// Receipts say which block they are of: these are not the named one's.
	if f := r.Prove(t.Context(), before[3]); f.Status == verify.Proved {
		t.Error("receipts of a replaced block are proved")
	}
	prove(t, r, byHash, verify.Proved, "")
}

func TestWhoLiesToTheProverIsNamedAndFoolsNobody(t *testing.T) {
	r := newRig(t, busy)
	b, _ := r.net.Chain.Block(8)
	liar := r.net.Providers[0]
	for _, c := range []struct {
		lie devchain.Lie
		q   question
	}{
		{devchain.LieTransaction, question{"eth_getBlockByHash", []any{b.Hash(), false}}},
		{devchain.LieReceipt, question{"eth_getLogs", []any{map[string]any{"blockHash": b.Hash()}}}},
		{devchain.LieBalance, question{"eth_getTransactionCount", []any{r.net.Chain.Accounts()[1], "0x8"}}},
	} {
		r.liars, r.Prover = nil, r.prover(t)
		honest := r.answer(t, c.q.method, c.q.params...)
		honest.Provider = "somebody"
		liar.SetFault(devchain.Fault{Lie: c.lie})
		prove(t, r, honest, verify.Proved, "")
		liar.SetFault(devchain.Fault{})
		if len(r.liars) != 1 || !strings.HasPrefix(r.liars[0], liar.Name()+": ") {
			t.Errorf("%s: %q", c.q.method, r.liars)
		}
	}
}

func TestConstantsNeedAQuorum(t *testing.T) {
	r := newRig(t, busy)
	honest := r.answer(t, "eth_chainId")
	lie := honest
	lie.Result = json.RawMessage(`"0x1"`)
	prove(t, r, lie, verify.Refuted, "2 providers say")
	for _, p := range r.net.Providers[1:] {
		p.SetFault(devchain.Fault{ErrorRate: 1})
	}
	prove(t, r, honest, verify.Unproved, "quorum")
}

// kept is a source and a chain of one block of the main net.
type kept struct {
	uncle    json.RawMessage
	ChainID  uint64 `json:"chainId"`
	Block    json.RawMessage
	Receipts json.RawMessage
	head     *types.Header `json:"-"`
}

func (k *kept) Call(_ context.Context, method string, _ ...any) (validation.Answer, error) {
	if method == "eth_getBlockReceipts" {
		return validation.Answer{Provider: "k", Result: k.Receipts}, nil
	}
	if method == "eth_getUncleByBlockHashAndIndex" {
		return validation.Answer{Provider: "k", Result: k.uncle}, nil
	}
	return validation.Answer{Provider: "k", Result: k.Block}, nil
}

func (k *kept) CallEach(context.Context, int, string, ...any) []validation.Answer { return nil }
func (k *kept) Providers() int                                                    { return 1 }

func (k *kept) Canonical(uint64) (common.Hash, bool) { return k.head.Hash(), true }
func (k *kept) Header(context.Context, common.Hash) (*types.Header, error) {
	return nil, errors.New("not known")
}

func TestBlocksOfTheMainNet(t *testing.T) {
	for name, want := range map[string]verify.Status{
		"mainnet-46147": verify.Proved, "mainnet-48711": verify.Proved, "mainnet-48712": verify.Proved,
		"mainnet-19426586": verify.Proved, "mainnet-19426587": verify.Proved,
		"mainnet-14764013": verify.Unproved, // uncles
		"real-aura-52173":  verify.Unproved, "real-opstack-274": verify.Unproved,
		"faithful-polygon-statesync": verify.Unproved, "faithful-zksync-type2": verify.Unproved,
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(filepath.Join("..", "..", "validation", "testdata", "chains", name+".json.gz"))
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
			k := &kept{head: new(types.Header)}
			var named struct{ Hash common.Hash }
			if err := errors.Join(json.Unmarshal(raw, k), json.Unmarshal(k.Block, &named), json.Unmarshal(k.Block, k.head)); err != nil {
				t.Fatal(err)
			}
			reg := settings.NewRegistry()
			p := verify.New(k, k, k.ChainID, verify.Declare(reg, validation.Declare(reg)), nil, func(_, reason string, _ verify.Answer) { t.Errorf("a lie: %s", reason) })
			got := p.Prove(t.Context(), verify.Answer{Method: "eth_getBlockByHash", Params: json.RawMessage(`["` + named.Hash.Hex() + `",true]`), Result: k.Block})
			if got.Status != want {
				t.Errorf("block: %s: %s", got.Status, got.Reason)
			}
			t.Log(got.Reason)
			if !strings.HasPrefix(name, "mainnet") {
				return
			}
			got = p.Prove(t.Context(), verify.Answer{Method: "eth_getBlockReceipts", Params: json.RawMessage(`["` + named.Hash.Hex() + `"]`), Result: k.Receipts})
			if got.Status != verify.Proved {
				t.Errorf("receipts: %s: %s", got.Status, got.Reason)
			}
		})
	}
}

func TestMembersThatNothingProvesNeedAQuorum(t *testing.T) {
	r := newRig(t, busy)
	b, _ := r.net.Chain.Block(8)
	sending := map[string]string{}
	r.alter = func(provider, method string, result json.RawMessage) json.RawMessage {
		if method == "eth_getBlockByHash" && sending[provider] != "" {
			return json.RawMessage(`{"totalDifficulty":"` + sending[provider] + `",` + string(result[1:]))
		}
		return result
	}
	for i, p := range r.net.Providers[:2] {
		sending[p.Name()] = "0x7"
		for _, full := range []bool{true, false} {
			want := []verify.Status{verify.Unproved, verify.Proved}[i]
			prove(t, r, r.answer(t, "eth_getBlockByHash", b.Hash(), full), want, "")
		}
	}
	sending[r.net.Providers[0].Name()] = "0x8"
	prove(t, r, r.answer(t, "eth_getBlockByHash", b.Hash(), true), verify.Unproved, "totalDifficulty")
	r.alter = func(_, method string, result json.RawMessage) json.RawMessage {
		return json.RawMessage(strings.ReplaceAll(string(result), `"transactionIndex"`, `"l1Fee":"0x1","transactionIndex"`))
	}
	prove(t, r, r.answer(t, "eth_getBlockByHash", b.Hash(), true), verify.Unproved, "transactions.l1Fee")
	prove(t, r, r.answer(t, "eth_getBlockReceipts", b.Hash()), verify.Unproved, "l1Fee")
}

// A member that nothing proves may be of any size.
func TestManyValuesInAMemberThatNothingProves(t *testing.T) {
	r := newRig(t, busy)
	b, _ := r.net.Chain.Block(8)
	a := r.answer(t, "eth_getBlockByHash", b.Hash(), true)
	a.Result = json.RawMessage(`{"junk":[` + strings.Repeat("[],", 1<<20) + `[]],` + string(a.Result[1:]))
	prove(t, r, a, verify.Unproved, "more values")
}

func TestAHeightIsVotedOnOnce(t *testing.T) {
	r := newRig(t, busy)
	r.window = false
	b, _ := r.net.Chain.Block(8)
	votes := 0
	r.alter = func(_, method string, result json.RawMessage) json.RawMessage {
		if method == "eth_getBlockByNumber" {
			votes++
		}
		return result
	}
	for _, tx := range b.Transactions() {
		prove(t, r, r.answer(t, "eth_getTransactionReceipt", tx.Hash()), verify.Proved, "")
	}
	if votes != len(r.net.Providers) {
		t.Errorf("%d providers asked", votes)
	}
	for _, p := range r.net.Providers[1:] {
		p.SetFault(devchain.Fault{ErrorRate: 1})
	}
	r.Prover = r.prover(t)
	prove(t, r, r.answer(t, "eth_getTransactionReceipt", b.Transactions()[0].Hash()), verify.Unproved, "no quorum names the block at height 8")
}

func TestABlockWithAnUncle(t *testing.T) {
	uncle := &types.Header{Number: big.NewInt(6), Difficulty: big.NewInt(5), UncleHash: types.EmptyUncleHash, Extra: []byte("uncle")}
	other := types.CopyHeader(uncle)
	other.GasLimit = 7
	b := types.NewBlock(&types.Header{Number: big.NewInt(7), Difficulty: big.NewInt(5), GasLimit: 9}, &types.Body{Uncles: []*types.Header{uncle}}, nil, trie.NewStackTrie(nil))
	encode := func(v any) json.RawMessage {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	answer := func(size uint64, listed common.Hash) json.RawMessage {
		head := string(encode(b.Header()))
		return json.RawMessage(fmt.Sprintf(`%s,"size":"0x%x","uncles":["%s"],"transactions":[]}`, head[:len(head)-1], size, listed))
	}
	for _, c := range []struct {
		name   string
		size   uint64
		listed common.Hash
		known  *types.Header
		want   verify.Status
	}{
		{"honest", b.Size(), uncle.Hash(), uncle, verify.Proved},
		{"another size", b.Size() + 1, uncle.Hash(), uncle, verify.Unproved},
		{"another uncle", b.Size(), other.Hash(), uncle, verify.Refuted},
		{"a false header of the uncle", b.Size(), uncle.Hash(), other, verify.Unproved},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &kept{Block: answer(b.Size(), uncle.Hash()), head: b.Header(), uncle: encode(c.known)}
			reg := settings.NewRegistry()
			p := verify.New(k, k, 1, verify.Declare(reg, validation.Declare(reg)), nil, nil)
			for _, params := range []string{`["` + b.Hash().Hex() + `",true]`, `["` + b.Hash().Hex() + `",false]`} {
				got := p.Prove(t.Context(), verify.Answer{Method: "eth_getBlockByHash", Params: json.RawMessage(params), Result: answer(c.size, c.listed)})
				if got.Status != c.want {
					t.Errorf("%s: %s: %s", params, got.Status, got.Reason)
				}
			}
		})
	}
}
