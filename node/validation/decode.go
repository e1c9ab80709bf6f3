package validation

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// What is decoded here comes from providers and may be anything. The decoders
// return a flaw for what is not of the expected shape, foreign for what may be
// another chain's, and never keep a nil where the hashing code would meet it.

func decodeNumber(raw json.RawMessage) (uint64, error) {
	var n hexutil.Uint64
	if err := json.Unmarshal(raw, &n); err != nil {
		return 0, fmt.Errorf("not a number: %w", err)
	}
	return uint64(n), nil
}

// txFields are the members of a transaction that Ethereum's clients send or have sent.
var txFields = []string{
	"type", "hash", "nonce", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "maxFeePerBlobGas",
	"value", "input", "data", "accessList", "blobVersionedHashes", "authorizationList", "chainId", "v", "r", "s", "yParity",
	"from", "blockHash", "blockNumber", "blockTimestamp", "transactionIndex",
	"creates", "condition", "publicKey", "raw", "standardV",
}

// decodeTransaction reads one transaction and what is claimed with it. The error
// is foreign for a type that Ethereum does not have.
func decodeTransaction(raw json.RawMessage) (*types.Transaction, txClaims, error) {
	var claims txClaims
	if err := json.Unmarshal(raw, &claims); err != nil {
		return nil, claims, err
	}
	if claims.Type != nil && *claims.Type > types.SetCodeTxType {
		return nil, claims, &foreign{"transaction_hash", fmt.Sprintf("the transaction type 0x%x is not Ethereum's", uint64(*claims.Type))}
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalJSON(raw); err != nil {
		return nil, claims, err
	}
	return tx, claims, nil
}

// txAnswer is what a provider says about a transaction; tx was proved by its
// hash, the place in a block is a claim.
type txAnswer struct {
	tx        *types.Transaction // nil when foreign
	from      common.Address
	blockHash common.Hash
	number    uint64
	index     uint64
	claims    txClaims
}

// transaction decodes a transaction, recomputes its hash and recovers its
// sender.
func (j Judge) transaction(raw json.RawMessage, want common.Hash) (txAnswer, error) {
	tx, claim, err := decodeTransaction(raw)
	a := txAnswer{claims: claim}
	var other *foreign
	switch alien := errors.As(err, &other); {
	case err != nil && !alien:
		return a, flawed("transaction_hash", "the answer is not a transaction: %v", err)
	case claim.Hash == nil || *claim.Hash != want:
		return a, flawed("transaction_hash", "the answer is another transaction, %s", orNone(claim.Hash))
	case alien:
	case j.lenient() && unsigned(tx):
		other = &foreign{"transaction_hash", "nobody signed the transaction, so nothing proves its sender"}
	case tx.Hash() != want && j.lenient() && unknownFields(raw, txFields) != "":
		other = &foreign{"transaction_hash", "the transaction has fields that Ethereum's does not (" + unknownFields(raw, txFields) + "), so its hash cannot be recomputed"}
	case tx.Hash() != want:
		return a, flawed("transaction_hash", "the transaction hashes to %s", tx.Hash())
	default:
		a.tx = tx
		height := uint64(unmined)
		if claim.Number != nil {
			height = uint64(*claim.Number)
		}
		if a.from, err = j.sender(tx, height); err != nil {
			return a, flawed("sender", "no sender can be recovered: %v", err)
		}
		if claim.From == nil || *claim.From != a.from {
			return a, flawed("sender", "claims the sender %s, but %s signed", orNone(claim.From), a.from)
		}
		if text := claim.againstTransaction(tx, j.chainID); text != "" {
			return a, flawed("transaction_fields", "%s", text)
		}
	}
	switch {
	case claim.BlockHash == nil && (claim.Number != nil || claim.Index != nil):
		return a, flawed("position", "claims a place in a block, but not in which")
	case claim.BlockHash == nil:
		return a, errPending
	case claim.Number == nil || claim.Index == nil:
		return a, flawed("position", "claims a block but no number or index in it")
	}
	a.blockHash, a.number, a.index = *claim.BlockHash, uint64(*claim.Number), uint64(*claim.Index)
	if other != nil {
		return a, other
	}
	return a, nil
}

// allReceiptClaims are the claims of one receipt and of its logs.
type allReceiptClaims struct {
	receiptClaims
	logs []logClaims
}

// decodeReceipts reads the consensus fields of a block's receipts, and what is
// claimed beside them.
func decodeReceipts(raw json.RawMessage) (types.Receipts, []allReceiptClaims, error) {
	var list []struct {
		receiptClaims
		Type    hexutil.Uint64  `json:"type"`
		Root    hexutil.Bytes   `json:"root"`
		Status  *hexutil.Uint64 `json:"status"`
		GasUsed *hexutil.Uint64 `json:"cumulativeGasUsed"`
		Bloom   *types.Bloom    `json:"logsBloom"`
		Logs    []struct {
			logClaims
			Address *common.Address `json:"address"`
			Topics  []common.Hash   `json:"topics"`
			Data    *hexutil.Bytes  `json:"data"`
		} `json:"logs"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, nil, err
	}
	out := make(types.Receipts, len(list))
	claims := make([]allReceiptClaims, len(list))
	for i, r := range list {
		if r.Type > types.SetCodeTxType {
			return nil, nil, &foreign{"receipts_root", fmt.Sprintf("receipt %d has the type 0x%x, which is not Ethereum's", i, uint64(r.Type))}
		}
		if r.GasUsed == nil || r.Bloom == nil || (r.Status == nil) == (len(r.Root) == 0) {
			return nil, nil, fmt.Errorf("receipt %d lacks status, gas or bloom", i)
		}
		if len(r.Root) != 0 && len(r.Root) != common.HashLength || r.Status != nil && *r.Status > 1 {
			return nil, nil, fmt.Errorf("receipt %d has an impossible status", i)
		}
		receipt := &types.Receipt{
			Type:              uint8(r.Type),
			PostState:         r.Root,
			CumulativeGasUsed: uint64(*r.GasUsed),
			Bloom:             *r.Bloom,
			Logs:              make([]*types.Log, len(r.Logs)),
		}
		if r.Status != nil {
			receipt.Status = uint64(*r.Status)
		}
		claims[i] = allReceiptClaims{r.receiptClaims, make([]logClaims, len(r.Logs))}
		for j, log := range r.Logs {
			if log.Address == nil || log.Data == nil {
				return nil, nil, fmt.Errorf("receipt %d: log %d has no address or data", i, j)
			}
			receipt.Logs[j] = &types.Log{Address: *log.Address, Topics: log.Topics, Data: *log.Data}
			claims[i].logs[j] = log.logClaims
		}
		out[i] = receipt
	}
	return out, claims, nil
}

// proofAnswer is an answer to eth_getProof before anything of it is believed.
type proofAnswer struct {
	Address      *common.Address `json:"address"`
	AccountProof []hexutil.Bytes `json:"accountProof"`
	Balance      *hexutil.Big    `json:"balance"`
	CodeHash     *common.Hash    `json:"codeHash"`
	Nonce        *hexutil.Uint64 `json:"nonce"`
	StorageHash  *common.Hash    `json:"storageHash"`
	StorageProof []slotClaim     `json:"storageProof"`
}

func decodeProof(raw json.RawMessage) (proofAnswer, error) {
	var p proofAnswer
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, err
	}
	if p.Address == nil || p.Balance == nil || p.CodeHash == nil || p.Nonce == nil || p.StorageHash == nil {
		return p, errors.New("address, balance, nonce, code hash or storage hash is missing")
	}
	return p, nil
}

func (p proofAnswer) balance() *big.Int { return p.Balance.ToInt() }
