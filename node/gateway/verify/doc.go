// Package verify proves providers' JSON-RPC answers, so that what the gateway keeps
// beyond its moment, or shares, rests on a proof or a quorum and on nobody's word.
//
// A [Prover] is given an answer as a provider sent it. It finds that the answer is
// Proved, Refuted, or Unproved; the last says nothing against the provider. What it needs
// beside the answer it asks of any provider, and believes none of that either: a block is
// believed by its hash, its transactions and receipts by the roots in its header, state by
// the state root. Which block is canonical at a height, and a block's header, come from a
// [Chain]; where the chain does not know a height, a quorum of providers is asked, with
// validation.quorum and validation.witnesses as for verdicts.
//
// # What proves which answers
//
//   - Blocks by hash or number: the header's hash; with whole transactions the roots of
//     transactions and withdrawals, each sender, place and price, and the size. The light
//     form, which lists hashes only, is compared with the whole block, which is asked for
//     once by its hash. Counts, and transactions by block and index, likewise.
//   - Transactions by hash: the root of the block they claim to be in, and that the block
//     is canonical. What is in no block is Unproved.
//   - Receipts: the receipts root of their block, all of which are asked for; gas, places,
//     created contract, addresses and prices follow from the block.
//   - Logs of one block, or of gateway.verify.log_blocks at most: the receipts of each
//     block whose bloom filter matches; the answer must be all of what matches, in order.
//     Logs that are missing at the end may be the word of a provider that is late: that is
//     Unproved.
//   - Balance, nonce, code, storage, and eth_getProof itself: eth_getProof against the
//     state root of the block that the question names.
//   - eth_chainId, net_version: a quorum of providers.
//
// Nothing proves null, eth_call, eth_estimateGas, prices, or answers for latest, safe,
// finalized and pending: the gateway names the block that it means.
//
// A proof is of every member of an answer. One that no hash covers and nothing follows
// for leaves an answer Unproved; of the header of a block, such as totalDifficulty, it is
// taken from a quorum of providers. A member that comes twice, a list that is missing and
// an empty string are read differently by clients, and leave an answer Unproved. The size of a
// block with uncles counts their headers, which are asked for. Unproved are also answers
// whose fields are right only in the way in which some clients differ (a size without the
// list of withdrawals, a price that was offered and not paid).
package verify
