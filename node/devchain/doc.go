// Package devchain is a small real chain in memory, with JSON-RPC providers
// that can be made to fail or lie on demand. The demo and the tests run on it.
//
// What is real: secp256k1-signed transactions of the legacy, EIP-2930 and
// EIP-1559 types, nonces, balances and fees, the state trie and its proofs, the
// transactions, receipts and withdrawals roots, log blooms, the EIP-1559 base
// fee, and post-merge header hashes. What is not: there is no EVM. One account,
// [TokenAddress], behaves as an ERC-20 token: transfer, balanceOf, a storage
// trie with the balances, a Transfer log in the receipt. Any other call data is
// carried and paid for, and does nothing.
//
// Keys and content follow from [Config.Seed]; two chains with the same
// configuration and clock have the same block hashes.
//
// A [Chain] holds the blocks; a [Provider] is a loopback HTTP server in front of
// it with a [Fault] that can be changed while it runs; [Start] makes a chain
// with several providers.
package devchain
