package alerts

import (
	"time"

	"github.com/bizra/bizra-top/alerts/delivery"
	"github.com/bizra/bizra-top/node/settings"
)

// Settings are the tunables of alerting. Thresholds have no handle: the rules
// read them as the metric bizra_setting.
type Settings struct {
	EvaluateEvery *settings.Value[time.Duration]
	Files         *settings.Value[[]string]
	Delivery      delivery.Settings
}

// usualEvery is the default of alerts.evaluate_every, which the intervals in the shipped
// files are made for.
const usualEvery = 5 * time.Second

// Declare declares the thresholds of the shipped rules and how rules are run.
func Declare(r *settings.Registry) Settings {
	threshold := func(name string, max, step float64, unit, doc string) settings.Spec {
		return settings.Spec{Key: "alerts." + name + ".threshold", Unit: unit, Min: 0, Max: max, Step: step, Doc: doc}
	}
	ratio := func(name, doc string, def float64) { settings.Ratio(r, threshold(name, 1, 0.01, "", doc), def) }
	count := func(name, unit, doc string, def int) { settings.Int(r, threshold(name, 1_000_000, 1, unit, doc), def) }
	rate := func(name, unit, doc string, def float64) {
		settings.Float(r, threshold(name, 1_000_000, 0.5, unit, doc), def)
	}
	wait := func(name, doc string, def time.Duration) {
		s := threshold(name, 120, 0.1, "", doc)
		s.Min = 0.001
		settings.Duration(r, s, def)
	}
	objective := func(name, doc string, def float64) {
		settings.Ratio(r, settings.Spec{Key: "alerts." + name + ".objective", Min: 0, Max: 1, Step: 0.001, Doc: doc}, def)
	}

	ratio("api_errors", "Alert when more than this share of requests fails.", 0.05)
	wait("api_latency", "Alert when the p99 latency of requests is above this.", time.Second)
	rate("api_shed", "requests/s", "Alert when more requests than this are refused each second.", 0)
	ratio("api_in_flight", "Alert when more than this share of api.max_in_flight is under way.", 0.8)
	objective("availability", "Share of requests that shall not fail; alerts fire when the rest is used up too fast.", 0.999)
	objective("latency", "Share of requests that shall be quick; alerts fire when the rest is used up too fast.", 0.99)
	wait("latency_objective", "A request that takes longer than this is not quick.", time.Second)

	ratio("pool_saturation", "Alert when more than this share of the database pool is in use.", 0.85)
	count("pool_waiting", "callers", "Alert when more callers than this wait for a database connection.", 5)
	rate("pool_timeouts", "callers/s", "Alert when more callers than this give up waiting for a connection each second.", 0)
	wait("pool_acquire", "Alert when the p99 wait for a database connection is above this.", 500*time.Millisecond)
	wait("pool_query", "Alert when the p99 of database queries is above this.", time.Second)

	ratio("cache_hit_ratio", "Alert when less than this share of reads is answered from memory.", 0.5)
	rate("cache_l2_errors", "errors/s", "Alert when Redis fails more often than this each second.", 1)
	wait("cache_l2_latency", "Alert when the p99 of Redis calls is above this.", 50*time.Millisecond)
	rate("cache_l2_dropped", "values/s", "Alert when more values than this are not written to Redis each second.", 0)
	rate("cache_stale", "answers/s", "Alert when more answers than this are served past their time each second.", 0)
	count("cache_warm_failed", "entries", "Alert when more entries than this could not be loaded ahead.", 0)
	rate("cache_evictions", "entries/s", "Alert when more entries than this leave L1 for want of room each second.", 50)

	count("breaker_flaps", "times", "Alert when a circuit breaker opens more often than this in ten minutes.", 5)
	rate("breaker_rejected", "calls/s", "Alert when a circuit breaker turns more calls than this away each second.", 10)
	ratio("breaker_slow", "Alert when more than this share of the calls behind a circuit breaker is slow.", 0.5)

	count("providers_left", "providers", "Alert when fewer of the providers than this can be asked.", 2)
	ratio("provider_failures", "Alert when a provider fails more than this share of its calls.", 0.2)
	count("provider_lag", "blocks", "Alert when a provider is further behind than this.", 5)
	wait("provider_latency", "Alert when the p99 of a provider is above this.", 2*time.Second)
	rate("retry_budget", "calls/s", "Alert when more calls than this are not repeated each second because the retry budget is spent.", 0)
	count("head_changes", "times", "Alert when the trusted head moves fewer times than this in five minutes.", 1)
	count("reorg_depth", "blocks", "Alert when a reorganisation replaces more blocks than this.", 4)

	count("provider_lies", "answers", "Alert when a provider gave more answers proved false than this in five minutes.", 0)
	ratio("verdict_errors", "Alert when more than this share of verdicts cannot be reached.", 0.05)
	ratio("verdicts_undecided", "Alert when more than this share of verdicts is undecided.", 0.2)
	wait("validation_latency", "Alert when the p99 of validations is above this.", 5*time.Second)

	count("ledger_outbox", "verdicts", "Alert when more verdicts than this wait for PostgreSQL.", 0)
	rate("ledger_outbox_growth", "verdicts/s", "Alert when the outbox grows faster than this.", 0)
	count("ledger_refused", "verdicts", "Alert when more verdicts than this could not be written in five minutes.", 0)
	count("ledger_prune_errors", "batches", "Alert when more batches than this of old verdicts could not be deleted in 15 minutes.", 0)
	count("ledger_queue", "verdicts", "Alert when more verdicts than this wait for a group commit.", 1000)
	wait("ledger_commit", "Alert when the p99 of group commits is above this.", time.Second)

	count("goroutines", "", "Alert when more goroutines than this run.", 10_000)
	ratio("memory", "Alert when live memory, which the garbage collector cannot free, is more than this share of the memory limit.", 0.9)
	ratio("gc_pause", "Alert when the garbage collector stops the process for more than this share of the time.", 0.025)
	ratio("open_files", "Alert when more than this share of the file descriptors is in use.", 0.8)
	ratio("cpu", "Alert when more than this share of the processors is in use.", 0.9)
	count("restarts", "times", "Alert when the node starts more often than this in 15 minutes.", 2)

	count("sampling_errors", "times", "Alert when samples could not be taken more often than this in a minute.", 0)
	wait("sampling_time", "Alert when taking a sample lasts longer than this.", 250*time.Millisecond)
	count("history_series", "series", "Alert when the history holds more series than this.", 20_000)
	count("delivery_failures", "attempts", "Alert when more attempts than this to send alerts out failed in five minutes.", 5)
	count("delivery_dropped", "alerts", "Alert when more alerts than this were not sent out in 15 minutes.", 0)
	return Settings{
		Delivery: delivery.Declare(r),
		EvaluateEvery: settings.Duration(r, settings.Spec{Key: "alerts.evaluate_every", Min: 0.5, Max: 300, Restart: true,
			Doc: "How often alert rules are evaluated; those of what has to last for half a minute, a third as often."}, usualEvery),
		Files: settings.List(r, settings.Spec{Key: "alerts.rule_files",
			Doc: "Further Prometheus rule files, or patterns such as /etc/bizra-top/rules/*.yaml; taken up when they change."}, nil),
	}
}
