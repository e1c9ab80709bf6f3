//go:build integration

package validation_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/bizra/bizra-top/node/validation"
)

// logger is the creation code of a contract that logs in its constructor, keeps
// a value in storage, and has 5 bytes of code.
const logger = "0x" +
	"602a600055" + // SSTORE(0, 42)
	"60aa600052" + "600160206000a1" + // MSTORE(0, 0xaa), LOG1(0, 32, topic 1)
	"6005601d60003960056000f3" + // return the 5 bytes at 0x1d
	"60016000f3"

// reverter's constructor reverts.
const reverter = "0x60006000fd"

// TestAgainstARealClient runs against an Ethereum client with unlocked accounts
// and instant mining.
func TestAgainstARealClient(t *testing.T) {
	url := os.Getenv("BIZRA_TEST_ETHEREUM_URL")
	if url == "" {
		t.Fatal("BIZRA_TEST_ETHEREUM_URL is not set: run `make test`, which starts an Ethereum client for the tests")
	}
	src := newSource(t, url)
	call := func(method string, into any, params ...any) {
		t.Helper()
		a, err := src.Call(t.Context(), method, params...)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if err := json.Unmarshal(a.Result, into); err != nil {
			t.Fatalf("%s: %v in %s", method, err, a.Result)
		}
	}
	send := func(tx map[string]any) string {
		t.Helper()
		var hash string
		call("eth_sendTransaction", &hash, tx)
		return hash
	}
	var (
		id       string
		accounts []string
		receipt  struct{ ContractAddress, BlockHash, BlockNumber string }
	)
	call("eth_chainId", &id)
	call("eth_accounts", &accounts)
	from, to := accounts[0], accounts[1]
	chainID, err := hexutil.DecodeUint64(id)
	if err != nil {
		t.Fatal(err)
	}
	v := newValidator(t, src, chainID, set("quorum", "1"), set("witnesses", "1"))

	legacy := send(map[string]any{"from": from, "to": to, "value": "0x1234", "type": "0x0", "gasPrice": "0x12a05f200"})
	listed := send(map[string]any{"from": from, "to": to, "value": "0x1", "type": "0x1", "gasPrice": "0x12a05f200",
		"accessList": []any{map[string]any{"address": to, "storageKeys": []string{"0x" + strings.Repeat("01", 32)}}}})
	dynamic := send(map[string]any{"from": from, "to": to, "value": "0x1", "data": "0xdeadbeef00"})
	created := send(map[string]any{"from": from, "data": logger, "gas": "0x40000"})
	reverted := send(map[string]any{"from": from, "data": reverter, "gas": "0x40000"})
	call("eth_getTransactionReceipt", &receipt, created)

	for _, c := range []struct {
		name, kind, subject string
		want                validation.Outcome
	}{
		{"legacy transaction", "transaction", legacy, validation.Valid},
		{"transaction with access list", "transaction", listed, validation.Valid},
		{"dynamic fee transaction", "transaction", dynamic, validation.Valid},
		{"contract creation with a log", "transaction", created, validation.Valid},
		{"reverted transaction", "transaction", reverted, validation.Invalid},
		{"unknown transaction", "transaction", "0x" + strings.Repeat("12", 32), validation.NotFound},
		{"block with a log", "block", receipt.BlockHash, validation.Valid},
		{"block by number", "block", receipt.BlockNumber, validation.Valid},
		{"first block", "block", "1", validation.Valid},
		{"genesis", "block", "0", validation.Valid},
		{"latest", "block", "latest", validation.Valid},
		{"safe", "block", "safe", validation.Valid},
		{"finalized", "block", "finalized", validation.Valid},
		{"unknown block", "block", "0xffffff", validation.NotFound},
		{"account", "address", from, validation.Valid},
		{"contract", "address", receipt.ContractAddress, validation.Valid},
		{"absent account", "address", "0x00000000000000000000000000000000000012ab", validation.Valid},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ask(t, v, c.kind, c.subject)
			if got.Outcome != c.want || len(got.Liars) > 0 {
				t.Errorf("%s", show(got))
			}
			t.Log(show(got))
		})
	}
}
