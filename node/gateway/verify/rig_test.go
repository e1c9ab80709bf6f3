package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a prover in front of devchain's providers, whose answers are remembered.
type rig struct {
	*verify.Prover
	net    *devchain.Net
	client *http.Client

	mu     sync.Mutex
	said   map[string]validation.Answer
	alter  func(provider, method string, result json.RawMessage) json.RawMessage
	liars  []string
	window bool // the chain knows what is canonical
}

func newRig(t testing.TB, cfg devchain.Config, changes ...settings.Change) *rig {
	t.Helper()
	n, err := devchain.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{net: n, client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}, said: map[string]validation.Answer{}, window: true}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	r.Prover = r.prover(t, changes...)
	return r
}

// prover returns a new prover, which remembers nothing.
func (r *rig) prover(t testing.TB, changes ...settings.Change) *verify.Prover {
	t.Helper()
	reg := settings.NewRegistry()
	set := verify.Declare(reg, validation.Declare(reg))
	if err := reg.Load(settings.SourceFlag, changes); err != nil {
		t.Fatal(err)
	}
	return verify.New(r, r, r.net.Chain.ChainID(), set, nil, func(provider, reason string, _ verify.Answer) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.liars = append(r.liars, provider+": "+reason)
	})
}

func (r *rig) Canonical(number uint64) (common.Hash, bool) {
	if b, ok := r.net.Chain.Block(number); ok && r.window {
		return b.Hash(), true
	}
	return common.Hash{}, false
}

func (r *rig) Header(_ context.Context, hash common.Hash) (*types.Header, error) {
	head, _ := r.net.Chain.Head()
	for n := range head + 1 {
		if b, ok := r.net.Chain.Block(n); ok && b.Hash() == hash && r.window {
			return b.Header(), nil
		}
	}
	return nil, errors.New("not in the window")
}

func (r *rig) post(ctx context.Context, i int, method string, params []any) (a validation.Answer) {
	a.Provider = r.net.Providers[i].Name()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return validation.Answer{Provider: a.Provider, Err: err}
	}
	key := fmt.Sprint(i, string(body), r.net.Providers[i].Fault())
	r.mu.Lock()
	known, ok := r.said[key]
	r.mu.Unlock()
	if !ok {
		if known = r.send(ctx, i, body); known.Err == nil {
			r.mu.Lock()
			r.said[key] = known
			r.mu.Unlock()
		}
	}
	known.Provider = a.Provider
	if r.alter != nil && known.Err == nil {
		known.Result = r.alter(a.Provider, method, known.Result)
	}
	return known
}

func (r *rig) send(ctx context.Context, i int, body []byte) (a validation.Answer) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.net.URLs()[i], bytes.NewReader(body))
	if err != nil {
		return validation.Answer{Err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return validation.Answer{Err: err}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return validation.Answer{Err: err}
	}
	var out struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	switch err := json.Unmarshal(raw, &out); {
	case err != nil:
		a.Err = err
	case out.Error != nil:
		a.Err = errors.New(out.Error.Message)
	default:
		a.Result = out.Result
	}
	return a
}

func (r *rig) Call(ctx context.Context, method string, params ...any) (validation.Answer, error) {
	a := r.post(ctx, 0, method, params)
	return a, a.Err
}

func (r *rig) CallEach(ctx context.Context, n int, method string, params ...any) (out []validation.Answer) {
	for i := range min(n, len(r.net.Providers)) {
		out = append(out, r.post(ctx, i, method, params))
	}
	return out
}

func (r *rig) Providers() int { return len(r.net.Providers) }

// answer is what the first provider answers.
func (r *rig) answer(t testing.TB, method string, params ...any) verify.Answer {
	t.Helper()
	a := r.post(t.Context(), 0, method, params)
	if a.Err != nil {
		t.Fatalf("%s: %v", method, a.Err)
	}
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return verify.Answer{Method: method, Params: raw, Result: a.Result, Provider: a.Provider}
}

var busy = devchain.Config{Prefill: 40, Traffic: true, MinTx: 5, MaxTx: 8, Seed: 3, Reverts: 0.2}

// question is one of each kind that is proved.
type question struct {
	method string
	params []any
}

// questions are about block 8, and one transaction of each type, or as many as there are.
func (r *rig) questions(t testing.TB) (out []question) {
	t.Helper()
	b, _ := r.net.Chain.Block(8)
	empty, _ := r.net.Chain.Block(0)
	hash, number := b.Hash(), "0x8"
	ask := func(method string, params ...any) { out = append(out, question{method, params}) }
	for _, full := range []bool{true, false} {
		ask("eth_getBlockByHash", hash, full)
		ask("eth_getBlockByNumber", number, full)
		ask("eth_getBlockByHash", empty.Hash(), full)
	}
	ask("eth_getBlockByNumber", "earliest", false)
	ask("eth_getBlockReceipts", hash)
	ask("eth_getBlockReceipts", number)
	ask("eth_getBlockReceipts", "0x0")
	kinds := map[uint8]bool{}
	for n := uint64(1); n < 40; n++ {
		block, _ := r.net.Chain.Block(n)
		for _, tx := range block.Transactions() {
			if !kinds[tx.Type()] {
				ask("eth_getTransactionByHash", tx.Hash())
				ask("eth_getTransactionReceipt", tx.Hash())
			}
			kinds[tx.Type()] = true
		}
	}
	token, holder := devchain.TokenAddress, b.Transactions()[0].To()
	transfer := r.net.Chain.Receipts(hash)
	var topics []any
	for _, receipt := range transfer {
		for _, log := range receipt.Logs {
			topics = []any{log.Topics[0], []any{log.Topics[1], common.Hash{1}}}
		}
	}
	ask("eth_getLogs", map[string]any{"blockHash": hash})
	ask("eth_getLogs", map[string]any{"fromBlock": "0x2", "toBlock": "0x14", "address": token})
	ask("eth_getLogs", map[string]any{"fromBlock": "0x2", "toBlock": "0x14", "address": []any{token}, "topics": topics})
	ask("eth_getLogs", map[string]any{"fromBlock": "0x2", "toBlock": "0x14", "topics": []any{nil, common.Hash{2}}})
	for _, at := range []any{number, map[string]any{"blockHash": hash}, map[string]any{"blockNumber": number, "requireCanonical": true}} {
		ask("eth_getBalance", holder, at)
	}
	ask("eth_getTransactionCount", r.net.Chain.Accounts()[3], number)
	ask("eth_getCode", token, number)
	ask("eth_getCode", common.Address{0xfe}, number)
	ask("eth_getBalance", common.Address{0xfe}, number)
	slot := "0x" + fmt.Sprintf("%064x", 5)
	ask("eth_getStorageAt", token, slot, number)
	ask("eth_getStorageAt", token, "0x5", number)
	ask("eth_getStorageAt", r.net.Chain.Accounts()[3], slot, number)
	ask("eth_getProof", token, []string{slot}, number)
	ask("eth_getProof", common.Address{0xfe}, []string{}, number)
	ask("eth_chainId")
	ask("net_version")
	return out
}
