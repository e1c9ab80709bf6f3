package devchain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/trie"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/devchain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var genesis = time.Unix(1_790_000_000, 0)

func start(t *testing.T, cfg devchain.Config) *devchain.Net {
	t.Helper()
	n, err := devchain.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func post(t *testing.T, url, body string) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out
}

func TestSameSeedSameChain(t *testing.T) {
	hash := func() common.Hash {
		c, err := devchain.NewChain(devchain.Config{Seed: 7, Prefill: 5, Traffic: true, GenesisTime: genesis})
		if err != nil {
			t.Fatal(err)
		}
		_, h := c.Head()
		return h
	}
	if a, b := hash(), hash(); a != b {
		t.Fatalf("%s and %s", a, b)
	}
}

func TestBlocksAreWhole(t *testing.T) {
	c, err := devchain.NewChain(devchain.Config{Prefill: 200, Traffic: true, Reverts: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	kinds, failed, logs := map[uint8]int{}, 0, 0
	for n := uint64(1); n <= 200; n++ {
		b, ok := c.Block(n)
		if !ok {
			t.Fatalf("no block %d", n)
		}
		receipts := c.Receipts(b.Hash())
		if len(b.Transactions()) < 5 || len(b.Transactions()) > 30 {
			t.Errorf("block %d holds %d transactions", n, len(b.Transactions()))
		}
		if got := types.DeriveSha(receipts, trie.NewStackTrie(nil)); got != b.ReceiptHash() {
			t.Errorf("block %d: receipts root %s, header %s", n, got, b.ReceiptHash())
		}
		for _, r := range receipts {
			kinds[r.Type]++
			logs += len(r.Logs)
			if r.Status == 0 {
				failed++
			}
		}
	}
	if len(kinds) != 5 || failed == 0 || logs == 0 {
		t.Errorf("types %v, %d reverted, %d logs", kinds, failed, logs)
	}
	head, _ := c.Block(200)
	if fee := head.BaseFee().Uint64(); fee < 50_000_000 || fee > 20_000_000_000 {
		t.Errorf("the base fee wandered off to %d", fee)
	}
}

func TestReorg(t *testing.T) {
	c, err := devchain.NewChain(devchain.Config{Prefill: 10, Traffic: true})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := c.Block(8)
	fork, _ := c.Block(7)
	if err := c.Reorg(3); err != nil {
		t.Fatal(err)
	}
	after, _ := c.Block(8)
	if head, _ := c.Head(); head != 10 || before.Hash() == after.Hash() || after.ParentHash() != fork.Hash() {
		t.Errorf("head %d, %s then %s on %s", head, before.Hash(), after.Hash(), after.ParentHash())
	}
	for _, depth := range []int{0, -1, 11, 500} {
		if c.Reorg(depth) == nil {
			t.Errorf("a reorg of %d blocks was accepted", depth)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	c, err := devchain.NewChain(devchain.Config{Prefill: 300, History: 150, Traffic: true, MinTx: 1, MaxTx: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Block(150); ok {
		t.Error("block 150 is still kept")
	}
	if _, ok := c.Block(151); !ok {
		t.Error("block 151 is gone")
	}
}

func TestRPC(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 3, Traffic: true, Providers: 1})
	url := n.URLs()[0]
	for _, c := range []struct{ name, body, want string }{
		{"call", `{"jsonrpc":"2.0","id":7,"method":"eth_blockNumber","params":[]}`, `{"id":7,"jsonrpc":"2.0","result":"0x3"}`},
		{"no params", `{"jsonrpc":"2.0","id":"a","method":"eth_chainId"}`, `{"id":"a","jsonrpc":"2.0","result":"0x539"}`},
		{"batch", `[{"id":1,"method":"net_version"},{"id":2,"method":"nope"}]`, `[{"id":1,"jsonrpc":"2.0","result":"1337"},{"error":{"code":-32601,"message":"the method \"nope\" does not exist/is not available"},"id":2,"jsonrpc":"2.0"}]`},
		{"empty batch", `[]`, `{"error":{"code":-32600,"message":"empty batch"},"id":null,"jsonrpc":"2.0"}`},
		{"not json", `{`, `{"error":{"code":-32700,"message":"parse error"},"id":null,"jsonrpc":"2.0"}`},
		{"not an object", `3`, `{"error":{"code":-32600,"message":"invalid request"},"id":null,"jsonrpc":"2.0"}`},
		{"bad params", `{"id":1,"method":"eth_getBalance","params":["0x12","latest"]}`, `{"error":{"code":-32602,"message":"invalid argument 0: not a 20-byte address"},"id":1,"jsonrpc":"2.0"}`},
		{"unknown block", `{"id":1,"method":"eth_getBlockByNumber","params":["0xffff",false]}`, `{"id":1,"jsonrpc":"2.0","result":null}`},
		{"reverted call", `{"id":1,"method":"eth_call","params":[{"to":"` + devchain.TokenAddress.Hex() + `","data":"0x12345678"},"latest"]}`, `{"error":{"code":3,"message":"execution reverted","data":"0x"},"id":1,"jsonrpc":"2.0"}`},
		{"decimals", `{"id":1,"method":"eth_call","params":[{"to":"` + devchain.TokenAddress.Hex() + `","data":"0x313ce567"},"latest"]}`, `{"id":1,"jsonrpc":"2.0","result":"0x0000000000000000000000000000000000000000000000000000000000000012"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := post(t, url, c.body)
			if status != 200 || string(got) != c.want {
				t.Errorf("%d %s\nwant %s", status, got, c.want)
			}
		})
	}
}

func TestSendIsMined(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 1, Providers: 1})
	to := common.HexToAddress("0x1234")
	tx, err := n.Chain.Sign(0, &types.LegacyTx{To: &to, Gas: 21000, GasPrice: common.Big256, Value: common.Big1})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Chain.Send(tx); err == nil {
		t.Error("a transaction below the base fee was accepted")
	}
	price := types.NewTx(&types.LegacyTx{GasPrice: common.Big32}).GasPrice()
	price.Mul(price, common.Big1).SetUint64(5_000_000_000)
	tx, err = n.Chain.Sign(0, &types.LegacyTx{To: &to, Gas: 21000, GasPrice: price, Value: common.Big1})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	send := `{"id":1,"method":"eth_sendRawTransaction","params":["` + common.Bytes2Hex(raw) + `"]}`
	if _, got := post(t, n.URLs()[0], send); !bytes.Contains(got, []byte("invalid argument")) {
		t.Errorf("hex without 0x: %s", got)
	}
	send = `{"id":1,"method":"eth_sendRawTransaction","params":["0x` + common.Bytes2Hex(raw) + `"]}`
	if _, got := post(t, n.URLs()[0], send); !bytes.Contains(got, []byte(tx.Hash().Hex())) {
		t.Fatalf("%s", got)
	}
	if _, got := post(t, n.URLs()[0], send); !bytes.Contains(got, []byte("already known")) {
		t.Errorf("sent twice: %s", got)
	}
	if _, err := n.Chain.Mine(); err != nil {
		t.Fatal(err)
	}
	_, got := post(t, n.URLs()[0], `{"id":1,"method":"eth_getTransactionReceipt","params":["`+tx.Hash().Hex()+`"]}`)
	var answer struct {
		Result struct{ Status, BlockNumber string }
	}
	if err := json.Unmarshal(got, &answer); err != nil || answer.Result.Status != "0x1" || answer.Result.BlockNumber != "0x2" {
		t.Errorf("%s", got)
	}
}

func TestProvidersMisbehaveAsTold(t *testing.T) {
	n := start(t, devchain.Config{Prefill: 5, Providers: 1})
	p, url := n.Providers[0], n.URLs()[0]
	ask := `{"id":1,"method":"eth_blockNumber"}`
	for _, c := range []struct {
		name   string
		fault  devchain.Fault
		status int
		has    string
	}{
		{"errors", devchain.Fault{ErrorRate: 1}, 500, "Internal"},
		{"429", devchain.Fault{ErrorRate: 1, Status: 429}, 429, "Too Many"},
		{"html", devchain.Fault{HTML: true}, 200, "<!DOCTYPE html>"},
		{"stale", devchain.Fault{Stale: 2}, 200, `"0x3"`},
		{"reset", devchain.Fault{Reset: true}, 0, ""},
		{"healthy", devchain.Fault{}, 200, `"0x5"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.SetFault(c.fault)
			status, got := post(t, url, ask)
			if status != c.status || !bytes.Contains(got, []byte(c.has)) {
				t.Errorf("%d %s", status, got)
			}
		})
	}
	t.Run("oversized", func(t *testing.T) {
		p.SetFault(devchain.Fault{Oversized: 1 << 20})
		if _, got := post(t, url, ask); len(got) < 1<<20 || !json.Valid(got) {
			t.Errorf("%d bytes", len(got))
		}
	})
	t.Run("hang ends with the provider", func(t *testing.T) {
		p.SetFault(devchain.Fault{Hang: true})
		done := make(chan struct{})
		go func() {
			defer close(done)
			post(t, url, ask)
		}()
		time.Sleep(20 * time.Millisecond)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
}

func TestSchedule(t *testing.T) {
	n := start(t, devchain.Config{Providers: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := n.Providers[0].RunSchedule(ctx, []devchain.Phase{
		{Name: "healthy", For: time.Millisecond},
		{Name: "failing", For: time.Hour, Fault: devchain.Fault{ErrorRate: 1}},
	})
	if err != context.DeadlineExceeded || n.Providers[0].Fault() != (devchain.Fault{}) {
		t.Errorf("%v, fault %+v", err, n.Providers[0].Fault())
	}
}

// An override goes before what is set meanwhile, and gives it back.
func TestOverride(t *testing.T) {
	p := start(t, devchain.Config{Providers: 1}).Providers[0]
	p.Override(&devchain.Fault{Reset: true})
	p.SetFault(devchain.Fault{HTML: true})
	if f := p.Fault(); f != (devchain.Fault{Reset: true}) {
		t.Errorf("overridden: %+v", f)
	}
	p.Override(nil)
	if f := p.Fault(); f != (devchain.Fault{HTML: true}) {
		t.Errorf("given back: %+v", f)
	}
}

func TestRunMines(t *testing.T) {
	n := start(t, devchain.Config{Interval: 10 * time.Millisecond, Traffic: true})
	deadline := time.Now().Add(5 * time.Second)
	for {
		if head, _ := n.Chain.Head(); head >= 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no blocks")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func BenchmarkMine(b *testing.B) {
	c, err := devchain.NewChain(devchain.Config{Traffic: true})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Mine(); err != nil {
			b.Fatal(err)
		}
	}
}
