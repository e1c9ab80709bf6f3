// Package validation reaches verdicts on EVM transactions, blocks and addresses
// from the answers of untrusted JSON-RPC providers.
//
// Nothing a provider says is believed because it says so: hashes are
// recomputed, senders recovered, roots rebuilt and proofs verified with
// go-ethereum's types. Where providers must be compared (which hash stands at a
// height), a configurable quorum decides. A provider caught in a lie is named
// in the verdict and reported to the [Source].
//
// # Whom to believe
//
// Most answers prove themselves against something already proved: a transaction
// against the hash asked for, a block against its hash, its transactions,
// withdrawals and receipts against the roots in its header, an account against
// the state root. For these one truthful provider is enough. The best provider
// is asked; when its answer does not hold, or it knows nothing, others are, and
// the first answer that holds wins. An answer that does not hold, or is not of
// the shape asked for, is a lie: it is reported, noted in the evidence of the
// check that found it, and otherwise ignored. When no provider has an answer
// that holds, the check has failed and the verdict is invalid.
//
// Three things prove nothing by themselves:
//
//   - Which block stands at a height. validation.witnesses providers are asked,
//     more when they do not settle it. A block is canonical when at least
//     validation.quorum providers name it, each with a header that hashes to it,
//     and more than name any other. With fewer the check is skipped and the
//     verdict undecided. Where fewer are configured than the quorum asks for, all
//     of them must agree: who configures a single provider trusts it in this, and
//     the evidence says "1 of 1 providers". Providers that are only unhealthy do
//     not lower the quorum. The minority is reported as lying once the height is
//     validation.reorg_depth below the head; above that it may be late.
//   - How high the chain is: the greatest height that a quorum has reached.
//   - That something does not exist: not_found needs null from a quorum of
//     providers, or from all that answered when none of them lied.
//
// A provider that answers eth_chainId with another chain takes no part.
//
// What no hash covers follows from what is proved and is compared with it: hash,
// sender, place and price of each transaction (transaction_fields), the same of
// each receipt with its gas, the contract it created and its logs' places
// (receipt_fields), a block's size and the list of transactions that comes with
// its header (block_fields). Not found out are lies
//
//   - in members that no specification names, and in totalDifficulty, which no
//     header holds;
//   - in the lists of transactions and the sizes that come with headers of other
//     blocks: the parent, and the head that an account is proved at;
//   - in the sender of other transactions in the block of a transaction, whose
//     signatures are not recovered for it;
//   - by leaving out what clients differ in: the timestamps of transactions, logs
//     and receipts, v or yParity where the other is there, chainId and type of
//     legacy transactions, gasPrice of those that name a fee cap;
//   - in the price of blob gas, as far as it is one that a fork known here gives,
//     or lower than all of those: what it follows from is not in the header;
//   - in how high the chain is, when a single provider is configured.
//
// # Round trips
//
// A verdict takes two round trips when nothing is known before and all goes well.
// What is asked in the second is named in the first: the block of a transaction,
// the block that a number or tag stands for, the header that an account is proved
// at. Without eth_getBlockReceipts receipts are asked for one by one, in a third,
// up to validation.receipt_calls of them.
//
// # Outcomes
//
// A failed check makes a verdict invalid. A skipped check makes it undecided,
// unless it does not apply: a block from before EIP-1559 has no base fee. That a
// transaction was reverted is a fact and no fault of it: its [Execution] says so, and
// the verdict that it is in its block is valid. A transaction that is in no block yet
// is undecided. A transaction in a block that a quorum no longer names is invalid by
// the check canonical.
//
// # Other chains
//
// Only what other chains are known to do differently is not failed. It cannot be
// verified here: the check is skipped with the reason, the verdict is undecided, and
// nobody is named a liar, unless another provider's answer is proved.
//
//   - On every chain: transaction types above 4, and headers with unknown members that
//     hash to something else.
//   - On chains with rules of their own (validation.consensus_rules): headers without a
//     mix hash or with zero in place of the transactions root; transactions with unknown
//     members that hash to something else; transactions that nobody signed, whose sender
//     nothing proves. One of those that comes after the transactions under the root, as
//     Polygon appends one with its receipt, leaves the others valid.
//
// Fee, gas limit and timestamp rules are failed on chains known to follow Ethereum's,
// noted on others. A signature whose s is in the upper half is valid before the main
// net's block 1,150,000, and on chains with rules of their own. The size of a block with
// uncles is not checked, since it counts headers that are not sent with it.
package validation
