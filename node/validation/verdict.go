package validation

import (
	"encoding/json"
	"time"
)

// Kind says what was checked.
type Kind string

// The kinds of subjects.
const (
	KindTransaction Kind = "transaction"
	KindBlock       Kind = "block"
	KindAddress     Kind = "address"
)

// Outcome is the verdict in one word.
type Outcome string

// The outcomes. Nothing is valid that was not proved: a check that could not be
// made leaves the verdict undecided, unless the chain's rules make it
// inapplicable.
const (
	Valid     Outcome = "valid"     // every check that applies passed
	Invalid   Outcome = "invalid"   // at least one check failed
	NotFound  Outcome = "not_found" // the providers know of no such thing
	Undecided Outcome = "undecided" // a check that is needed could not be made
)

// Status is the result of one check.
type Status string

// The results of a check.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Execution is what came of a transaction that is in a block.
type Execution string

// The executions. A revert is a fact about a valid transaction: it is in its block, it
// paid for its gas, and it changed nothing else.
const (
	Succeeded Execution = "succeeded"
	Reverted  Execution = "reverted"
)

// Check is one thing that was verified, with its evidence.
type Check struct {
	Name     string `json:"name"` // "transaction_hash", "receipts_root", …
	Status   Status `json:"status"`
	Evidence string `json:"evidence"`           // what was computed and compared, one line
	Provider string `json:"provider,omitempty"` // whose answer was checked
}

// BlockRef names a block.
type BlockRef struct {
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
}

// Verdict is the answer of the node about one subject.
type Verdict struct {
	ID            string          `json:"id"` // unique; the key of the ledger row
	Kind          Kind            `json:"kind"`
	Subject       string          `json:"subject"` // canonical: lower-case hash, decimal number or EIP-55 address
	Outcome       Outcome         `json:"outcome"`
	Reason        string          `json:"reason"`              // the failed or missing check, or "all checks passed"
	Execution     Execution       `json:"execution,omitempty"` // of a transaction, when its receipt is proved and has a status
	ChainID       uint64          `json:"chain_id"`
	Block         *BlockRef       `json:"block,omitempty"` // the block the verdict rests on
	Confirmations uint64          `json:"confirmations"`
	Finalised     bool            `json:"finalised"` // deep enough that a reorg is not expected
	Checks        []Check         `json:"checks"`
	Facts         json.RawMessage `json:"facts,omitempty"` // what was proved: value, sender, balance, …
	Providers     []string        `json:"providers"`       // whose answers were used
	Liars         []string        `json:"liars,omitempty"`
	At            time.Time       `json:"at"`
	Seconds       float64         `json:"seconds"` // time taken
}
