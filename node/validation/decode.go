package validation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/supervise"
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
	sent listing
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
// be the one claimed and, unless want is zero, the one asked for. Of what comes
// with it, uncles and withdrawals must be what the header has a hash of.
func (q *inquiry) judgeHeader(raw json.RawMessage, want common.Hash) (headerAnswer, error) {
	var (
		h types.Header
		l listing
	)
	if err := json.Unmarshal(raw, &h); err != nil {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block header: %v", err)
	}
	if err := h.SanityCheck(); err != nil {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block header: %v", err)
	}
	// In RLP these are zero when they are missing before one that is there.
	if h.ParentBeaconRoot != nil && (h.BlobGasUsed == nil || h.ExcessBlobGas == nil) {
		return headerAnswer{}, flawed("block_hash", "the header comes without its blob gas")
	}
	if err := json.Unmarshal(raw, &l); err != nil || l.Hash == nil || l.Miner == nil || l.MixHash == nil {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block with its hash, fee recipient and mix hash: %v", err)
	}
	answer := headerAnswer{&h, h.Hash(), l}
	if want == (common.Hash{}) {
		want = *l.Hash
	}
	if answer.hash == want && *l.Hash == want {
		return answer, q.checkListing(answer)
	}
	if answer.hash != want && *l.Hash == want {
		if extra := unknownFields(raw, blockFields); extra != "" {
			// The claimed hash is all there is to go by.
			answer.hash = want
			return answer, &foreign{"block_hash", "the header has fields that Ethereum's does not (" + extra + "), so its hash cannot be recomputed"}
		}
	}
	if answer.hash == want {
		return answer, flawed("block_hash", "claims the hash %s, but the header hashes to %s", l.Hash, answer.hash)
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
	senders     []*common.Address  // of txs; nil where not recovered
	count       int
	withdrawals types.Withdrawals // nil when the block has none
	uncles      int
	headForeign string // why the hash could not be recomputed
	bodyForeign string // why the transactions root could not be rebuilt
	tailForeign string // why the withdrawals root could not be rebuilt
}

// at is the place of transaction i.
func (b blockAnswer) at(i int) place { return place{b.Header, b.hash, i} }

// sender is who signed transaction i, or nil.
func (b blockAnswer) sender(i int) *common.Address {
	if i >= len(b.senders) {
		return nil
	}
	return b.senders[i]
}

// judgeBlock decodes a block with full transactions, and checks its hash, the
// roots over what it carries, and what no root covers.
func (q *inquiry) judgeBlock(raw json.RawMessage, want common.Hash) (blockAnswer, error) {
	header, err := q.judgeHeader(raw, want)
	b := blockAnswer{headerAnswer: header}
	var other *foreign
	if errors.As(err, &other) {
		b.headForeign = other.text
	} else if err != nil {
		return b, err
	}
	if b.sent.Transactions == nil {
		return b, flawed("transactions_root", "the block comes without its transactions")
	}
	b.count, b.uncles, b.withdrawals = len(b.sent.Transactions), len(b.sent.Uncles), b.sent.Withdrawals
	claims := make([]txClaims, b.count)
	for i, rawTx := range b.sent.Transactions {
		tx, claim, err := decodeTransaction(rawTx)
		if errors.As(err, &other) {
			b.txs, b.bodyForeign = nil, fmt.Sprintf("transaction %d: %s", i, other.text)
			break
		}
		if err != nil {
			return b, flawed("transactions_root", "transaction %d cannot be read: %v", i, err)
		}
		b.txs, claims[i] = append(b.txs, tx), claim
	}
	if err := q.checkBody(&b); err != nil {
		return b, err
	}
	check := "block_hash"
	if b.headForeign == "" {
		check = "transactions_root"
	}
	if why := cmp.Or(b.headForeign, b.bodyForeign, b.tailForeign); why != "" {
		return b, &foreign{check, why}
	}
	return b, q.checkClaims(&b, claims)
}

// checkClaims compares what no root covers with what is proved. Of the block of
// a transaction, only that transaction's sender is recovered: that is what costs.
func (q *inquiry) checkClaims(b *blockAnswer, claims []txClaims) error {
	b.senders = make([]*common.Address, len(b.txs))
	wanted := func(tx *types.Transaction) bool {
		return q.verdict.Kind == KindBlock || tx.Hash() == q.subject
	}
	var recovering supervise.Group
	recovering.SetLimit(runtime.GOMAXPROCS(0))
	const chunk = 8
	for from := 0; from < len(b.txs); from += chunk {
		recovering.Go(func() error {
			for i := from; i < min(from+chunk, len(b.txs)); i++ {
				if !wanted(b.txs[i]) {
					continue
				}
				signer, err := sender(b.txs[i])
				if err != nil {
					return flawed("transaction_fields", "transaction %d: no sender can be recovered: %v", i, err)
				}
				b.senders[i] = &signer
			}
			return nil
		})
	}
	if err := recovering.Wait(); err != nil {
		return err
	}
	for i, tx := range b.txs {
		if text := claims[i].inBlock(tx, b.senders[i], b.at(i), q.chainID); text != "" {
			return flawed("transaction_fields", "transaction %d %s", i, text)
		}
	}
	if text := b.sent.sized(*b); text != "" {
		return flawed("block_fields", "%s", text)
	}
	return nil
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

// judgeTransaction decodes a transaction, recomputes its hash and recovers its
// sender.
func (q *inquiry) judgeTransaction(raw json.RawMessage, want common.Hash) (txAnswer, error) {
	tx, claim, err := decodeTransaction(raw)
	a := txAnswer{claims: claim}
	var other *foreign
	switch foreign := errors.As(err, &other); {
	case err != nil && !foreign:
		return a, flawed("transaction_hash", "the answer is not a transaction: %v", err)
	case claim.Hash == nil || *claim.Hash != want:
		return a, flawed("transaction_hash", "the answer is another transaction, %s", orNone(claim.Hash))
	case foreign:
	case tx.Hash() != want:
		return a, flawed("transaction_hash", "the transaction hashes to %s", tx.Hash())
	default:
		a.tx = tx
		if a.from, err = sender(tx); err != nil {
			return a, flawed("sender", "no sender can be recovered: %v", err)
		}
		if claim.From == nil || *claim.From != a.from {
			return a, flawed("sender", "claims the sender %s, but %s signed", orNone(claim.From), a.from)
		}
		if text := claim.againstTransaction(tx, q.chainID); text != "" {
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
			Data    hexutil.Bytes   `json:"data"`
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
			if log.Address == nil {
				return nil, nil, fmt.Errorf("receipt %d: log %d has no address", i, j)
			}
			receipt.Logs[j] = &types.Log{Address: *log.Address, Topics: log.Topics, Data: log.Data}
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
	StorageProof []any           `json:"storageProof"`
}

func decodeProof(raw json.RawMessage) (proofAnswer, error) {
	var p proofAnswer
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, err
	}
	if p.Address == nil || p.Balance == nil || p.CodeHash == nil || p.Nonce == nil || p.StorageHash == nil {
		return p, errors.New("address, balance, nonce, code hash or storage hash is missing")
	}
	if len(p.StorageProof) > 0 {
		return p, errors.New("proves storage that nobody asked for")
	}
	return p, nil
}

func (p proofAnswer) balance() *big.Int { return p.Balance.ToInt() }
