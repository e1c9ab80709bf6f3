// Package breaker is a circuit breaker whose thresholds, window and state can
// be changed while it is in use.
//
// A [Breaker] measures outcomes over a window, of time by default or of a
// number of calls. When enough calls were made and the share of failed or slow
// ones reaches its threshold it opens and refuses calls at once. Recovery is
// found by probes: the owner of the breaker asks for a probe permit when the
// wait is over, so that no client's request is spent to find out. A breaker
// without such a prober lets a bounded number of ordinary calls be the probes.
//
// Every permit carries the generation it was issued in. A result that comes
// back after the breaker has moved on does not count, and a probe whose result
// never comes is given up at its deadline, so half-open cannot latch.
//
// The states closed, open and half-open are Nygard's ("Release It!", 2007). The
// operator's states are those of resilience4j: forced-open, forced-closed
// (allow all, still measure) and metrics-only (allow all, report what would have
// been done).
package breaker
