//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/devchain"
)

// A node that is started again while every provider is away answers what cannot
// change, from what it kept on disk, and says that the rest is not to be had.
func TestARestartWithoutProvidersServesWhatCannotChange(t *testing.T) {
	chain, err := devchain.Start(context.Background(), devchain.Config{Seed: 3, Prefill: 40, Traffic: true, MinTx: 2, MaxTx: 4})
	if err != nil {
		t.Fatal(err)
	}
	program, state := binary(t), t.TempDir()
	var providers []string
	for i, u := range chain.URLs() {
		providers = append(providers, fmt.Sprintf("p%d=%s", i, u))
	}
	args := []string{"--headless", "--state-dir", state, "--listen", "127.0.0.1:0", "--upstream.providers", strings.Join(providers, ","),
		"--validation.confirmations_final", "8"}
	node := start(t, program, args...)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, body := fetch(t, node.url+"/metrics"); strings.Contains(body, `bizra_upstream_head_block{provider="p0"} 40`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the head is not known")
		}
	}
	block := rpc(t, node.url, "eth_getBlockByNumber", "0x5", true)
	status, verdict := fetch(t, node.url+"/v1/blocks/5")
	if status != http.StatusOK || !strings.Contains(verdict, `"finalised":true`) {
		t.Fatalf("%d %s", status, verdict)
	}
	rpc(t, node.url, "eth_blockNumber")
	node.stop(t)
	if err := chain.Close(); err != nil {
		t.Fatal(err)
	}

	node = start(t, program, args...)
	if again := rpc(t, node.url, "eth_getBlockByNumber", "0x5", true); !bytes.Equal(again, block) {
		t.Errorf("%s", again)
	}
	if status, again := fetch(t, node.url+"/v1/blocks/5"); status != http.StatusOK || again != verdict {
		t.Errorf("%d %s", status, again)
	}
	resp, err := http.Post(node.url, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || !bytes.Contains(body, []byte("no provider can be asked")) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	node.stop(t)
}
