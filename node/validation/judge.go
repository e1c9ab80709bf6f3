package validation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/bizra/bizra-top/node/supervise"
)

// Judge holds the answers of providers against hashes and roots that are known. It asks
// nobody, and may be used from any goroutine.
type Judge struct {
	chainID uint64
	set     Settings
}

// NewJudge returns a judge for one chain.
func NewJudge(chainID uint64, s Settings) Judge { return Judge{chainID, s} }

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

// header decodes the header of a block and recomputes its hash, which must be the
// one claimed and, unless want is zero, the one asked for. Of what comes with it,
// uncles and withdrawals must be what the header has a hash of.
func (j Judge) header(raw json.RawMessage, want common.Hash) (headerAnswer, error) {
	var (
		h types.Header
		l listing
	)
	head, txs, err := apart(raw)
	if err == nil {
		err = json.Unmarshal(head, &h)
	}
	if err != nil {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block header: %v", err)
	}
	if err := h.SanityCheck(); err != nil {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block header: %v", err)
	}
	// In RLP these are zero when they are missing before one that is there.
	if h.ParentBeaconRoot != nil && (h.BlobGasUsed == nil || h.ExcessBlobGas == nil) {
		return headerAnswer{}, flawed("block_hash", "the header comes without its blob gas")
	}
	err = json.Unmarshal(head, &l)
	if err == nil && txs != nil {
		err = json.Unmarshal(txs, &l.Transactions)
	}
	if err != nil || l.Hash == nil || l.Miner == nil || l.MixHash == nil && !j.lenient() {
		return headerAnswer{}, flawed("block_hash", "the answer is not a block with its hash, fee recipient and mix hash: %v", err)
	}
	answer := headerAnswer{&h, h.Hash(), l}
	if want == (common.Hash{}) {
		want = *l.Hash
	}
	if answer.hash == want && *l.Hash == want && l.MixHash != nil {
		return answer, j.checkListing(answer)
	}
	if *l.Hash == want {
		if why := j.otherHeader(head, answer); why != "" {
			// The claimed hash is all there is to go by.
			answer.hash = want
			return answer, &foreign{"block_hash", why + ", so its hash cannot be recomputed"}
		}
	}
	if answer.hash == want {
		return answer, flawed("block_hash", "claims the hash %s, but the header hashes to %s", l.Hash, answer.hash)
	}
	return answer, flawed("block_hash", "the header hashes to %s, not to %s", answer.hash, want)
}

// apart takes the transactions, which are nearly all of a block, out of it, so that they
// are parsed once and the rest is small.
func apart(raw json.RawMessage) (head, txs json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, nil, err
	}
	txs = members["transactions"]
	delete(members, "transactions")
	head, err = json.Marshal(members)
	return head, txs, err
}

// otherHeader says why a header is not one of Ethereum's.
func (j Judge) otherHeader(raw json.RawMessage, h headerAnswer) string {
	switch extra := unknownFields(raw, blockFields); {
	case extra != "":
		return "the header has fields that Ethereum's does not (" + extra + ")"
	case j.lenient() && h.sent.MixHash == nil:
		return "the header has no mix hash, as under proof of authority"
	case j.lenient() && h.TxHash == common.Hash{}:
		return "the header has zero in place of the transactions root"
	}
	return ""
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
	txs         types.Transactions // under the root; nil when one is foreign
	senders     []*common.Address  // of txs; nil where not recovered
	count       int                // of transactions under the root
	appended    []common.Hash      // claimed, of transactions after those, which no root covers
	withdrawals types.Withdrawals  // nil when the block has none
	uncles      int
	headForeign string // why the hash could not be recomputed
	bodyForeign string // why the transactions root could not be rebuilt
	tailForeign string // why the withdrawals root could not be rebuilt
	unsigned    string // which transaction nobody signed
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

// listed is the hash of transaction i in the list that comes with the header.
func (b blockAnswer) listed(i int) common.Hash {
	if i < len(b.txs) {
		return b.txs[i].Hash()
	}
	return b.appended[i-len(b.txs)]
}

// unproved says what of the block's transactions no root and no signature proves.
func (b blockAnswer) unproved() string {
	if len(b.appended) > 0 {
		return fmt.Sprintf("%d transactions that nobody signed come after those under the root, as those of state sync on Polygon; nothing proves them", len(b.appended))
	}
	return b.unsigned
}

// block decodes a block with full transactions, and checks its hash, the roots
// over what it carries, and what no root covers; of the senders, those of the
// transactions that whose chooses.
func (j Judge) block(raw json.RawMessage, want common.Hash, whose func(*types.Transaction) bool) (blockAnswer, error) {
	b, claims, err := j.roots(raw, want)
	if err != nil {
		return b, err
	}
	return b, j.checkClaims(&b, claims, whose)
}

// roots decodes a block with full transactions, and checks its hash and the roots over
// what it carries. The claims of its transactions are not looked at.
func (j Judge) roots(raw json.RawMessage, want common.Hash) (blockAnswer, []txClaims, error) {
	header, err := j.header(raw, want)
	b := blockAnswer{headerAnswer: header}
	var other *foreign
	if errors.As(err, &other) {
		b.headForeign = other.text
	} else if err != nil {
		return b, nil, err
	}
	if b.sent.Transactions == nil {
		return b, nil, flawed("transactions_root", "the block comes without its transactions")
	}
	b.count, b.uncles, b.withdrawals = len(b.sent.Transactions), len(b.sent.Uncles), b.sent.Withdrawals
	claims := make([]txClaims, b.count)
	for i, rawTx := range b.sent.Transactions {
		tx, claim, err := decodeTransaction(rawTx)
		if errors.As(err, &other) {
			b.txs, b.bodyForeign = nil, fmt.Sprintf("transaction %d: %s", i, other.text)
			break
		}
		if err != nil && b.headForeign != "" {
			b.txs, b.bodyForeign = nil, fmt.Sprintf("transaction %d: %v", i, err)
			break
		}
		if err != nil {
			return b, nil, flawed("transactions_root", "transaction %d cannot be read: %v", i, err)
		}
		b.txs, claims[i] = append(b.txs, tx), claim
	}
	if b.headForeign == "" {
		if err := j.checkBody(&b, claims); err != nil {
			return b, nil, err
		}
	}
	check := "block_hash"
	if b.headForeign == "" {
		check = "transactions_root"
	}
	if why := cmp.Or(b.headForeign, b.bodyForeign, b.tailForeign); why != "" {
		return b, nil, &foreign{check, why}
	}
	return b, claims, nil
}

// checkClaims compares what no root covers with what is proved.
func (j Judge) checkClaims(b *blockAnswer, claims []txClaims, whose func(*types.Transaction) bool) error {
	if err := j.recoverSenders(b, whose); err != nil {
		return err
	}
	for i, tx := range b.txs {
		if text := claims[i].inBlock(tx, b.senders[i], b.at(i), j.chainID); text != "" {
			return flawed("transaction_fields", "transaction %d %s", i, text)
		}
	}
	if text := b.sent.sized(*b); text != "" {
		return flawed("block_fields", "%s", text)
	}
	return nil
}

// recoverSenders recovers the senders of the transactions that whose chooses, on
// all processors: that is what costs.
func (j Judge) recoverSenders(b *blockAnswer, whose func(*types.Transaction) bool) error {
	b.senders = make([]*common.Address, len(b.txs))
	var recovering supervise.Group
	recovering.SetLimit(runtime.GOMAXPROCS(0))
	const chunk = 8
	for from := 0; from < len(b.txs); from += chunk {
		recovering.Go(func() error {
			for i := from; i < min(from+chunk, len(b.txs)); i++ {
				if !whose(b.txs[i]) || j.lenient() && unsigned(b.txs[i]) {
					continue
				}
				signer, err := j.sender(b.txs[i], b.number())
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
		if unsigned(tx) {
			b.unsigned = fmt.Sprintf("nobody signed transaction %d, so nothing proves its sender", i)
			break
		}
	}
	return nil
}
