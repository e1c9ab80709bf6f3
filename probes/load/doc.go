// Package load puts load on a node's HTTP API, or on any JSON-RPC endpoint, and says
// how it was answered.
//
// The load is an open model: a [Pattern] says when each request is due, whatever
// became of those before it, as it is with clients that do not know of each other.
// Latency counts from the due time, so a server that stalls is charged
// with every request that fell due meanwhile, and not with the one alone that a
// closed loop would have had under way (Gil Tene's "coordinated omission"). What is
// begun late is counted, by what was to blame: no place among the requests under way
// was free, or the generator itself had no processor.
//
// What is asked for are [Subjects]: blocks, transactions and addresses found at the
// target itself, or listed in a file. A [Mix] says how often which kind of request
// is made, and a skew how much more often the newest subjects are asked for.
package load
