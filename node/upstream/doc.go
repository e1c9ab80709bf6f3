// Package upstream asks JSON-RPC providers that may be slow, wrong or gone.
//
// A [Set] holds the providers. Each has a circuit breaker, a latency histogram
// and a head. A call goes to the provider expected to answer first; after that
// provider's own p95 a second one is asked beside it (a hedge), and the first
// answer wins. Attempts, retries and hedges share one deadline.
//
// What a provider says instead of a result is one of three things, as the table of
// package refusal tells. The chain's verdict is an answer, and passed on whole. A
// question that is too large for one provider goes to others, one after the other. A
// fault of the provider goes to the others too: it has no key, no quota, no such
// method, state or block. Who has refused is not asked again in the same call; what the
// network or a retryable status caused may be, after a pause. Only a fault of which the
// provider is ill counts in its breaker, and where it may be the question that makes it
// ill, only once another has answered: no stranger opens breakers with a question.
//
// What a provider was found to lack is remembered for a while, and it is asked last for
// that. A provider that is known to be behind the block that a [Question] needs is not
// asked at all. Broadcast sends a signed transaction to several at once.
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
