//go:build integration

package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// An unmodified client program gets from the node what it gets from the Ethereum
// client behind it.
func TestViemReadsThroughTheNode(t *testing.T) {
	client, modules := address(t, "BIZRA_TEST_ETHEREUM_URL"), address(t, "BIZRA_TEST_NODE_MODULES")
	p := start(t, binary(t), "--headless", "--config", config(t, fmt.Sprintf("viem%d", time.Now().UnixNano())),
		"--listen", "127.0.0.1:0", "--state-dir", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", "testdata/viem.mjs", modules, p.url, client).CombinedOutput()
	if err != nil || strings.Count(string(out), "\nok ") < 40 {
		t.Fatalf("%v\n%s\n%s", err, out, p.output)
	}
	t.Logf("%s", out)
	p.stop(t)
}
