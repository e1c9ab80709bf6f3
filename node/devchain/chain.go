package devchain

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Config says what chain to make. The zero value is a chain that mines only when
// told to.
type Config struct {
	ChainID   uint64        // 1337 when 0
	Seed      uint64        // keys and content follow from it
	Accounts  int           // funded accounts with keys; 24 when 0
	Interval  time.Duration // between blocks in Run; with 0, Run does not mine
	Prefill   int           // blocks mined before the constructor returns
	History   int           // blocks kept; 4096 when 0
	Providers int           // providers that Start makes; 3 when 0
	GasLimit  uint64        // of each block; when 0, what the traffic's average block half fills

	// Traffic adds new transactions to every block, between MinTx and MaxTx
	// (5 and 30 when 0).
	Traffic      bool
	MinTx, MaxTx int
	// Reverts is the share of the traffic's token transfers that revert.
	Reverts float64

	// GenesisTime is the timestamp of block 0. When zero, it is chosen so that
	// the prefilled blocks end now, or an hour ago for a chain without Interval,
	// which leaves room for blocks mined faster than the clock.
	GenesisTime time.Time
}

func (c Config) withDefaults() Config {
	c.ChainID = cmp.Or(c.ChainID, 1337)
	c.Accounts = max(cmp.Or(c.Accounts, 24), 2)
	c.History = max(cmp.Or(c.History, 4096), stateDepth+1)
	c.Providers = cmp.Or(c.Providers, 3)
	c.GasLimit = cmp.Or(c.GasLimit, gasLimit)
	c.MinTx = cmp.Or(c.MinTx, 5)
	c.MaxTx = max(cmp.Or(c.MaxTx, 30), c.MinTx)
	if c.GenesisTime.IsZero() {
		back := time.Hour
		if c.Interval > 0 {
			back = time.Duration(c.Prefill) * max(c.Interval, time.Second)
		}
		c.GenesisTime = time.Now().Add(-back)
	}
	return c
}

// stateDepth is for how many blocks balances and proofs can be asked.
const stateDepth = 128

// Chain is the chain: its blocks, its state, the transactions waiting for the
// next block. Its methods may be called from any goroutine.
type Chain struct {
	cfg     Config
	signer  types.Signer
	keys    []*ecdsa.PrivateKey
	addrs   []common.Address
	step    uint64 // seconds between timestamps of blocks mined at once
	mining  sync.Mutex
	salt    uint64     // makes the blocks of a reorg differ; guarded by mining
	traffic *rand.Rand // guarded by mining

	mu      sync.RWMutex
	blocks  []*block // canonical, ascending and without gaps
	side    []*block // replaced by reorgs
	byHash  map[common.Hash]*block
	txs     map[common.Hash]place // of canonical blocks
	waiting pool
}

type place struct {
	block *block
	index int
}

// block is never modified after it was published, but for state, which is
// dropped when it is old; that is guarded by Chain.mu.
type block struct {
	*types.Block
	hash     common.Hash
	receipts types.Receipts
	senders  []common.Address
	state    *state
}

// NewChain returns a chain with its genesis and prefilled blocks.
func NewChain(cfg Config) (*Chain, error) {
	cfg = cfg.withDefaults()
	c := &Chain{
		cfg:     cfg,
		signer:  types.LatestSignerForChainID(new(big.Int).SetUint64(cfg.ChainID)),
		step:    max(1, uint64(cfg.Interval/time.Second)),
		traffic: rand.New(rand.NewPCG(cfg.Seed, 0xb12a)),
		byHash:  map[common.Hash]*block{},
		txs:     map[common.Hash]place{},
		waiting: pool{byHash: map[common.Hash]*waitingTx{}},
	}
	for i := range cfg.Accounts {
		key, err := crypto.ToECDSA(c.derive("key", uint64(i)))
		if err != nil {
			return nil, fmt.Errorf("devchain: key %d: %w", i, err)
		}
		c.keys = append(c.keys, key)
		c.addrs = append(c.addrs, crypto.PubkeyToAddress(key.PublicKey))
	}
	genesis, err := c.genesis()
	if err != nil {
		return nil, fmt.Errorf("devchain: genesis: %w", err)
	}
	c.publish(genesis)
	for range cfg.Prefill {
		if _, err := c.Mine(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// derive returns 32 bytes that follow from the seed.
func (c *Chain) derive(what string, n uint64) []byte {
	var word [16]byte
	binary.BigEndian.PutUint64(word[:8], c.cfg.Seed)
	binary.BigEndian.PutUint64(word[8:], n)
	return crypto.Keccak256([]byte("bizra devchain "+what), word[:])
}

// Run mines a block every Config.Interval until ctx is done. It returns the
// context's error, or the error of a block that could not be made.
func (c *Chain) Run(ctx context.Context) error {
	if c.cfg.Interval <= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(c.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if _, err := c.mine(uint64(time.Now().Unix())); err != nil {
				return err
			}
		}
	}
}

// Mine makes the next block at once and returns its hash. Its timestamp is one
// step after its parent's, whatever the clock says.
func (c *Chain) Mine() (common.Hash, error) { return c.mine(0) }

func (c *Chain) mine(notBefore uint64) (common.Hash, error) {
	c.mining.Lock()
	defer c.mining.Unlock()
	b, err := c.build(c.head(), notBefore)
	if err != nil {
		return common.Hash{}, fmt.Errorf("devchain: %w", err)
	}
	c.publish(b)
	return b.hash, nil
}

// Reorg replaces the last depth blocks by as many others, with other
// transactions; what was in the replaced blocks is forgotten, not mined again.
// The replaced blocks can still be asked for by hash, as with a real client.
func (c *Chain) Reorg(depth int) error {
	c.mining.Lock()
	defer c.mining.Unlock()
	c.mu.Lock()
	keep := len(c.blocks) - depth
	if depth < 1 || keep < 1 || c.blocks[keep-1].state == nil {
		n := len(c.blocks)
		c.mu.Unlock()
		return fmt.Errorf("devchain: a reorg of %d blocks does not fit %d blocks and %d states", depth, n, stateDepth)
	}
	fork := c.blocks[keep-1]
	c.mu.Unlock()

	c.salt++
	branch := make([]*block, 0, depth)
	for parent := fork; len(branch) < depth; {
		b, err := c.build(parent, 0)
		if err != nil {
			return fmt.Errorf("devchain: reorg: %w", err)
		}
		branch = append(branch, b)
		parent = b
	}

	// Everything is swapped at once: nobody sees a head that went back.
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.blocks[keep:] {
		for _, tx := range b.Transactions() {
			delete(c.txs, tx.Hash())
		}
	}
	c.side = append(c.side, c.blocks[keep:]...)
	c.blocks = append([]*block(nil), c.blocks[:keep]...)
	for _, b := range branch {
		c.add(b)
	}
	return nil
}

// publish makes b the head.
func (c *Chain) publish(b *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(b)
}

// add appends b and drops what is too old; the caller holds mu.
func (c *Chain) add(b *block) {
	c.blocks = append(c.blocks, b)
	c.byHash[b.hash] = b
	for i, tx := range b.Transactions() {
		c.txs[tx.Hash()] = place{b, i}
	}
	c.waiting.drop(b.Transactions())
	if i := len(c.blocks) - 1 - stateDepth; i >= 0 {
		c.blocks[i].state = nil
	}
	if len(c.blocks) > c.cfg.History {
		old := c.blocks[0]
		delete(c.byHash, old.hash)
		for _, tx := range old.Transactions() {
			delete(c.txs, tx.Hash())
		}
		c.blocks[0] = nil
		c.blocks = c.blocks[1:]
	}
	for len(c.side) > 0 && (c.side[0].NumberU64()+stateDepth < b.NumberU64() || len(c.side) > stateDepth) {
		delete(c.byHash, c.side[0].hash)
		c.side = c.side[1:]
	}
}

func (c *Chain) head() *block {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.blocks[len(c.blocks)-1]
}
