package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/klauspost/compress/zstd"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/validation"
)

// encoded makes a request with an Accept-Encoding and returns the answer as it
// came over the wire.
func (r *rig) encoded(method, path, body, accept string) (http.Header, []byte) {
	r.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", accept)
	resp, err := r.client.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Content-Length") != strconv.Itoa(len(data)) {
		r.Errorf("%s: %d bytes, %v, %v", path, len(data), resp.Header, err)
	}
	return resp.Header, data
}

func TestLargeAnswersAreEncodedForWhoTakesThat(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.encode_above": "2KiB"}})
	big := request("eth_getBlockByNumber", "0x1", true)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/", big}, {"GET", "/v1/blocks/1", ""}, {"POST", "/", strings.Replace(big, `"id":1`, `"id":"another, \"quoted\""`, 1)},
	} {
		header, plain := r.encoded(c.method, c.path, c.body, "identity")
		if header.Get("Content-Encoding") != "" || header.Get("Vary") != "Accept-Encoding" || !json.Valid(plain) {
			t.Fatalf("%s: %v", c.path, header)
		}
		for _, again := range []string{"first", "kept"} {
			header, data := r.encoded(c.method, c.path, c.body, "gzip")
			packed, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil || header.Get("Content-Encoding") != "gzip" {
				t.Fatalf("%s, %s: %v %v", c.path, again, header, err)
			}
			if got, err := io.ReadAll(packed); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %s: gzip: %q, %v", c.path, again, got, err)
			}
			header, data = r.encoded(c.method, c.path, c.body, "gzip, zstd")
			unpacked, err := zstd.NewReader(bytes.NewReader(data))
			if err != nil || header.Get("Content-Encoding") != "zstd" || len(data) >= len(plain) {
				t.Fatalf("%s, %s: %d of %d bytes, %v %v", c.path, again, len(data), len(plain), header, err)
			}
			if got, err := io.ReadAll(unpacked); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %s: zstd: %q, %v", c.path, again, got, err)
			}
			unpacked.Close()
		}
	}
	if header, _ := r.encoded("POST", "/", request("eth_chainId"), "gzip, zstd"); header.Get("Content-Encoding") != "" {
		t.Errorf("a small answer: %v", header)
	}
}

// After a reorganisation nothing of the replaced blocks is answered, and what
// rests on other blocks is still known.
func TestAReorgIsFollowed(t *testing.T) {
	r := start(t, options{with: map[string]string{"upstream.poll_every": "100ms", "validation.quorum": "1", "gateway.verify.state": "after"}})
	head, _ := r.net.Chain.Head()
	low, high := head-8, head-1
	ask := func(n uint64) (hash string) {
		got := r.call(request("eth_getBlockByNumber", "0x"+strconv.FormatUint(n, 16), false))
		var b struct{ Hash string }
		if err := json.Unmarshal(got.Result, &b); err != nil {
			t.Fatalf("%d: %v %+v", n, err, got.Error)
		}
		return b.Hash
	}
	balance := func(n uint64) string {
		return string(r.call(request("eth_getBalance", r.net.Chain.Accounts()[0], "0x"+strconv.FormatUint(n, 16))).Result)
	}
	canonical := func(n uint64) string {
		b, ok := r.net.Chain.Block(n)
		if !ok {
			t.Fatalf("no block %d", n)
		}
		return b.Hash().Hex()
	}
	r.await("the newest blocks", func() bool {
		first, known := r.set.Heads().Canonical(low)
		_, all := r.set.Heads().Canonical(head)
		return known && all && fmt.Sprintf("%#x", first) == canonical(low)
	})
	stays, goes := ask(low), ask(high)
	r.proved(request("eth_getBlockByNumber", "0x"+strconv.FormatUint(low, 16), false))
	r.proved(request("eth_getBlockByNumber", "0x"+strconv.FormatUint(high, 16), false))
	r.proved(request("eth_getBalance", r.net.Chain.Accounts()[0], "0x"+strconv.FormatUint(low, 16)))
	verdict, _ := r.verdict("/v1/blocks/" + strconv.FormatUint(high, 10))
	if verdict.Outcome != validation.Valid || verdict.Block.Hash != goes {
		t.Fatalf("%+v", verdict)
	}
	if n := r.costs(func() { ask(low); ask(high); balance(low) }); n > 2 { // the follower polls
		t.Errorf("%d requests for what is known", n)
	}
	if err := r.net.Chain.Reorg(4); err != nil {
		t.Fatal(err)
	}
	if canonical(high) == goes || canonical(low) != stays {
		t.Fatal("the reorganisation is not as the test wants it")
	}
	r.await("the reorganisation is seen", func() bool {
		hash, known := r.set.Heads().Canonical(high)
		return known && fmt.Sprintf("%#x", hash) == canonical(high)
	})
	if got := ask(high); got != canonical(high) {
		t.Errorf("block %d is still %s", high, got)
	}
	if got, _ := r.verdict("/v1/blocks/" + strconv.FormatUint(high, 10)); got.Block.Hash != canonical(high) || got.ID == verdict.ID {
		t.Errorf("the verdict still rests on %s", got.Block.Hash)
	}
	if a := r.get("/v1/blocks/" + strconv.FormatUint(high, 10)); a.header.Get("X-Cache") != "l1" {
		t.Errorf("the new verdict is not kept: %v", a.header)
	}
	r.fault(devchain.Fault{ErrorRate: 1, Status: 500})
	if ask(low) != stays || balance(low) == "" {
		t.Errorf("block %d is not known any more", low)
	}
}

// What cannot change is answered though no provider answers and its time is over.
func TestImmutableAnswersOutliveTheProviders(t *testing.T) {
	r := start(t, options{with: map[string]string{"validation.confirmations_final": "2", "cache.ttl.block": "50ms", "cache.ttl.transaction": "50ms",
		"cache.ttl.address": "50ms", "upstream.attempts": "1", "upstream.poll_every": "100ms", "gateway.verify.state": "before"}})
	r.await("the head", func() bool { return r.set.Head() > 10 })
	hash := r.transaction()
	if b, ok := r.net.Chain.Block(3); ok && len(b.Transactions()) > 0 {
		hash = b.Transactions()[0].Hash().Hex()
	}
	keep := []string{request("eth_getBlockByNumber", "0x3", true), request("eth_getTransactionByHash", hash),
		request("eth_getTransactionReceipt", hash), request("eth_getBalance", r.net.Chain.Accounts()[0], "0x3")}
	move := request("eth_getBalance", r.net.Chain.Accounts()[0], "latest")
	before := map[string]string{}
	for _, body := range append(keep, move) {
		if before[body] = string(r.call(body).Result); before[body] == "" {
			t.Fatal(body)
		}
	}
	verdict, _ := r.verdict("/v1/transactions/" + hash)
	if !verdict.Finalised {
		t.Fatalf("%+v", verdict)
	}
	r.fault(devchain.Fault{ErrorRate: 1, Status: 500})
	time.Sleep(1200 * time.Millisecond) // the time of all of them is over, that of "latest" too
	for _, body := range keep {
		a := r.send("POST", "/", body)
		var got rpc
		if err := json.Unmarshal(a.body, &got); err != nil || string(got.Result) != before[body] || a.header.Get("X-Cache") != "stale" {
			t.Errorf("%s: %d %v %s", body, a.status, a.header, a.body)
		}
	}
	if got := r.call(move); got.Error == nil {
		t.Errorf("the newest balance was made up: %s", got.Result)
	}
	if again, a := r.verdict("/v1/transactions/" + hash); again.ID != verdict.ID || a.header.Get("X-Cache") != "stale" {
		t.Errorf("%v %+v", a.header, again)
	}
}

func TestWarm(t *testing.T) {
	r := start(t, options{})
	account := r.net.Chain.Accounts()[0]
	for name, then := range map[string]func() answer{
		"block 0x3":                               func() answer { return r.get("/v1/blocks/3") },
		"address  " + account:                     func() answer { return r.get("/v1/addresses/" + account) },
		"transaction " + r.transaction():          func() answer { return r.get("/v1/transactions/" + r.transaction()) },
		"eth_chainId":                             func() answer { return r.send("POST", "/", request("eth_chainId")) },
		"eth_getBlockByNumber 0xA true":           func() answer { return r.send("POST", "/", request("eth_getBlockByNumber", "0xa", true)) },
		`eth_getBalance["` + account + `","0x4"]`: func() answer { return r.send("POST", "/", request("eth_getBalance", account, "0x4")) },
	} {
		if err := r.server.Warm(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := r.costs(func() {
			if a := then(); a.status != http.StatusOK {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}); n != 0 {
			t.Errorf("%s: asked %d more times", name, n)
		}
	}
	for _, name := range []string{"", "block", "block x", "eth_sendRawTransaction 0x00", "eth_accounts", "eth_getBalance{}", "eth_getBalance[", "\x1b[31m"} {
		if err := r.server.Warm(context.Background(), name); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A client that has seen a block must be told of what it holds: "not there" from
// before it is over. viem asks for a receipt once for each new block and no more.
func TestAReceiptIsFoundOnceItsBlockIsSeen(t *testing.T) {
	r := start(t, options{with: map[string]string{"cache.ttl.not_found": "10m", "cache.ttl.rpc": "300ms"}})
	tx, err := r.net.Chain.Sign(0, &types.DynamicFeeTx{ChainID: new(big.Int).SetUint64(r.net.Chain.ChainID()),
		Nonce: r.net.Chain.Nonce(common.HexToAddress(r.net.Chain.Accounts()[0])), To: &devchain.TokenAddress, Gas: 100_000,
		GasFeeCap: big.NewInt(1e12), GasTipCap: big.NewInt(1e9)})
	if err != nil {
		t.Fatal(err)
	}
	receipt, number := request("eth_getTransactionReceipt", tx.Hash()), request("eth_blockNumber")
	before := string(r.call(number).Result)
	if got := r.call(receipt); string(got.Result) != "null" {
		t.Fatalf("%s", got.Result)
	}
	if err := r.net.Chain.Send(tx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.net.Chain.Mine(); err != nil {
		t.Fatal(err)
	}
	r.await("the new head", func() bool { return string(r.call(number).Result) != before })
	if got := r.call(receipt); string(got.Result) == "null" {
		t.Error("the receipt is still not there")
	}
}
