package validation

import (
	"context"
	"encoding/json"
)

// Answer is what one provider answered to one call. Result is the raw JSON of
// the "result" member, "null" when the provider knows of nothing there. It is
// untrusted: bounded in size, but of any shape.
type Answer struct {
	Provider string
	Result   json.RawMessage
	Err      error // set by CallEach for a provider that did not answer
}

// Source asks JSON-RPC providers. The node's upstream package is the one that
// runs in production. Implementations bound time and size and may be used by
// any number of goroutines.
type Source interface {
	// Call asks the provider that is expected to answer best, with retries and
	// hedging. The error is of the transport or a JSON-RPC error.
	Call(ctx context.Context, method string, params ...any) (Answer, error)

	// CallEach asks up to n different providers at once and returns their
	// answers in no particular order; fewer when fewer are healthy.
	CallEach(ctx context.Context, n int, method string, params ...any) []Answer

	// Providers returns how many providers are configured, whatever their
	// state: a quorum is never asked of more than these.
	Providers() int

	// Distrust counts a lie against a provider and lowers it in the choice.
	Distrust(provider, lie string)
}
