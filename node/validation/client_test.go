//go:build integration

package validation_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/crypto/kzg4844"
	"github.com/holiman/uint256"

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
		get(t, src, into, method, params...)
	}
	send := func(tx map[string]any) string {
		t.Helper()
		var hash string
		call("eth_sendTransaction", &hash, tx)
		mined(t, src, hash)
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
		{"reverted transaction", "transaction", reverted, validation.Valid},
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

// mined waits until a transaction is: the client mines at once, but may answer before
// it has.
func mined(t *testing.T, src *httpSource, hash string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var receipt *struct{ Status string }
		if get(t, src, &receipt, "eth_getTransactionReceipt", hash); receipt != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not mined", hash)
		}
	}
}

// get asks the client, and decodes what it answers.
func get(t *testing.T, src *httpSource, into any, method string, params ...any) {
	t.Helper()
	a, err := src.Call(t.Context(), method, params...)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	if err := json.Unmarshal(a.Result, into); err != nil {
		t.Fatalf("%s: %v in %s", method, err, a.Result)
	}
}

// clientKey is the key of the client's eighth account, which no other test uses.
// It follows from the phrase that all of its developer accounts do.
const clientKey = "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356"

// kinds sends a transaction of every kind and returns their hashes by name.
func kinds(t *testing.T, src *httpSource, chainID uint64) map[string]string {
	t.Helper()
	key, err := crypto.HexToECDSA(clientKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var nonce hexutil.Uint64
	from, to := crypto.PubkeyToAddress(key.PublicKey), crypto.PubkeyToAddress(other.PublicKey)
	get(t, src, &nonce, "eth_getTransactionCount", from, "latest")
	id, price, tip := new(big.Int).SetUint64(chainID), big.NewInt(20_000_000_000), big.NewInt(1_000_000_000)
	word := common.HexToHash("0x0101")
	out := map[string]string{}
	send := func(name string, make func(nonce uint64) types.TxData) {
		t.Helper()
		tx, err := types.SignNewTx(key, types.LatestSignerForChainID(id), make(uint64(nonce)))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := tx.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var hash string
		get(t, src, &hash, "eth_sendRawTransaction", hexutil.Encode(raw))
		mined(t, src, hash)
		out[name] = hash
		nonce++
	}
	send("legacy", func(n uint64) types.TxData {
		return &types.LegacyTx{Nonce: n, To: &to, Gas: 30_000, GasPrice: price, Value: big.NewInt(1), Data: []byte{1, 0}}
	})
	send("access list", func(n uint64) types.TxData {
		return &types.AccessListTx{ChainID: id, Nonce: n, To: &to, Gas: 60_000, GasPrice: price, Value: big.NewInt(1),
			AccessList: types.AccessList{{Address: to, StorageKeys: []common.Hash{word}}}}
	})
	send("dynamic fee", func(n uint64) types.TxData {
		return &types.DynamicFeeTx{ChainID: id, Nonce: n, To: &to, Gas: 30_000, GasFeeCap: price, GasTipCap: tip, Value: big.NewInt(1)}
	})
	send("creation with a log", func(n uint64) types.TxData {
		return &types.DynamicFeeTx{ChainID: id, Nonce: n, Gas: 200_000, GasFeeCap: price, GasTipCap: tip, Data: common.FromHex(logger)}
	})
	send("blob", func(n uint64) types.TxData {
		sidecar := sidecar(t)
		return &types.BlobTx{ChainID: uint256.MustFromBig(id), Nonce: n, To: to, Gas: 30_000, Value: uint256.NewInt(1),
			GasFeeCap: uint256.MustFromBig(price), GasTipCap: uint256.MustFromBig(tip), BlobFeeCap: uint256.NewInt(1_000_000_000),
			BlobHashes: sidecar.BlobHashes(), Sidecar: sidecar}
	})
	send("set code", func(n uint64) types.TxData {
		return &types.SetCodeTx{ChainID: uint256.MustFromBig(id), Nonce: n, To: to, Gas: 100_000, Value: uint256.NewInt(1),
			GasFeeCap: uint256.MustFromBig(price), GasTipCap: uint256.MustFromBig(tip), AuthList: delegation(t, other, id)}
	})
	out["delegated account"] = to.Hex()
	return out
}

// sidecar is one blob of zeros with what proves it.
func sidecar(t *testing.T) *types.BlobTxSidecar {
	t.Helper()
	var blob kzg4844.Blob
	commitment, err := kzg4844.BlobToCommitment(&blob)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := kzg4844.ComputeCellProofs(&blob)
	if err != nil {
		t.Fatal(err)
	}
	return types.NewBlobTxSidecar(types.BlobSidecarVersion1, []kzg4844.Blob{blob}, []kzg4844.Commitment{commitment}, proofs)
}

func delegation(t *testing.T, key *ecdsa.PrivateKey, chainID *big.Int) []types.SetCodeAuthorization {
	t.Helper()
	auth, err := types.SignSetCode(key, types.SetCodeAuthorization{
		ChainID: *uint256.MustFromBig(chainID), Address: common.HexToAddress("0xc0de"), Nonce: 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	return []types.SetCodeAuthorization{auth}
}

// TestEveryLieOfARealClientIsFoundOut puts every lie about every kind of
// transaction, its block and its receipt, as a real client sends them.
func TestEveryLieOfARealClientIsFoundOut(t *testing.T) {
	url := os.Getenv("BIZRA_TEST_ETHEREUM_URL")
	if url == "" {
		t.Fatal("BIZRA_TEST_ETHEREUM_URL is not set: run `make test`, which starts an Ethereum client for the tests")
	}
	src, m := newSource(t, url), newMutated()
	src.client.Timeout = 30 * time.Second // the client's first blob takes seconds
	var id hexutil.Uint64
	get(t, src, &id, "eth_chainId")
	// Lies about what is near the head may be delays.
	with := set("reorg_depth", "0")
	t.Run("all", func(t *testing.T) {
		for name, subject := range kinds(t, src, uint64(id)) {
			if name == "delegated account" {
				t.Run(name, func(t *testing.T) {
					m.everyLie(t, src, uint64(id), "address", subject, []string{"proof", "code"}, with)
				})
				continue
			}
			var tx struct{ BlockHash string }
			get(t, src, &tx, "eth_getTransactionByHash", subject)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if name == "blob" {
					// anvil 1.7 makes the transactions root of such a block over the
					// transaction with its sidecar, which no Ethereum client does.
					got := ask(t, newValidator(t, src, uint64(id), with), "block", tx.BlockHash)
					if got.Outcome != validation.Invalid || find(t, got, "transactions_root").Status != validation.Failed {
						t.Errorf("%s", show(got))
					}
					return
				}
				m.everyLie(t, src, uint64(id), "transaction", subject, []string{"transaction"}, with)
				m.everyLie(t, src, uint64(id), "block", tx.BlockHash, []string{"block", "receipts"}, with)
			})
		}
	})
	m.table(t)
	for _, excuse := range onlyInClients {
		if !m.used[excuse] {
			t.Errorf("%s: everything is found out", excuse)
		}
	}
}
