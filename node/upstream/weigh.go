package upstream

import (
	"time"

	"github.com/bizra/bizra-top/node/upstream/refusal"
)

const (
	// mostLimits bounds how many providers are asked a question that is too large for each
	// of them, and mostUnknown how many are asked one that each refuses in words which
	// nobody knows.
	mostLimits  = 8
	mostUnknown = 2
)

// refusals are what the providers that were asked have said instead of an answer.
type refusals struct {
	best    error // what is passed on when nobody answers
	weight  int   // of best
	wait    time.Duration
	limits  int
	unknown int
	methods bool // one does not serve the method
}

// add takes one in.
func (r *refusals) add(err error) {
	switch class := classOf(err); {
	case class == refusal.Limit:
		r.limits++
	case class == refusal.Method:
		r.methods = true
	case class == refusal.Unknown && isAnswer(err):
		r.unknown++
	case class == refusal.Quota:
		if f := failureOf(err); r.wait == 0 || f.Wait < r.wait {
			r.wait = f.Wait
		}
	}
	if w := weightOf(err); w > r.weight {
		r.best, r.weight = err, w
	}
}

// open says whether asking another provider may be of use.
func (r *refusals) open() bool { return r.limits < mostLimits && r.unknown < mostUnknown }

// weights say which of several refusals a client is told: the chain's verdict first, then
// what it can do something about, then what a provider has said of the question, and last
// what another provider might still make good: a client that is told that a method does not
// exist does not ask again.
var weights = map[refusal.Class]int{refusal.Verdict: 9, refusal.Known: 9, refusal.Limit: 8, refusal.Unknown: 7, refusal.State: 6, refusal.Block: 6,
	refusal.Internal: 5, refusal.Quota: 2, refusal.Method: 1}

// weightFailure is that of a failure without a class that has one.
const weightFailure = 3

func weightOf(err error) int {
	if w := weights[classOf(err)]; w != 0 && (isAnswer(err) || classOf(err) != refusal.Unknown) {
		return w
	}
	return weightFailure
}

// codeNoMethod is JSON-RPC's "method not found", and codeLimit "limit exceeded" of EIP-1474.
const (
	codeNoMethod = -32601
	codeLimit    = -32005
)

// error is what a client is told when nobody has answered.
func (r *refusals) error(q *Question) error {
	switch class := classOf(r.best); {
	case class == refusal.Method:
		// Clients know geth's words, and fall back to another method by them.
		return &RPCError{Code: codeNoMethod, Message: "the method " + q.Method + " does not exist/is not available", Reading: refusal.Reading{Class: class, Teaches: refusal.TheMethod}}
	case class == refusal.Limit && !isAnswer(r.best):
		return &RPCError{Code: codeLimit, Message: "the question is too large for the providers", Reading: refusal.Reading{Class: class}}
	case class == refusal.Quota:
		return &Exhausted{r.wait}
	}
	return r.best
}
