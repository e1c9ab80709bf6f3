package validation_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/trie"

	"github.com/bizra/bizra-top/node/validation"
)

// covered says that a hash or a root covers what was changed, or that it follows from
// what one covers.
func covered(s *stored, c change) bool {
	for _, excuse := range excuses("block", c) {
		merged := s.text("difficulty") == "0x0" // since when nonces are zero
		if unprovable[excuse] != "" && (merged || excuse != "*: nonce missing") && excuse != "*: blobGasPrice missing" {
			return false
		}
	}
	// Clients did not send it before London.
	if strings.HasSuffix(c.place, "effectiveGasPrice") && c.kind == "missing" && s.Block["baseFeePerGas"] == nil {
		return false
	}
	// Without the uncles' headers neither their hashes nor the size can be proved.
	uncles := len(s.Block["uncles"]) > len("[]")
	return !uncles || c.place != "size" && !strings.HasPrefix(c.place, "uncles")
}

// TestNoLieAboutTheMainNetIsBelieved has all providers tell the same lie about a block of
// the main net: whatever a hash covers, some check must not pass.
func TestNoLieAboutTheMainNetIsBelieved(t *testing.T) {
	for _, c := range chainCases {
		if !strings.HasPrefix(c.name, "mainnet") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := storedBlock(t, c.name)
			truth := passed(ask(t, newValidator(t, keeping(t, s), 1), "block", s.text("hash")))
			some := func(answer json.RawMessage) []change {
				step := 1 + len(answer)/300
				if thorough() {
					step = 1 + len(answer)/40_000
				}
				return someChanges(t, answer, "", step)
			}
			lie := func(part string, all []change, told func(json.RawMessage) (*stored, error)) {
				for _, c := range all {
					lie, err := told(c.whole)
					if err != nil || !covered(s, c) {
						continue // of the wrong type everywhere
					}
					got, err := validate(t.Context(), newValidator(t, lying(t, s, lie), 1), "block", s.text("hash"))
					if err == nil && (got.Outcome == validation.Valid || passed(got) >= truth && len(got.Liars) == 0) {
						t.Errorf("%s: %s %s: %s", part, c.place, c.kind, show(got))
					}
				}
			}
			lie("block", some(marshal(t, s.Block)), func(raw json.RawMessage) (*stored, error) {
				f := *s
				f.Block = nil
				return &f, json.Unmarshal(raw, &f.Block)
			})
			lie("receipts", some(marshal(t, s.Receipts)), func(raw json.RawMessage) (*stored, error) {
				f := *s
				f.Receipts = nil
				return &f, json.Unmarshal(raw, &f.Receipts)
			})
		})
	}
}

// lying are providers that answer about a block as if it were another.
func lying(t *testing.T, s, told *stored) *keepers {
	t.Helper()
	k := keeping(t, s)
	full, light := marshal(t, told.Block), map[string]json.RawMessage{}
	for name, value := range told.Block {
		light[name] = value
	}
	var txs []map[string]json.RawMessage
	if json.Unmarshal(told.Block["transactions"], &txs) == nil {
		hashes := []json.RawMessage{}
		for _, tx := range txs {
			hashes = append(hashes, tx["hash"])
		}
		light["transactions"] = marshal(t, hashes)
	}
	for _, id := range []string{"ByHash[" + string(s.Block["hash"]), "ByNumber[" + string(s.Block["number"])} {
		k.said["eth_getBlock"+id+",true]"] = full
		k.said["eth_getBlock"+id+",false]"] = marshal(t, light)
	}
	k.said[fmt.Sprintf("eth_getBlockReceipts[%s]", s.Block["hash"])] = marshal(t, told.Receipts)
	return k
}

func passed(v validation.Verdict) (n int) {
	for _, c := range v.Checks {
		if c.Status == validation.Passed {
			n++
		}
		if c.Status == validation.Failed {
			return 0
		}
	}
	return n
}

// unsignedBlock is a block with a transaction under its root that nobody signed, as
// Optimism's before Bedrock have, beside one with a signature whose s is high.
func unsignedBlock(t *testing.T, chainID uint64, number int64, signed bool) *stored {
	t.Helper()
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("bizra")))
	if err != nil {
		t.Fatal(err)
	}
	to := common.HexToAddress("0x77")
	tx, err := types.SignNewTx(key, types.HomesteadSigner{}, &types.LegacyTx{To: &to, Gas: 21000, GasPrice: big.NewInt(1), Value: big.NewInt(1)})
	if err != nil {
		t.Fatal(err)
	}
	v, r, s := tx.RawSignatureValues()
	high := types.NewTx(&types.LegacyTx{To: &to, Gas: 21000, GasPrice: big.NewInt(1), Value: big.NewInt(1),
		V: new(big.Int).Sub(big.NewInt(27+28), v), R: r, S: new(big.Int).Sub(crypto.S256().Params().N, s)})
	txs, from := types.Transactions{high}, []common.Address{crypto.PubkeyToAddress(key.PublicKey)}
	if !signed {
		txs = append(txs, types.NewTx(&types.LegacyTx{To: &to, Gas: 21000, GasPrice: new(big.Int), Value: new(big.Int)}))
		from = append(from, common.HexToAddress("0xdead"))
	}
	var receipts types.Receipts
	for i := range txs {
		receipts = append(receipts, &types.Receipt{Status: 1, CumulativeGasUsed: 21000 * uint64(i+1), Logs: []*types.Log{}})
	}
	b := types.NewBlock(&types.Header{Number: big.NewInt(number), Difficulty: big.NewInt(1), GasLimit: 1 << 20, GasUsed: 21000 * uint64(len(txs)), UncleHash: types.EmptyUncleHash},
		&types.Body{Transactions: txs}, receipts, trie.NewStackTrie(nil))
	out := &stored{ChainID: chainID}
	members := func(v any) (m map[string]json.RawMessage) {
		if err := json.Unmarshal(marshal(t, v), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	out.Block = members(b.Header())
	out.Block["size"], out.Block["uncles"] = marshal(t, fmt.Sprintf("0x%x", b.Size())), json.RawMessage("[]")
	var list []any
	for i, tx := range txs {
		m, at := members(tx), json.RawMessage(fmt.Sprintf(`"0x%x"`, i))
		m["from"], m["blockHash"], m["blockNumber"], m["transactionIndex"] = marshal(t, from[i]), out.Block["hash"], out.Block["number"], at
		list = append(list, m)
		out.Receipts = append(out.Receipts, map[string]json.RawMessage{"status": json.RawMessage(`"0x1"`), "logs": json.RawMessage("[]"),
			"cumulativeGasUsed": marshal(t, fmt.Sprintf("0x%x", 21000*(i+1))), "gasUsed": marshal(t, "0x5208"), "logsBloom": marshal(t, types.Bloom{}),
			"transactionHash": m["hash"], "transactionIndex": at, "blockHash": m["blockHash"], "blockNumber": m["blockNumber"], "from": m["from"], "to": marshal(t, to)})
	}
	out.Block["transactions"] = marshal(t, list)
	return out
}

func TestUnsignedTransactionsAndHighSignatures(t *testing.T) {
	for _, c := range []struct {
		name   string
		chain  uint64
		number int64
		signed bool
		want   []validation.Outcome
		liars  bool
	}{
		{"high s before Homestead", 1, 1_149_999, true, []validation.Outcome{validation.Valid}, false},
		{"high s from Homestead on", 1, 1_150_000, true, []validation.Outcome{validation.Invalid}, true},
		{"high s on a test net", 11155111, 100, true, []validation.Outcome{validation.Invalid}, true},
		{"unsigned on Optimism before Bedrock", 10, 100, false, []validation.Outcome{validation.Valid, validation.Undecided}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := unsignedBlock(t, c.chain, c.number, c.signed)
			v := newValidator(t, keeping(t, s), c.chain)
			for i, tx := range s.transactions(t) {
				got := ask(t, v, "transaction", strings.Trim(string(tx["hash"]), `"`))
				if got.Outcome != c.want[i] || len(got.Liars) > 0 != c.liars {
					t.Errorf("transaction %d: %s", i, show(got))
				}
			}
			got := ask(t, v, "block", s.text("hash"))
			if (got.Outcome == validation.Invalid) != c.liars || len(got.Liars) > 0 != c.liars {
				t.Errorf("%s", show(got))
			}
		})
	}
}
