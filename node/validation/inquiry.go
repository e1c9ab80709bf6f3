package validation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/common"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/supervise"
)

// maxEvidence bounds one line of evidence, in runes.
const maxEvidence = 400

// checkNames are the checks of each kind, in the order in which a verdict lists
// them. Every verdict but not_found lists all of them.
var checkNames = map[Kind][]string{
	KindTransaction: {
		"transaction_hash", "sender", "chain_id", "block_hash", "inclusion", "position",
		"canonical", "receipts_root", "status", "block_fields", "transaction_fields",
		"receipt_fields", "confirmations",
	},
	KindBlock: {
		"chain_id", "block_hash", "canonical", "parent", "transactions_root", "receipts_root",
		"withdrawals_root", "uncles_root", "logs_bloom", "gas_used", "gas_limit", "base_fee",
		"blob_gas", "timestamp", "block_fields", "transaction_fields", "receipt_fields",
		"confirmations",
	},
	KindAddress: {
		"eip55", "chain_id", "block_hash", "canonical", "account_proof", "balance", "nonce",
		"code_hash", "storage_hash", "code",
	},
}

// inquiry is the work on one verdict.
type inquiry struct {
	*Validator
	ctx     context.Context
	subject common.Hash // of a transaction
	wg      sync.WaitGroup

	// What several checks need is asked for once.
	chain    func() chainAnswers
	head     func() headHeight
	blocks   asked[common.Hash, reply[blockAnswer]]
	receipts asked[common.Hash, reply[receiptsAnswer]]
	parents  asked[common.Hash, reply[headerAnswer]]
	heights  asked[uint64, agreement]

	mu       sync.Mutex
	verdict  Verdict
	checks   map[string]check
	lies     []lie
	used     map[string]bool
	strayed  map[string]bool // providers on another chain
	silenced bool
	missing  bool // not_found
}

type check struct {
	Check
	needless bool // a skipped check that does not apply to this subject
}

type lie struct{ provider, check, text string }

func newInquiry(ctx context.Context, v *Validator, kind Kind, subject string) *inquiry {
	q := &inquiry{
		Validator: v,
		ctx:       ctx,
		verdict:   Verdict{Kind: kind, Subject: subject, ChainID: v.chainID},
		checks:    map[string]check{},
		used:      map[string]bool{},
		strayed:   map[string]bool{},
	}
	q.chain = supervise.Once(q.checkChain)
	q.head = supervise.Once(q.findHead)
	return q
}

// begin lets ask run beside whatever else is asked for; settle waits for it.
// A panic in it is raised where its answer is used.
func begin[T any](q *inquiry, ask func() T) {
	supervise.Go(&q.wg, "question of a verdict", func() { ask() }, nil)
}

// asked are answers by what they are about, each asked for once.
type asked[K comparable, V any] struct {
	mu   sync.Mutex
	once map[K]func() V
}

func (a *asked[K, V]) about(key K, ask func() V) func() V {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.once == nil {
		a.once = map[K]func() V{}
	}
	if a.once[key] == nil {
		a.once[key] = supervise.Once(ask)
	}
	return a.once[key]
}

func (q *inquiry) record(name string, status Status, needless bool, provider, format string, args ...any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.checks[name] = check{
		Check: Check{
			Name:     name,
			Status:   status,
			Evidence: printable.Clean(fmt.Sprintf(format, args...), maxEvidence),
			Provider: provider,
		},
		needless: needless,
	}
}

func (q *inquiry) pass(name, provider, format string, args ...any) {
	q.record(name, Passed, false, provider, format, args...)
}

func (q *inquiry) fail(name, provider, format string, args ...any) {
	q.record(name, Failed, false, provider, format, args...)
}

// skip is for a check that is needed and could not be made.
func (q *inquiry) skip(name, format string, args ...any) {
	q.record(name, Skipped, false, "", format, args...)
}

// exempt is for a check that the subject or its chain has no place for.
func (q *inquiry) exempt(name, format string, args ...any) {
	q.record(name, Skipped, true, "", format, args...)
}

// refuse records what is wrong with an answer that nothing could be built on,
// under block_hash where the subject has no such check.
func (q *inquiry) refuse(f *flaw) {
	if slices.Contains(checkNames[q.verdict.Kind], f.check) {
		q.fail(f.check, "", "%s", f.text)
		return
	}
	q.fail("block_hash", "", "%s", f)
}

// trouble records a check that the answer to a question did not allow to pass:
// failed when the best answer was false, skipped when there was none.
func (q *inquiry) trouble(name, provider string, err error) {
	var f *flaw
	switch {
	case errors.As(err, &f) && f.check == name:
		q.fail(name, provider, "%s", f.text)
	case errors.As(err, &f):
		q.skip(name, "not reached: %s does not hold", f.check)
	default:
		q.skip(name, "%s", err)
	}
}

// recorded says whether a check has a result.
func (q *inquiry) recorded(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.checks[name]
	return ok
}

// caught reports a false answer; the same one only once.
func (q *inquiry) caught(provider, check, text string) {
	if text, fresh := q.note(provider, check, text); fresh {
		q.metrics.lies.WithLabelValues(check).Inc()
		q.src.Distrust(provider, check+": "+text)
	}
}

// note puts a false answer into the verdict, and says whether it was not there
// yet.
func (q *inquiry) note(provider, check, text string) (string, bool) {
	text = printable.Clean(text, maxEvidence/2)
	l := lie{provider, check, text}
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Contains(q.lies, l) {
		return text, false
	}
	q.lies = append(q.lies, l)
	return text, true
}

// use notes that an answer went into the verdict, and says whether it may: which
// providers are on another chain is asked beside the first question.
func (q *inquiry) use(provider string) bool {
	q.chain()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.strayed[provider] {
		return false
	}
	q.used[provider] = true
	return true
}

func (q *inquiry) silence() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.silenced = true
}

func (q *inquiry) wasSilenced() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.silenced
}

func (q *inquiry) fact(facts any) {
	raw, err := json.Marshal(facts)
	if err != nil {
		return // facts are structs of strings and numbers
	}
	q.verdict.Facts = raw
}

// notFound makes the verdict that the providers know of no such thing.
func (q *inquiry) notFound() { q.missing = true }

// settle closes the verdict.
func (q *inquiry) settle() Verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	v := q.verdict
	v.Providers = []string{}
	for p := range q.used {
		v.Providers = append(v.Providers, p)
	}
	slices.Sort(v.Providers)
	for _, l := range q.lies {
		if !slices.Contains(v.Liars, l.provider) {
			v.Liars = append(v.Liars, l.provider)
		}
	}
	slices.Sort(v.Liars)

	// The reason is the first failed check; or else the first that is lacking,
	// rather one that was tried than one that was not reached.
	var failed, lacking, unreached string
	v.Checks = []Check{}
	for _, name := range checkNames[v.Kind] {
		c, reached := q.checks[name]
		if !reached {
			if q.missing {
				continue
			}
			c = check{Check: Check{Name: name, Status: Skipped, Evidence: "not reached"}}
		}
		for _, l := range q.lies {
			if l.check == name && !(c.Status == Failed && c.Provider == l.provider) {
				c.Evidence = printable.Clean(c.Evidence+"; refused "+l.provider+": "+l.text, 2*maxEvidence)
			}
		}
		v.Checks = append(v.Checks, c.Check)
		reason := name + ": " + c.Evidence
		switch {
		case c.Status == Failed:
			failed = cmp.Or(failed, reason)
		case c.Status == Skipped && !reached:
			unreached = cmp.Or(unreached, reason)
		case c.Status == Skipped && !c.needless:
			lacking = cmp.Or(lacking, reason)
		}
	}
	lacking = cmp.Or(lacking, unreached)
	switch {
	case failed != "":
		v.Outcome, v.Reason = Invalid, failed
	case q.missing:
		v.Outcome, v.Reason = NotFound, "the providers know of no such "+string(v.Kind)
	case lacking != "":
		v.Outcome, v.Reason = Undecided, lacking
	default:
		v.Outcome, v.Reason = Valid, "all checks passed"
	}
	if v.Outcome != Valid {
		v.Finalised = false
	}
	return v
}
