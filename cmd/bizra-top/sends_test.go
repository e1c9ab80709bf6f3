//go:build integration

package main

import (
	"context"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
)

// anvilAt starts an Ethereum client of the test's own and returns its address.
func anvilAt(t *testing.T, args ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(address(t, "BIZRA_TEST_NODE_MODULES"), "@foundry-rs", "anvil-*", "bin", "anvil"))
	if err != nil || len(found) != 1 {
		t.Fatalf("no anvil beside viem (%v, %v): run `make test`, which installs it", found, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	cmd := diesWithTests(exec.Command(found[0], append([]string{"--silent", "--port", fmt.Sprint(at.Port)}, args...)...))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, 30*time.Second, "anvil answers", func() bool {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "http://" + at.String()
}

// Unmodified clients send one transaction after the other, and read at the newest block
// after each receipt. Eight of ten such reads were from before the receipt, and web3.js and
// ethclient failed on the next nonce.
func TestClientsReadTheirWrites(t *testing.T) {
	sends := 6
	if os.Getenv("BIZRA_TEST_LONG") != "" {
		sends = 20
	}
	modules := address(t, "BIZRA_TEST_NODE_MODULES")
	for name, args := range map[string][]string{"instant blocks": nil, "a block a second": {"--block-time", "1"}} {
		t.Run(name, func(t *testing.T) {
			client := anvilAt(t, args...)
			conf := filepath.Join(t.TempDir(), "bizra-top.yaml")
			yaml := fmt.Sprintf("upstream:\n  providers: [\"one=%s\", \"two=%s\"]\n", client, client)
			if err := os.WriteFile(conf, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, binary(t), "--headless", "--config", conf, "--listen", "127.0.0.1:0", "--state-dir", t.TempDir())
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			var reads atomic.Int64
			var running sync.WaitGroup
			for i, library := range []string{"viem", "ethers", "web3"} {
				running.Go(func() {
					out, err := exec.CommandContext(ctx, "node", "testdata/sends.mjs", modules, p.url, library, fmt.Sprint(i+1), fmt.Sprint(sends)).CombinedOutput()
					var n, stale int64
					last := string(out[strings.LastIndex("\n"+strings.TrimSpace(string(out)), "\n"):])
					if _, scan := fmt.Sscanf(last, "reads %d stale %d", &n, &stale); err != nil || scan != nil || n != int64(7*sends) || stale != 0 {
						t.Errorf("%s: %v %s", library, err, out)
					}
					reads.Add(n)
				})
			}
			running.Go(func() { reads.Add(sendWithEthclient(ctx, t, p.url, sends)) })
			running.Wait()
			t.Logf("%d reads, none stale", reads.Load())
			p.stop(t)
		})
	}
}

// sendWithEthclient does the same with go-ethereum's client, and returns how often it read.
func sendWithEthclient(ctx context.Context, t *testing.T, url string, sends int) (reads int64) {
	c, err := ethclient.DialContext(ctx, url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer c.Close()
	// The first account of anvil, whose key everybody knows.
	key, err := crypto.HexToECDSA("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
	if err != nil {
		t.Error(err)
		return 0
	}
	from, to := crypto.PubkeyToAddress(key.PublicKey), common.HexToAddress("0xb1200")
	for i := range sends {
		nonce, err := c.PendingNonceAt(ctx, from)
		if err != nil || nonce != uint64(i) {
			t.Errorf("ethclient: send %d has the nonce %d: %v", i, nonce, err)
			return reads
		}
		tx := types.MustSignNewTx(key, types.LatestSignerForChainID(big.NewInt(31337)), &types.DynamicFeeTx{ChainID: big.NewInt(31337), Nonce: nonce,
			GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11), Gas: 21000, To: &to, Value: big.NewInt(1)})
		if err := c.SendTransaction(ctx, tx); err != nil {
			t.Errorf("ethclient: send %d: %v", i, err)
			return reads
		}
		var receipt *types.Receipt
		for receipt == nil && ctx.Err() == nil {
			if receipt, err = c.TransactionReceipt(ctx, tx.Hash()); err != nil {
				time.Sleep(20 * time.Millisecond)
			}
		}
		if receipt == nil {
			t.Errorf("ethclient: no receipt of %d: %v", i, err)
			return reads
		}
		for range 2 {
			after, err1 := c.NonceAt(ctx, from, nil)
			balance, err2 := c.BalanceAt(ctx, to, nil)
			number, err3 := c.BlockNumber(ctx)
			header, err4 := c.HeaderByNumber(ctx, nil)
			reads += 4
			if err1 != nil || err2 != nil || err3 != nil || err4 != nil || after != nonce+1 || balance.Cmp(big.NewInt(int64(i+1))) != 0 ||
				number < receipt.BlockNumber.Uint64() || header.Number.Cmp(receipt.BlockNumber) < 0 {
				t.Errorf("ethclient: stale after block %d: nonce %d of %d, balance %d, number %d, header %v; %v %v %v %v", receipt.BlockNumber, after, nonce+1, balance, number, header, err1, err2, err3, err4)
			}
		}
	}
	return reads
}
