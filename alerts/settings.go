package alerts

import (
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the tunables of alerting. Thresholds have no handle: the rules
// read them as the metric bizra_setting.
type Settings struct {
	EvaluateEvery *settings.Value[time.Duration]
	Files         *settings.Value[[]string]
}

// Declare declares the thresholds of the shipped rules and how rules are run.
func Declare(r *settings.Registry) Settings {
	ratio := func(name, doc string, def float64) {
		settings.Ratio(r, settings.Spec{Key: "alerts." + name + ".threshold", Min: 0, Max: 1, Step: 0.01, Doc: doc}, def)
	}
	count := func(name, unit, doc string, def int) {
		settings.Int(r, settings.Spec{Key: "alerts." + name + ".threshold", Unit: unit, Min: 0, Max: 1_000_000, Step: 1, Doc: doc}, def)
	}
	ratio("api_errors", "Alert when more than this share of requests fails.", 0.05)
	settings.Duration(r, settings.Spec{Key: "alerts.api_latency.threshold", Min: 0.001, Max: 120, Step: 0.1,
		Doc: "Alert when the p99 latency of requests is above this."}, time.Second)
	ratio("pool_saturation", "Alert when more than this share of the database pool is in use.", 0.85)
	count("pool_waiting", "callers", "Alert when more callers than this wait for a database connection.", 5)
	ratio("cache_hit_ratio", "Alert when less than this share of reads is answered from memory.", 0.5)
	settings.Float(r, settings.Spec{Key: "alerts.cache_l2_errors.threshold", Unit: "errors/s", Min: 0, Max: 1_000_000, Step: 0.5,
		Doc: "Alert when Redis fails more often than this each second."}, 1)
	ratio("provider_failures", "Alert when a provider fails more than this share of its calls.", 0.2)
	count("provider_lag", "blocks", "Alert when a provider is further behind than this.", 5)
	count("ledger_outbox", "verdicts", "Alert when more verdicts than this wait for PostgreSQL.", 0)
	return Settings{
		EvaluateEvery: settings.Duration(r, settings.Spec{Key: "alerts.evaluate_every", Min: 0.5, Max: 300, Restart: true,
			Doc: "How often alert rules are evaluated."}, time.Second),
		Files: settings.List(r, settings.Spec{Key: "alerts.rule_files", Restart: true,
			Doc: "Further Prometheus rule files."}, nil),
	}
}
