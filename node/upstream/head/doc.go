// Package head decides which block is the newest, from the votes of providers that may
// lie, lag or be on another fork.
//
// # The trusted head
//
// Each provider votes with the header of its newest block. Those vote that can be asked,
// have been heard from lately, and do not stand still while another moves on. The trusted
// head is the highest block that a quorum has reached and whose hash they agree on: more
// of them than name any other. A provider that claims a block far ahead moves nothing; a
// jump of any size that a quorum makes is believed. Where a single provider can be asked
// its word is taken, and the moment says so ([Single]).
//
// # The canonical window
//
// From the trusted head down, parent by parent, the blocks that are canonical. A parent
// is known when its child's header hashes to the child's hash, or when a quorum names it.
// A block of the window that another replaces is a reorganisation, which is reported.
//
// The head never goes back but over a reorganisation: when the provider that was ahead
// leaves, the head stays where it was until a quorum is there again.
//
// # Finality
//
// The tags safe and finalized are voted on in the same way. Where a quorum does not know
// the tag, a block is final at a depth: what is known of the chain ([FinalDepth]), or the
// configured one if that is more. One provider's word decides finality only where no
// other is configured. A reorganisation below what was called final lowers it, and is
// reported apart.
package head
