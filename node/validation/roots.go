package validation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
	"github.com/holiman/uint256"
)

func rootOf(list types.DerivableList) common.Hash {
	return types.DeriveSha(list, trie.NewStackTrie(nil))
}

// checkListing compares the uncles and withdrawals that a header is sent with
// with the header.
func (j Judge) checkListing(h headerAnswer) error {
	switch {
	case slices.Contains(h.sent.Withdrawals, nil):
		return flawed("withdrawals_root", "a withdrawal is null")
	case h.WithdrawalsHash == nil && len(h.sent.Withdrawals) > 0:
		return flawed("withdrawals_root", "withdrawals without a root for them in the header")
	case (h.UncleHash == types.EmptyUncleHash) != (len(h.sent.Uncles) == 0):
		return flawed("uncles_root", "%d uncles are listed, the header has %s", len(h.sent.Uncles), h.UncleHash)
	case h.WithdrawalsHash == nil:
		return nil
	}
	root := rootOf(types.Withdrawals(h.sent.Withdrawals))
	if root != *h.WithdrawalsHash && !(j.lenient() && len(h.sent.Withdrawals) == 0) {
		return flawed("withdrawals_root", "%d withdrawals give the root %s, the header has %s", len(h.sent.Withdrawals), root, h.WithdrawalsHash)
	}
	return nil
}

// checkBody rebuilds the transactions root, and notes what follows the transactions
// under it, and where the chain keeps something else than withdrawals under theirs.
func (j Judge) checkBody(b *blockAnswer, claims []txClaims) error {
	if b.bodyForeign == "" && !j.splitBody(b, claims) {
		return flawed("transactions_root", "%d transactions give the root %s, the header has %s", b.count, rootOf(b.txs), b.TxHash)
	}
	if b.WithdrawalsHash != nil && len(b.withdrawals) == 0 && *b.WithdrawalsHash != types.EmptyWithdrawalsHash {
		b.tailForeign = fmt.Sprintf("the chain keeps something else than withdrawals in %s", b.WithdrawalsHash)
	}
	return nil
}

// splitBody says whether the transactions give the transactions root, on a chain with
// rules of its own also without the last one, if nobody signed that: Polygon appends
// one to a block in which it moves deposits.
func (j Judge) splitBody(b *blockAnswer, claims []txClaims) bool {
	if rootOf(b.txs) == b.TxHash {
		return true
	}
	last := len(b.txs) - 1
	if !j.lenient() || last < 0 || !unsigned(b.txs[last]) || claims[last].Hash == nil || rootOf(b.txs[:last]) != b.TxHash {
		return false
	}
	b.appended = []common.Hash{*claims[last].Hash}
	b.txs, b.count = b.txs[:last], last
	return true
}

// receiptsAnswer is the receipts of a block, proved by its receiptsRoot.
type receiptsAnswer struct{ types.Receipts }

// judgeReceipts proves receipts against a block that was proved before, and
// compares what no root covers with it.
func judgeReceipts(raw json.RawMessage, b blockAnswer) (receiptsAnswer, error) {
	answer, claims, err := receiptsUnder(raw, b)
	if err != nil || len(b.txs) != len(answer.Receipts) { // foreign transactions
		return answer, err
	}
	return answer, answer.checkClaims(b, claims)
}

// receiptsUnder proves receipts by the root in the block's header.
func receiptsUnder(raw json.RawMessage, b blockAnswer) (receiptsAnswer, []allReceiptClaims, error) {
	receipts, claims, err := decodeReceipts(raw)
	var other *foreign
	if errors.As(err, &other) {
		return receiptsAnswer{}, nil, err
	}
	if err != nil {
		return receiptsAnswer{}, nil, flawed("receipts_root", "the answer is not a list of receipts: %v", err)
	}
	if len(receipts) == b.count+len(b.appended) {
		receipts, claims = receipts[:b.count], claims[:b.count]
	}
	root := rootOf(receipts)
	if root != b.ReceiptHash || len(receipts) != b.count {
		if b.bodyForeign != "" {
			// Receipts of foreign transactions carry foreign fields.
			return receiptsAnswer{}, nil, &foreign{"", "the block holds transactions that are not Ethereum's"}
		}
		return receiptsAnswer{}, nil, flawed("receipts_root", "%d receipts of %d transactions give the root %s, the header has %s",
			len(receipts), b.count, root, b.ReceiptHash)
	}
	return receiptsAnswer{receipts}, claims, nil
}

// checkClaims compares what no root covers of all receipts with the block.
func (r receiptsAnswer) checkClaims(b blockAnswer, claims []allReceiptClaims) error {
	index := 0 // of the log in the block
	for i, c := range claims {
		if err := r.checkReceipt(b, c, i, index); err != nil {
			return err
		}
		index += len(c.logs)
	}
	return nil
}

// checkReceipt compares what no root covers of receipt i, whose first log is the
// first-th of the block.
func (r receiptsAnswer) checkReceipt(b blockAnswer, c allReceiptClaims, i, first int) error {
	at := b.at(i)
	if text := c.against(b.txs[i], b.sender(i), at, r.Receipts[i], r.gasOf(i)); text != "" {
		return flawed("receipt_fields", "receipt %d %s", i, text)
	}
	for j, log := range c.logs {
		if text := log.against(b.txs[i], at, first+j); text != "" {
			return flawed("receipt_fields", "receipt %d, log %d %s", i, j, text)
		}
	}
	return nil
}

// gasOf is what transaction i used, from the cumulative figures.
func (r receiptsAnswer) gasOf(i int) uint64 {
	if i == 0 {
		return r.Receipts[0].CumulativeGasUsed
	}
	return r.Receipts[i].CumulativeGasUsed - r.Receipts[i-1].CumulativeGasUsed
}

// maxProofNodes is above what a trie of 32-byte keys can need.
const maxProofNodes = 65

// emptyAccount is what an absence proof proves.
func emptyAccount() *types.StateAccount { return types.NewEmptyStateAccount() }

// judgeAccount verifies an answer to eth_getProof against a state root, and the
// claims beside the proof against what it proves. The account is the empty one
// when the proof is of its absence.
func judgeAccount(raw json.RawMessage, addr common.Address, root common.Hash) (accountAnswer, error) {
	claim, err := decodeProof(raw)
	if err != nil {
		return accountAnswer{}, flawed("account_proof", "the answer is not a proof: %v", err)
	}
	if *claim.Address != addr {
		return accountAnswer{}, flawed("account_proof", "the proof is of %s", claim.Address)
	}
	if len(claim.StorageProof) > 0 {
		return accountAnswer{}, flawed("account_proof", "the answer is not a proof: proves storage that nobody asked for")
	}
	return judgeProof(claim, addr, root)
}

// judgeProof verifies the proof of an account, and the claims beside it against what it
// proves.
func judgeProof(claim proofAnswer, addr common.Address, root common.Hash) (accountAnswer, error) {
	a, err := proveAccount(claim, addr, root)
	if err != nil {
		return accountAnswer{}, flawed("account_proof", "%v", err)
	}
	switch {
	case claim.balance().Cmp(a.Balance.ToBig()) != 0:
		return a, flawed("balance", "claims %s wei, but %s is proved", claim.balance(), a.Balance.Dec())
	case uint64(*claim.Nonce) != a.Nonce:
		return a, flawed("nonce", "claims %d, but %d is proved", uint64(*claim.Nonce), a.Nonce)
	case *claim.CodeHash != common.BytesToHash(a.CodeHash) && !(!a.exists && *claim.CodeHash == common.Hash{}):
		return a, flawed("code_hash", "claims %s, but %x is proved", claim.CodeHash, a.CodeHash)
	case *claim.StorageHash != a.Root && !(!a.exists && *claim.StorageHash == common.Hash{}):
		return a, flawed("storage_hash", "claims %s, but %s is proved", claim.StorageHash, a.Root)
	}
	return a, nil
}

// accountAnswer is an account proved by a state root.
type accountAnswer struct {
	*types.StateAccount
	exists bool
	nodes  int
}

// proofNodes are the nodes of a proof by their hash, each until it is used.
type proofNodes map[common.Hash][]byte

// Has implements ethdb.KeyValueReader.
func (n proofNodes) Has(key []byte) (bool, error) { return n[common.BytesToHash(key)] != nil, nil }

// Get implements ethdb.KeyValueReader.
func (n proofNodes) Get(key []byte) ([]byte, error) {
	node := n[common.BytesToHash(key)]
	delete(n, common.BytesToHash(key))
	return node, nil
}

func proveAccount(claim proofAnswer, addr common.Address, root common.Hash) (accountAnswer, error) {
	a := accountAnswer{StateAccount: emptyAccount(), nodes: len(claim.AccountProof)}
	value, err := proveLeaf(claim.AccountProof, addr[:], root)
	if err != nil || len(value) == 0 {
		return a, err
	}
	leaf := types.StateAccount{Balance: new(uint256.Int)}
	if err := rlp.DecodeBytes(value, &leaf); err != nil || leaf.Balance == nil || len(leaf.CodeHash) != common.HashLength {
		return a, fmt.Errorf("the leaf is not an account: %v", err)
	}
	a.StateAccount, a.exists = &leaf, true
	return a, nil
}

// proveLeaf verifies the proof of what a trie has under a key, nothing for its absence.
func proveLeaf(proof []hexutil.Bytes, key []byte, root common.Hash) ([]byte, error) {
	if len(proof) == 0 {
		// Only an empty trie proves an absence without a node.
		if root == types.EmptyRootHash {
			return nil, nil
		}
		return nil, errors.New("the proof is empty, the state is not")
	}
	if len(proof) > maxProofNodes {
		return nil, fmt.Errorf("a proof of %d nodes is longer than any can be", len(proof))
	}
	nodes := proofNodes{}
	for i, node := range proof {
		hash := crypto.Keccak256Hash(node)
		if i == 0 && hash != root || i > 0 && !bytes.Contains(proof[i-1], hash[:]) {
			return nil, fmt.Errorf("node %d is not on the way from the root to the leaf", i)
		}
		nodes[hash] = node
	}
	twice := len(nodes) != len(proof)
	value, err := trie.VerifyProof(root, crypto.Keccak256(key), nodes)
	if err != nil {
		return nil, err
	}
	if twice || len(nodes) > 0 {
		return nil, errors.New("the proof holds nodes that prove nothing")
	}
	return value, nil
}

// codeMatches compares code with its proved hash.
func codeMatches(code []byte, a accountAnswer) bool {
	return bytes.Equal(crypto.Keccak256(code), a.CodeHash)
}
