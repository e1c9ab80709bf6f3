package validation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

// A provider lies in one single place of one answer: a value is changed, taken
// away, made null or given another type, an element is added to a list. That is
// done to each place in every answer that a verdict rests on, once with that
// provider alone and once with two honest ones beside it.

// unprovable are the places where a lie is not found out, because nothing that
// is proved says otherwise or because clients differ there. Everything that is
// found out by no check must be in this table, and everything in it must occur.
// Keys are "question: place change"; a question of "*" is any.
var unprovable = map[string]string{
	"*: (unknown member) added": "what no specification names is not read",

	// Only hashes of other blocks' headers are of use; the rest of what is sent
	// with them is about transactions that nobody has asked about.
	"parent: size":                            "of another block, whose transactions are not asked for",
	"parent: transactions":                    "of another block, whose transactions are not asked for",
	"head of an address: size":                "of a block whose transactions are not asked for",
	"head of an address: transactions":        "of a block whose transactions are not asked for",
	"tagged head: size":                       "compared once the block at its height is asked for by number",
	"tagged head: transactions":               "compared once the block at its height is asked for by number",
	"height: number":                          "how high the chain is, one provider alone cannot be contradicted in; of three, two decide",
	"*: totalDifficulty":                      "no header holds it, and since the merge nothing adds to it",
	"block of a transaction: other sender":    "a signature costs more than the rest: of the block of a transaction, only that one's sender is recovered",
	"receipts of a transaction: other sender": "as above",

	// The same hash with it and without it.
	"*: nonce missing": "since the merge it is zero in every block",

	"*: size changed": "by the one byte in which clients differ",

	// Clients differ in whether they send these; one that is missing claims nothing.
	"*: blockTimestamp missing": "newer than the specification of logs and transactions",
	"*: chainId missing":        "of a legacy transaction, whose v holds it",
	"*: yParity missing":        "v holds it",
	"*: v missing":              "yParity holds it",
	"*: gasPrice missing":       "deprecated for transactions that name a fee cap",
	"*: type missing":           "legacy transactions and receipts came without it",
	"*: removed missing":        "only of use in subscriptions",
	"*: blobGasPrice missing":   "of a receipt of a transaction without blobs",
}

// stage is a Source whose providers repeat what a real one has said, but for one
// that lies in one answer.
type stage struct {
	real  *httpSource
	names []string
	mu    sync.Mutex
	said  map[string]json.RawMessage
	order []string

	lieTo string          // which question a answers falsely
	lie   json.RawMessage // and how
	told  []string        // the lies that were reported of a
}

func (s *stage) ask(provider, method string, params []any) validation.Answer {
	key, err := json.Marshal([]any{method, params})
	if err != nil {
		return validation.Answer{Provider: provider, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if provider == "a" && string(key) == s.lieTo {
		return validation.Answer{Provider: provider, Result: s.lie}
	}
	answer, ok := s.said[string(key)]
	if !ok {
		a, err := s.real.Call(context.Background(), method, params...)
		if err != nil {
			return validation.Answer{Provider: provider, Err: err}
		}
		answer = a.Result
		s.said[string(key)] = answer
		s.order = append(s.order, string(key))
	}
	return validation.Answer{Provider: provider, Result: answer}
}

func (s *stage) Call(_ context.Context, method string, params ...any) (validation.Answer, error) {
	a := s.ask("a", method, params)
	return a, a.Err
}

func (s *stage) CallEach(_ context.Context, n int, method string, params ...any) []validation.Answer {
	var out []validation.Answer
	for _, name := range s.names[:min(n, len(s.names))] {
		out = append(out, s.ask(name, method, params))
	}
	return out
}

func (s *stage) Providers() int { return len(s.names) }

func (s *stage) Distrust(provider, lie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, provider+" "+lie)
}

// question names a call as the table of what is unprovable does.
func questionOf(kind, key string) string {
	var call []json.RawMessage
	var method string
	if err := json.Unmarshal([]byte(key), &call); err != nil || json.Unmarshal(call[0], &method) != nil {
		return key
	}
	switch params := string(call[1]); {
	case method == "eth_getBlockByHash" && strings.HasSuffix(params, "false]"):
		return "parent"
	case method == "eth_getBlockByHash" && kind == "transaction":
		return "block of a transaction"
	case method == "eth_getBlockByHash":
		return "block"
	case method == "eth_getBlockByNumber" && kind == "address":
		return "head of an address"
	case method == "eth_getBlockByNumber" && strings.HasPrefix(params, `["0x`):
		return "block by number"
	case method == "eth_getBlockByNumber":
		return "tagged head"
	case method == "eth_getBlockReceipts" && kind == "transaction":
		return "receipts of a transaction"
	case method == "eth_getBlockReceipts":
		return "receipts"
	case method == "eth_getTransactionByHash":
		return "transaction"
	case method == "eth_getTransactionReceipt":
		return "receipt"
	case method == "eth_getProof":
		return "proof"
	case method == "eth_getCode":
		return "code"
	case method == "eth_chainId":
		return "chain"
	case method == "eth_blockNumber":
		return "height"
	}
	return method
}

// excuses are the keys of unprovable that fit a change.
func excuses(question string, c change) []string {
	last := c.place[strings.LastIndexByte(c.place, '.')+1:]
	first, _, _ := strings.Cut(c.place, "[")
	out := []string{"*: " + last + " " + c.kind, "*: " + last, question + ": " + first}
	if question == "height" {
		out = append(out, "height: number")
	}
	if !c.own && (last == "from" || last == "contractAddress") {
		out = append(out, question+": other sender")
	}
	return out
}

// mutated is how often which check found a lie in a place, or none.
type mutated struct {
	mu     sync.Mutex
	checks map[string]map[string]int
	used   map[string]bool
	lies   int
}

// thorough asks for the long form, by BIZRA_TEST_LONG=1: every lie in every answer
// about every subject. Without it, what lies in the same places of the answers is
// told once, so that the race detector is through within a minute.
func thorough() bool { return os.Getenv("BIZRA_TEST_LONG") == "1" }

// everyLie puts every lie about a subject to a validator; in the short form, those
// in the answers to some questions only, where any are named.
func (m *mutated) everyLie(t *testing.T, real *httpSource, chainID uint64, kind, subject string, short []string, with ...settings.Change) {
	t.Helper()
	honest := &stage{real: real, names: []string{"a", "b", "c"}, said: map[string]json.RawMessage{}}
	truth := ask(t, newValidator(t, honest, chainID, with...), kind, subject)
	if truth.Outcome != validation.Valid || len(truth.Liars) > 0 {
		t.Fatalf("%s", show(truth))
	}
	hash := ""
	if kind == "transaction" {
		hash = subject
	}
	for _, key := range slices.Clone(honest.order) {
		question := questionOf(kind, key)
		if len(short) > 0 && !thorough() && !slices.Contains(short, question) {
			continue
		}
		for _, c := range changes(t, honest.said[key], hash) {
			s := &stage{real: real, said: honest.said, lieTo: key, lie: c.whole}
			name := fmt.Sprintf("%s %s: %s, %s %s", kind, subject, question, c.place, c.kind)

			s.names = []string{"a"}
			alone, err := validate(t.Context(), newValidator(t, s, chainID, with...), kind, subject)
			byAlone := foundBy(alone, s.told, err)

			s.names, s.told = []string{"a", "b", "c"}, nil
			among, err := validate(t.Context(), newValidator(t, s, chainID, with...), kind, subject)
			if err != nil || among.Outcome != truth.Outcome || !bytes.Equal(among.Facts, truth.Facts) || among.Block == nil || *among.Block != *truth.Block {
				t.Errorf("%s: with two honest providers: %v\n%s", name, err, show(among))
			}
			byAmong := foundBy(among, s.told, err)
			m.note(t, name, question, c, alone, byAlone, byAmong, among)
		}
	}
}

// foundBy is the check that found a lie of provider a, and "" when none did.
func foundBy(v validation.Verdict, told []string, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	for _, lie := range told {
		provider, lie, _ := strings.Cut(lie, " ")
		if check, _, _ := strings.Cut(lie, ":"); provider == "a" && slices.Contains(v.Liars, "a") {
			return check
		}
	}
	return ""
}

func (m *mutated) note(t *testing.T, name, question string, c change, alone validation.Verdict, byAlone, byAmong string, among validation.Verdict) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lies++
	by := byAmong
	for _, excuse := range excuses(question, c) {
		if unprovable[excuse] != "" && byAmong == "" {
			m.used[excuse], by = true, "(nothing: "+unprovable[excuse]+")"
			break
		}
	}
	if by == "" {
		t.Errorf("%s was found out by nothing\n%s", name, show(among))
		by = "(NOTHING)"
	}
	if byAmong != "" {
		if alone.Outcome == validation.Valid || !named(alone, byAlone) {
			t.Errorf("%s: alone: found by %q: %s", name, byAlone, show(alone))
		}
		if len(among.Liars) != 1 {
			t.Errorf("%s: liars %v", name, among.Liars)
		}
	}
	place := question + ": " + c.place
	if m.checks[place] == nil {
		m.checks[place] = map[string]int{}
	}
	m.checks[place][by]++
}

// named says whether a verdict that is not valid names a check that did not hold.
func named(v validation.Verdict, check string) bool {
	for _, c := range v.Checks {
		if c.Status != validation.Passed && strings.HasPrefix(v.Reason, c.Name+": ") {
			return true
		}
	}
	return check != "" && strings.Contains(v.Reason, check)
}

// table prints which check finds a lie in which place.
func (m *mutated) table(t *testing.T) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%d lies\n", m.lies)
	for _, place := range slices.Sorted(maps.Keys(m.checks)) {
		var by []string
		for _, check := range slices.Sorted(maps.Keys(m.checks[place])) {
			by = append(by, fmt.Sprintf("%s %d", check, m.checks[place][check]))
		}
		fmt.Fprintf(&b, "%-58s %s\n", place, strings.Join(by, ", "))
	}
	t.Log(b.String())
}

func newMutated() *mutated {
	return &mutated{checks: map[string]map[string]int{}, used: map[string]bool{}}
}

// onlyInClients are the places of unprovable that devchain's answers do not have.
var onlyInClients = []string{"*: size changed", "*: totalDifficulty", "*: blobGasPrice missing"}

// every is the first block that holds a transaction of each kind, or of as
// many as any does.
func every(n *devchain.Net) (best *types.Block) {
	most := 0
	for i := uint64(2); ; i++ {
		b, ok := n.Chain.Block(i)
		if !ok {
			return best
		}
		kinds := map[uint8]bool{}
		for _, tx := range b.Transactions() {
			kinds[tx.Type()] = true
		}
		if len(kinds) > most {
			best, most = b, len(kinds)
		}
	}
}

func TestEveryLieIsFoundOut(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 300, Traffic: true, MinTx: 5, MaxTx: 6, Seed: 3, Providers: 1})
	m, real := newMutated(), newSource(t, n.URLs()...)
	block := every(n)
	subjects := [][2]string{
		{"block", block.Number().String()}, {"block", "latest"},
		{"address", n.Chain.Accounts()[3]}, {"address", devchain.TokenAddress.Hex()},
		{"address", "0x00000000000000000000000000000000000000fe"},
	}
	short := [][]string{nil, {"tagged head"}, {"proof", "code"}, nil, {"proof", "code"}}
	kinds := map[uint8]bool{}
	for _, tx := range block.Transactions() {
		if !kinds[tx.Type()] {
			subjects = append(subjects, [2]string{"transaction", tx.Hash().Hex()})
			short = append(short, []string{"transaction", "block by number", "height", "chain"})
		}
		kinds[tx.Type()] = true
	}
	if len(kinds) != 5 {
		t.Fatalf("only the types %v", kinds)
	}
	t.Run("all", func(t *testing.T) {
		for i, c := range subjects {
			t.Run(c[0]+" "+c[1], func(t *testing.T) {
				t.Parallel()
				m.everyLie(t, real, n.Chain.ChainID(), c[0], c[1], short[i])
			})
		}
	})
	m.table(t)
	for excuse := range unprovable {
		if thorough() && !m.used[excuse] && !slices.Contains(onlyInClients, excuse) {
			t.Errorf("%s: everything is found out", excuse)
		}
	}
}
