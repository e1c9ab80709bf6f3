package validation

import (
	"errors"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the tunables of validation.
type Settings struct {
	Quorum             *settings.Value[int]
	Witnesses          *settings.Value[int]
	ConfirmationsFinal *settings.Value[int]
	ReorgDepth         *settings.Value[int]
	ClockSkew          *settings.Value[time.Duration]
	ChainIDEvery       *settings.Value[time.Duration]
	ConsensusRules     *settings.Value[string]
	ReceiptCalls       *settings.Value[int]
}

// maxWitnesses bounds how many providers one question is put to.
const maxWitnesses = 16

// The choices of validation.consensus_rules.
const (
	rulesAuto     = "auto"
	rulesEthereum = "ethereum"
	rulesNone     = "none"
)

// Declare declares the tunables of validation.
func Declare(r *settings.Registry) Settings {
	s := Settings{
		Quorum: settings.Int(r, settings.Spec{
			Key: "validation.quorum", Unit: "providers", Min: 1, Max: maxWitnesses, Step: 1, Risk: settings.RiskHigh,
			Doc: "Providers that must agree which block stands at a height; with fewer answering, verdicts are undecided. Where fewer are configured, all of them must.",
		}, 2),
		Witnesses: settings.Int(r, settings.Spec{
			Key: "validation.witnesses", Unit: "providers", Min: 1, Max: maxWitnesses, Step: 1, Risk: settings.RiskMedium,
			Doc: "Providers that are asked at once where they are compared; more are asked only when these do not settle it.",
		}, 3),
		ConfirmationsFinal: settings.Int(r, settings.Spec{
			Key: "validation.confirmations_final", Unit: "blocks", Min: 1, Max: 100_000, Step: 1, Risk: settings.RiskLow,
			Doc: "Confirmations from which on a verdict is reported as finalised.",
		}, 64),
		ReorgDepth: settings.Int(r, settings.Spec{
			Key: "validation.reorg_depth", Unit: "blocks", Min: 0, Max: 10_000, Step: 1, Risk: settings.RiskLow,
			Doc: "Blocks below the head within which a provider that names another block is taken to be late, not lying.",
		}, 3),
		ClockSkew: settings.Duration(r, settings.Spec{
			Key: "validation.clock_skew", Min: 0, Max: 3600, Step: 1, Risk: settings.RiskMedium,
			Doc: "How far a block's timestamp may be ahead of this host's clock.",
		}, 15*time.Second),
		ChainIDEvery: settings.Duration(r, settings.Spec{
			Key: "validation.chain_id_every", Min: 0, Max: 3600, Step: 5, Risk: settings.RiskLow,
			Doc: "How long the providers' answers to eth_chainId are taken as known.",
		}, time.Minute),
		ConsensusRules: settings.Enum(r, settings.Spec{
			Key: "validation.consensus_rules", Choices: []string{rulesAuto, rulesEthereum, rulesNone}, Risk: settings.RiskMedium,
			Doc: "Whether base fee, gas limit steps and strictly rising timestamps must follow Ethereum's rules; auto knows the public Ethereum chains.",
		}, rulesAuto),
		ReceiptCalls: settings.Int(r, settings.Spec{
			Key: "validation.receipt_calls", Unit: "calls", Min: 0, Max: 5000, Step: 50, Risk: settings.RiskMedium,
			Doc: "Receipts of a block that are asked for one by one where no provider has eth_getBlockReceipts; for larger blocks the check is skipped.",
		}, 500),
	}
	r.Relate(func(number func(string) float64) error {
		if number("validation.witnesses") < number("validation.quorum") {
			return errors.New("fewer witnesses than the quorum can never agree")
		}
		return nil
	}, "validation.witnesses", "validation.quorum")
	return s
}
