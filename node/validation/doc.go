// Package validation reaches verdicts on EVM transactions, blocks and addresses
// from the answers of untrusted JSON-RPC providers.
//
// Nothing a provider says is believed because it says so: hashes are
// recomputed, senders recovered, roots rebuilt and proofs verified with
// go-ethereum's types. Where providers must be compared (which hash stands at a
// height), a configurable quorum decides. A provider caught in a lie is named
// in the verdict and reported to the [Source].
package validation
