// Package upstream asks JSON-RPC providers that may be slow, wrong or gone.
//
// A [Set] holds the providers. Each has a circuit breaker, a latency histogram
// and a head. A call goes to the provider expected to answer first; after that
// provider's own p95 a second one is asked beside it (a hedge), and the first
// answer wins. Only what the network or a retryable status caused is tried
// again, within a budget, never a JSON-RPC error: that is an answer. Attempts,
// retries and hedges share one deadline.
//
// A provider that gives nothing but failures, three in a row, is asked last; when
// that goes on for 0.75 s its breaker opens, however good its window looks. Run
// asks a provider that is under suspicion often, and one whose breaker is open
// past the breaker, without waiting for earlier questions: so a provider that
// fails in whatever way is out within 2 s and back within 1 s.
//
// Retries and hedges under way are a bounded share of the calls under way. Who
// finds that budget spent waits for it within its deadline, so that many calls
// that fail at once are all made again, but not all at once.
//
// The address of a provider may hold a key. It is read from the configuration,
// given to the HTTP client, and nowhere shown: errors, metrics and screens carry
// the provider's name and host.
package upstream
