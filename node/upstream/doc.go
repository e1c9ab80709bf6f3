// Package upstream asks JSON-RPC providers that may be slow, wrong or gone.
//
// A [Set] holds the providers. Each has a circuit breaker, a latency histogram
// and a head. A call goes to the provider expected to answer first; after that
// provider's own p95 a second one is asked beside it (a hedge), and the first
// answer wins. Only what the network or a retryable status caused is tried
// again, within a budget, never a JSON-RPC error: that is an answer. Attempts,
// retries and hedges share one deadline.
//
// The address of a provider may hold a key. It is read from the configuration,
// given to the HTTP client, and nowhere shown: errors, metrics and screens carry
// the provider's name and host.
package upstream
