package verify

import (
	"time"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/validation"
)

// Class is what an answer is about, by which it is decided when it is proved.
type Class string

// The classes. Methods in none of them are never proved.
const (
	Blocks       Class = "blocks"
	Transactions Class = "transactions"
	Receipts     Class = "receipts"
	Logs         Class = "logs"
	State        Class = "state"
	Constants    Class = "constants"
	none         Class = "none"
)

var classes = []Class{Blocks, Transactions, Receipts, Logs, State, Constants}

// When says when an answer is proved.
type When string

// The times of a proof.
const (
	Before When = "before" // the client waits for it
	After  When = "after"  // the client is answered at once, the answer is kept when it is proved
	Sample When = "sample" // as after, for a share of the answers; the others are not proved
	Off    When = "off"
)

// Settings are the tunables of proofs.
type Settings struct {
	Classes    map[Class]*settings.Value[string]
	Sample     *settings.Value[float64]
	Workers    *settings.Value[int]
	Timeout    *settings.Value[time.Duration]
	QueueBytes *settings.Value[int64]
	LogBlocks  *settings.Value[int]
	Validation validation.Settings
}

// Declare declares the tunables of proofs. Quorum and witnesses are those of v.
func Declare(r *settings.Registry, v validation.Settings) Settings {
	s := Settings{Validation: v, Classes: map[Class]*settings.Value[string]{}}
	for _, c := range []struct {
		class Class
		def   When
		doc   string
	}{
		{Blocks, After, "When answers about blocks are proved by hash and roots: before they go out, after, in samples, or never. What is not proved is not kept beyond its moment."},
		{Transactions, After, "When answers about transactions are proved by their block: before they go out, after, in samples, or never."},
		{Receipts, After, "When receipts are proved by the receipts root: before they go out, after, in samples, or never."},
		{Logs, After, "When logs are proved by the receipts they are in: before they go out, after, in samples, or never."},
		{State, Sample, "When balances, nonces, code and storage are proved by eth_getProof: before they go out, after, in samples, or never."},
	} {
		s.Classes[c.class] = settings.Enum(r, settings.Spec{
			Key: "gateway.verify." + string(c.class), Choices: []string{string(Before), string(After), string(Sample), string(Off)},
			Risk: settings.RiskMedium, Doc: c.doc,
		}, string(c.def))
	}
	s.Sample = settings.Ratio(r, settings.Spec{
		Key: "gateway.verify.sample", Min: 0, Max: 1, Step: 0.01, Risk: settings.RiskLow,
		Doc: "Share of the answers of a class in samples that is proved.",
	}, 0.01)
	s.Workers = settings.Int(r, settings.Spec{
		Key: "gateway.verify.workers", Unit: "proofs", Min: 1, Max: maxWorkers, Step: 1, Risk: settings.RiskMedium,
		Doc: "Proofs after the answer that are made at the same time.",
	}, 2)
	s.Timeout = settings.Duration(r, settings.Spec{
		Key: "gateway.verify.timeout", Min: 0.1, Max: 120, Step: 1, Risk: settings.RiskLow,
		Doc: "How long one proof may take, with all that is asked of providers for it.",
	}, 10*time.Second)
	s.QueueBytes = settings.Bytes(r, settings.Spec{
		Key: "gateway.verify.queue_bytes", Min: 1 << 20, Max: 1 << 30, Step: 8 << 20, Risk: settings.RiskMedium,
		Doc: "Answers that wait for their proof at most; those above it are not proved and not kept.",
	}, 64<<20)
	s.LogBlocks = settings.Int(r, settings.Spec{
		Key: "gateway.verify.log_blocks", Unit: "blocks", Min: 1, Max: 1024, Step: 8, Risk: settings.RiskLow,
		Doc: "Blocks whose logs are proved at most; an answer about more is not.",
	}, 64)
	return s
}
