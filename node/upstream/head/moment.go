package head

import (
	"strconv"
	"time"
)

// Hash is the hash of a block; zero where it is not known.
type Hash = [32]byte

// Block is a block of the chain.
type Block struct {
	Number uint64
	Hash   Hash
}

// Header is what ties a block to the one before it.
type Header struct {
	Block
	Parent Hash
	Proven bool // the header hashes to Hash
}

// Trust is on whose word something is known.
type Trust uint8

// The kinds of trust.
const (
	None   Trust = iota
	Single       // of one provider: no other can be asked
	Quorum       // of at least the configured quorum, which may be 1
)

var trustNames = []string{"none", "single", "quorum"}

func (t Trust) String() string { return trustNames[t] }

// Moment is what is known of the chain at a time. It is not changed once it is published.
type Moment struct {
	Block
	Trust  Trust
	Safe   Block
	Final  Block
	Tagged bool // Final and Safe are what providers call so, not a depth
	Epoch  uint64
	Votes  int // providers that named the head
	Voters int // providers that could have
	// Quantity is the number as JSON-RPC writes it, quotes included. It is not changed.
	Quantity []byte
}

// Quantity writes a number as JSON-RPC does, quotes included.
func Quantity(n uint64) []byte {
	return append(strconv.AppendUint([]byte(`"0x`), n, 16), '"')
}

// finalDepths are the depths at which a block is taken to be final on chains whose
// reorganisations were deeper than the default is: what was seen, and twice of it.
// Polygon replaced 157 blocks in February 2023; Ethereum Classic some 7,000 in August 2020.
var finalDepths = map[uint64]int{
	61: 15_000, 63: 15_000, // Ethereum Classic and its test net
	137: 512, 80001: 512, 80002: 512, // Polygon
	56: 128, 97: 128, // BNB Smart Chain
	100: 128, 10200: 128, // Gnosis
	250: 128, 4002: 128, // Fantom
	25: 128, 66: 128, 128: 128, 321: 128, // Cronos, OKTC, Heco, KCC
	42220: 128, 1284: 128, 1285: 128, // Celo, Moonbeam, Moonriver
	2020: 256, 88: 256, 50: 256, // Ronin, TomoChain, XDC
	30: 4000, 31: 4000, // Rootstock
}

// FinalDepth returns the depth at which a block of a chain is final where its providers do
// not know the tag finalized: configured, or more where the chain is known to need it.
func FinalDepth(chain uint64, configured int) int { return max(configured, finalDepths[chain]) }

const (
	// keepFactor and keepLeast say how many blocks the window holds: twice the depth of
	// finality, so that a reorganisation below it is seen for what it is.
	keepFactor = 2
	keepLeast  = 256
	keepMost   = 1 << 15
	// extendTo is how far down the window is filled after a start.
	extendTo = 64
	// steps bounds how far below the highest block that a quorum has reached one that
	// they agree on is looked for.
	steps = 64
	// askFor bounds one question of the tracker's own.
	askFor = 3 * time.Second
	// resetAfter is how long a quorum must be below what is known, with nothing that ties
	// it to that, until the chain is taken to have been replaced as a whole.
	resetAfter = 10 * time.Second
	// settleFor is how long after the start a quorum is waited for until one provider's
	// word is taken.
	settleFor = 3 * time.Second
	// leap is how many blocks more than time allows one provider's word may move the head,
	// where others are configured.
	leap = 32
	// maxLinks bounds the blocks whose parents are remembered.
	maxLinks = 1 << 14
	// stallLeast is how long a provider must have stood still, while another moved on,
	// until it has no vote any more.
	stallLeast = 60 * time.Second
	stallRest  = 12 // of the time between two blocks
)
