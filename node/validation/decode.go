package validation

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

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

// headerAnswer is a header whose hash was recomputed.
type headerAnswer struct {
	*types.Header
	hash common.Hash
}

func (h headerAnswer) number() uint64 { return h.Number.Uint64() }

func (h headerAnswer) ref() *BlockRef { return &BlockRef{h.number(), h.hash.Hex()} }

// blockFields are the members of a block that Ethereum's clients send. Others
// are a sign of another chain's header.
var blockFields = []string{
	"hash", "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot",
	"logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash",
	"nonce", "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas",
	"parentBeaconBlockRoot", "requestsHash", "blockAccessListHash", "slotNumber",
	"size", "totalDifficulty", "transactions", "uncles", "withdrawals", "author", "sealFields",
}

// judgeHeader decodes the header of a block and recomputes its hash, which must
// be the one claimed and, unless want is zero, the one asked for.
func judgeHeader(raw json.RawMessage, want common.Hash) (headerAnswer, error) {
	var (
		h     types.Header
		claim struct {
			Hash *common.Hash `json:"hash"`
		}
	)
	if err := json.Unmarshal(raw, &h); err != nil {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block header: %v", err)
	}
	if err := h.SanityCheck(); err != nil {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block header: %v", err)
	}
	if err := json.Unmarshal(raw, &claim); err != nil || claim.Hash == nil {
		return headerAnswer{}, flawed("block_hash", "the block comes without its hash")
	}
	answer := headerAnswer{&h, h.Hash()}
	if want == (common.Hash{}) {
		want = *claim.Hash
	}
	if answer.hash == want && *claim.Hash == want {
		return answer, nil
	}
	if answer.hash != want && *claim.Hash == want {
		if extra := unknownFields(raw, blockFields); extra != "" {
			// The claimed hash is all there is to go by.
			answer.hash = want
			return answer, &foreign{"the header has fields that Ethereum's does not (" + extra + "), so its hash cannot be recomputed"}
		}
	}
	if answer.hash == want {
		return answer, flawed("block_hash", "claims the hash %s, but the header hashes to %s", claim.Hash, answer.hash)
	}
	return answer, flawed("block_hash", "the header hashes to %s, not to %s", answer.hash, want)
}

// unknownFields lists members of a JSON object that are not in known.
func unknownFields(raw json.RawMessage, known []string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return ""
	}
	var extra []string
	for name := range fields {
		if !slices.Contains(known, name) {
			extra = append(extra, name)
		}
	}
	slices.Sort(extra)
	return strings.Join(extra[:min(len(extra), 5)], ", ")
}

// blockAnswer is a block whose header hash was recomputed and whose body agrees
// with the header.
type blockAnswer struct {
	headerAnswer
	txs         types.Transactions // nil when a transaction is foreign
	count       int
	withdrawals types.Withdrawals // nil when the block has none
	uncles      int
	headForeign string // why the hash could not be recomputed
	bodyForeign string // why the transactions root could not be rebuilt
}

// judgeBlock decodes a block with full transactions, and checks its hash and
// the roots over what it carries.
func (q *inquiry) judgeBlock(raw json.RawMessage, want common.Hash) (blockAnswer, error) {
	header, err := judgeHeader(raw, want)
	b := blockAnswer{headerAnswer: header}
	var other *foreign
	if errors.As(err, &other) {
		b.headForeign = other.text
	} else if err != nil {
		return b, err
	}
	var body struct {
		Transactions []json.RawMessage   `json:"transactions"`
		Uncles       []common.Hash       `json:"uncles"`
		Withdrawals  []*types.Withdrawal `json:"withdrawals"`
	}
	if err := json.Unmarshal(raw, &body); err != nil || body.Transactions == nil {
		return b, flawed("transactions_root", "the block's transactions cannot be read: %v", err)
	}
	b.count, b.uncles, b.withdrawals = len(body.Transactions), len(body.Uncles), body.Withdrawals
	if slices.Contains(b.withdrawals, nil) {
		return b, flawed("withdrawals_root", "a withdrawal is null")
	}
	for i, rawTx := range body.Transactions {
		tx, err := decodeTransaction(rawTx)
		if errors.As(err, &other) {
			b.txs, b.bodyForeign = nil, fmt.Sprintf("transaction %d: %s", i, other.text)
			break
		}
		if err != nil {
			return b, flawed("transactions_root", "transaction %d cannot be read: %v", i, err)
		}
		b.txs = append(b.txs, tx)
	}
	if err := q.checkBody(b); err != nil {
		return b, err
	}
	if why := b.headForeign + b.bodyForeign; why != "" {
		return b, &foreign{why}
	}
	return b, nil
}

// decodeTransaction reads one transaction. The error is foreign for a type that
// Ethereum does not have.
func decodeTransaction(raw json.RawMessage) (*types.Transaction, error) {
	var kind struct {
		Type *hexutil.Uint64 `json:"type"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, err
	}
	if kind.Type != nil && *kind.Type > types.SetCodeTxType {
		return nil, &foreign{fmt.Sprintf("the transaction type 0x%x is not Ethereum's", uint64(*kind.Type))}
	}
	tx := new(types.Transaction)
	if err := tx.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return tx, nil
}

// txAnswer is what a provider says about a transaction; tx was proved by its
// hash, the place in a block is a claim.
type txAnswer struct {
	tx        *types.Transaction // nil when foreign
	from      common.Address
	blockHash common.Hash
	number    uint64
	index     uint64
}

// judgeTransaction decodes a transaction, recomputes its hash and recovers its
// sender.
func judgeTransaction(raw json.RawMessage, want common.Hash) (txAnswer, error) {
	var (
		a     txAnswer
		claim struct {
			Hash      *common.Hash    `json:"hash"`
			From      *common.Address `json:"from"`
			BlockHash *common.Hash    `json:"blockHash"`
			Number    *hexutil.Uint64 `json:"blockNumber"`
			Index     *hexutil.Uint64 `json:"transactionIndex"`
		}
	)
	if err := json.Unmarshal(raw, &claim); err != nil {
		return a, flawed("transaction_hash", "the answer is not a transaction: %v", err)
	}
	tx, err := decodeTransaction(raw)
	var other *foreign
	switch {
	case errors.As(err, &other):
		if claim.Hash == nil || *claim.Hash != want {
			return a, flawed("transaction_hash", "the answer is another transaction")
		}
	case err != nil:
		return a, flawed("transaction_hash", "the answer is not a transaction: %v", err)
	case tx.Hash() != want:
		return a, flawed("transaction_hash", "the transaction hashes to %s", tx.Hash())
	default:
		a.tx = tx
		if a.from, err = sender(tx); err != nil {
			return a, flawed("sender", "no sender can be recovered: %v", err)
		}
		if claim.From == nil || *claim.From != a.from {
			return a, flawed("sender", "claims the sender %s, but %s signed", address(claim.From), a.from)
		}
	}
	if claim.BlockHash == nil {
		return a, errPending
	}
	if claim.Number == nil || claim.Index == nil {
		return a, flawed("position", "claims a block but no number or index in it")
	}
	a.blockHash, a.number, a.index = *claim.BlockHash, uint64(*claim.Number), uint64(*claim.Index)
	if other != nil {
		return a, other
	}
	return a, nil
}

func address(a *common.Address) string {
	if a == nil {
		return "nobody"
	}
	return a.Hex()
}

// sender recovers who signed a transaction.
func sender(tx *types.Transaction) (common.Address, error) {
	id := tx.ChainId()
	if id == nil || id.Sign() <= 0 {
		if tx.Type() != types.LegacyTxType {
			return common.Address{}, errors.New("the transaction names no chain")
		}
		return types.Sender(types.HomesteadSigner{}, tx)
	}
	return types.Sender(types.LatestSignerForChainID(id), tx)
}

// decodeReceipts reads the consensus fields of a block's receipts; everything
// else in them can be derived.
func decodeReceipts(raw json.RawMessage) (types.Receipts, error) {
	var list []struct {
		Type    hexutil.Uint64  `json:"type"`
		Root    hexutil.Bytes   `json:"root"`
		Status  *hexutil.Uint64 `json:"status"`
		GasUsed *hexutil.Uint64 `json:"cumulativeGasUsed"`
		Bloom   *types.Bloom    `json:"logsBloom"`
		Logs    []struct {
			Address *common.Address `json:"address"`
			Topics  []common.Hash   `json:"topics"`
			Data    hexutil.Bytes   `json:"data"`
		} `json:"logs"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	out := make(types.Receipts, len(list))
	for i, r := range list {
		if r.Type > types.SetCodeTxType {
			return nil, &foreign{fmt.Sprintf("receipt %d has the type 0x%x, which is not Ethereum's", i, uint64(r.Type))}
		}
		if r.GasUsed == nil || r.Bloom == nil || (r.Status == nil) == (len(r.Root) == 0) {
			return nil, fmt.Errorf("receipt %d lacks status, gas or bloom", i)
		}
		if len(r.Root) != 0 && len(r.Root) != common.HashLength || r.Status != nil && *r.Status > 1 {
			return nil, fmt.Errorf("receipt %d has an impossible status", i)
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
		for j, log := range r.Logs {
			if log.Address == nil {
				return nil, fmt.Errorf("receipt %d: log %d has no address", i, j)
			}
			receipt.Logs[j] = &types.Log{Address: *log.Address, Topics: log.Topics, Data: log.Data}
		}
		out[i] = receipt
	}
	return out, nil
}

// proofAnswer is an answer to eth_getProof before anything of it is believed.
type proofAnswer struct {
	Address      *common.Address `json:"address"`
	AccountProof []hexutil.Bytes `json:"accountProof"`
	Balance      *hexutil.Big    `json:"balance"`
	CodeHash     *common.Hash    `json:"codeHash"`
	Nonce        *hexutil.Uint64 `json:"nonce"`
	StorageHash  *common.Hash    `json:"storageHash"`
}

func decodeProof(raw json.RawMessage) (proofAnswer, error) {
	var p proofAnswer
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, err
	}
	if p.Balance == nil || p.CodeHash == nil || p.Nonce == nil || p.StorageHash == nil {
		return p, errors.New("balance, nonce, code hash or storage hash is missing")
	}
	return p, nil
}

func (p proofAnswer) balance() *big.Int { return p.Balance.ToInt() }
