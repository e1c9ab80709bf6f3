package verify

import (
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/lru"

	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/validation"
)

const (
	// maxProven and maxProvenBytes bound the blocks that are remembered as proved: the
	// transactions, receipts and logs of a block are mostly asked for after one another.
	maxProven      = 128
	maxProvenBytes = 32 << 20
	// decoded is by how much a decoded block is larger than its JSON, at most.
	decoded = 3
	// maxVotes bounds the heights whose vote is remembered, for votedFor: who reads all
	// receipts of an old block asks about one height over and over.
	maxVotes = 256
	votedFor = 10 * time.Second
)

// proven are the blocks that were proved last.
type proven struct {
	mu    sync.Mutex
	items lru.BasicLRU[common.Hash, *provenBlock]
	bytes int
	votes lru.BasicLRU[uint64, vote]
}

// vote is which block a quorum named at a height.
type vote struct {
	hash  common.Hash
	until int64 // monotonic
}

type provenBlock struct {
	block    *validation.Block
	receipts *validation.Receipts
	bytes    int
}

func newProven() *proven {
	return &proven{items: lru.NewBasicLRU[common.Hash, *provenBlock](maxProven + 1), votes: lru.NewBasicLRU[uint64, vote](maxVotes)}
}

func (p *proven) voted(number uint64) (common.Hash, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.votes.Get(number)
	return v.hash, ok && monotonic.Now() < v.until
}

func (p *proven) vote(number uint64, hash common.Hash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.votes.Add(number, vote{hash, monotonic.Now() + int64(votedFor)})
}

func (p *proven) block(hash common.Hash) *validation.Block {
	p.mu.Lock()
	defer p.mu.Unlock()
	if item, ok := p.items.Get(hash); ok {
		return item.block
	}
	return nil
}

func (p *proven) receipts(hash common.Hash) *validation.Receipts {
	p.mu.Lock()
	defer p.mu.Unlock()
	if item, ok := p.items.Get(hash); ok {
		return item.receipts
	}
	return nil
}

func (p *proven) addBlock(b *validation.Block, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.items.Get(b.Hash()); ok {
		return
	}
	p.items.Add(b.Hash(), &provenBlock{block: b})
	p.grow(b.Hash(), size)
}

func (p *proven) addReceipts(hash common.Hash, r *validation.Receipts, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if item, ok := p.items.Get(hash); ok && item.receipts == nil {
		item.receipts = r
		p.grow(hash, size)
	}
}

// grow counts size bytes of JSON more in an item, and drops the oldest above the bound; the
// caller holds mu.
func (p *proven) grow(hash common.Hash, size int) {
	item, _ := p.items.Peek(hash)
	item.bytes += decoded * size
	p.bytes += decoded * size
	for p.items.Len() > 0 && (p.bytes > maxProvenBytes || p.items.Len() > maxProven) {
		_, oldest, _ := p.items.RemoveOldest()
		p.bytes -= oldest.bytes
	}
}
