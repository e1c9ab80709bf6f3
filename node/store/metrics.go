package store

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/latency"
)

// metrics are what the ledger counts.
type metrics struct {
	written     *prometheus.CounterVec
	refused     prometheus.Counter
	commit      *latency.Histogram
	group       prometheus.Histogram
	pruned      prometheus.Counter
	pruneFailed prometheus.Counter
	prune       *latency.Histogram
	oldest      prometheus.Gauge
	renewed     *prometheus.CounterVec
	busy        prometheus.Counter
}

// Where verdicts are, beside the names of the databases: in the outbox, and
// shipped on from there.
const (
	inOutbox  = "outbox"
	shippedOn = "shipped"
)

func newMetrics(reg prometheus.Registerer, outbox, refused, queue func() float64) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := metrics{
		written: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_ledger_verdicts_total",
			Help: "Verdicts committed to disk, by where: sqlite, postgresql, outbox; shipped are those that went on from the outbox."}, []string{"store"}),
		refused: counter("bizra_ledger_refused_verdicts_total", "Verdicts that could not be written and were not answered."),
		commit:  latency.NewHistogram("bizra_ledger_commit_seconds", "Time of one group commit."),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bizra_ledger_group_verdicts",
			Help: "Verdicts in one group commit.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}}),
		pruned:      counter("bizra_ledger_pruned_verdicts_total", "Verdicts deleted because they were older than store.retention."),
		pruneFailed: counter("bizra_ledger_prune_errors_total", "Batches of old verdicts that could not be deleted."),
		prune:       latency.NewHistogram("bizra_ledger_prune_seconds", "Time to delete one batch of old verdicts."),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_ledger_oldest_verdict_timestamp_seconds",
			Help: "Time of the oldest verdict in the ledger as of the last look, in Unix seconds; 0 when there is none."}),
	}
	m.renewed = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_ledger_files_renewed_total",
		Help: "Times the ledger's or outbox's file was made anew, because it was damaged, which is set aside, or removed while it was in use."}, []string{"reason"})
	m.renewed.WithLabelValues(whyDamaged)
	m.renewed.WithLabelValues(whyRemoved)
	m.busy = counter("bizra_ledger_busy_queries_total", "Queries of the ledger that were refused because as many ran as may at once.")
	reg.MustRegister(m.written, m.refused, m.commit, m.group, m.pruned, m.pruneFailed, m.prune, m.oldest, m.renewed, m.busy,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_ledger_outbox_refused_verdicts",
			Help: "Verdicts that PostgreSQL refused for what they say, and that stay in the outbox."}, refused),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_ledger_outbox_verdicts",
			Help: "Verdicts on local disk that PostgreSQL does not have yet."}, outbox),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_ledger_queue_verdicts",
			Help: "Verdicts waiting for a group commit."}, queue))
	return m
}
