package cache

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/latency"
)

// metrics counts on the hot path with plain atomics and is read at scrape time.
type metrics struct {
	counters  [L2 + 1][classes]counter // of L1 and L2
	coalesced prometheus.Counter
	loadsShed prometheus.Counter
	refreshes prometheus.Counter
	stale     prometheus.Counter
	orphaned  prometheus.Counter
	refused   prometheus.Counter
	reads     *latency.Vec
	took      [L2 + 1][classes]*latency.Histogram // of reads
	load      *latency.Histogram
	l2Latency *latency.Histogram
	l2Errors  *prometheus.CounterVec
	l2Dropped prometheus.Counter
	l2Raw     prometheus.Counter
	l2Written prometheus.Counter
	evictions *prometheus.CounterVec
}

// counter counts one tier and class. Entries, bytes and evictions are L1's.
type counter struct {
	hits, misses, evictions atomic.Uint64
	entries, bytes          atomic.Int64
}

// Why an entry left L1.
const (
	causeSize     = "size"
	causeExpired  = "expired"
	causeFlushed  = "flushed"
	causeReplaced = "replaced"
)

// What was wrong with Redis: the call, or what it returned.
const (
	l2Call     = "call"
	l2Corrupt  = "corrupt"
	l2Unsigned = "unsigned" // nobody known has signed it, and it does not prove itself
	l2Refused  = "refused"  // a write that Redis did not take
)

func newMetrics() *metrics {
	count := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		coalesced: count("bizra_cache_coalesced_total", "Reads that shared the load of another."),
		loadsShed: count("bizra_cache_loads_shed_total", "Loads refused because cache.max_loads were under way."),
		refreshes: count("bizra_cache_refreshes_total", "Entries loaded anew ahead of the end of their time, because they were read."),
		stale:     count("bizra_cache_stale_served_total", "Immutable answers served past their time because they could not be had anew."),
		orphaned:  count("bizra_cache_orphaned_total", "Entries found and not used because the block they rest on was replaced."),
		refused:   count("bizra_cache_refused_total", "Bodies too large a share of the bound to keep in L1."),
		reads: latency.NewVec("bizra_cache_read_seconds",
			"Time of reads, by where the answer came from and class; of those answered by L1, one in 16.", "tier", "class"),
		load:      latency.NewHistogram("bizra_cache_load_seconds", "Time of loads from the origin."),
		l2Latency: latency.NewHistogram("bizra_cache_l2_seconds", "Time of Redis calls."),
		l2Errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_cache_l2_errors_total",
			Help: "Redis calls and values that were counted as a miss, by kind: call, corrupt, unsigned, refused."}, []string{"kind"}),
		l2Dropped: count("bizra_cache_l2_dropped_total", "Values not written to Redis because the queue was full."),
		l2Raw:     count("bizra_cache_l2_uncompressed_bytes_total", "Bytes of the bodies written to Redis, before they were compressed."),
		l2Written: count("bizra_cache_l2_compressed_bytes_total",
			"Bytes of the bodies written to Redis, as they were written: compressed where they are large enough."),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_cache_evictions_total",
			Help: "Entries that left L1, by cause: size, expired, flushed, replaced."}, []string{"cause"}),
	}
	// Rates need the series before the first event.
	for _, cause := range []string{causeSize, causeExpired, causeFlushed, causeReplaced} {
		m.evictions.WithLabelValues(cause)
	}
	for _, kind := range []string{l2Call, l2Corrupt, l2Unsigned, l2Refused} {
		m.l2Errors.WithLabelValues(kind)
	}
	for tier := range m.took {
		for _, class := range Classes {
			m.took[tier][class] = m.reads.With(Tier(tier).String(), class.String())
		}
	}
	return m
}

// sampled is how many hits of L1 are counted for one that is timed: timing all of
// them would cost as much as a hit.
const sampled = 16

// hit counts a read that began at a time and has its answer.
func (m *metrics) hit(t Tier, c Class, began time.Time) {
	if n := m.counters[t][c].hits.Add(1); t != L1 || n%sampled == 0 {
		m.took[t][c].Observe(time.Since(began))
	}
}

func (m *metrics) miss(t Tier, c Class) { m.counters[t][c].misses.Add(1) }

// kept counts an entry in.
func (m *metrics) kept(e *entry) {
	n, size := &m.counters[L1][e.class], e.size()
	e.counted.Store(size)
	n.entries.Add(1)
	n.bytes.Add(size)
}

// reweighed counts what was added to an entry. L1 reports it as replaced, by itself.
func (m *metrics) reweighed(e *entry) {
	size := e.size()
	m.counters[L1][e.class].bytes.Add(size - e.counted.Swap(size))
	e.reweighing.Store(true)
}

// left counts an entry out.
func (m *metrics) left(e *entry, cause otter.DeletionCause) {
	if cause == otter.CauseReplacement && e.reweighing.CompareAndSwap(true, false) {
		return
	}
	n := &m.counters[L1][e.class]
	n.entries.Add(-1)
	n.bytes.Add(-e.counted.Load())
	if cause.IsEviction() {
		n.evictions.Add(1)
	}
	name := causeReplaced
	switch cause {
	case otter.CauseOverflow:
		name = causeSize
	case otter.CauseExpiration:
		name = causeExpired
	case otter.CauseInvalidation:
		name = causeFlushed
	}
	m.evictions.WithLabelValues(name).Inc()
}

var (
	descHits = prometheus.NewDesc("bizra_cache_hits_total",
		"Reads answered, by cache tier and class.", []string{"tier", "class"}, nil)
	descMisses = prometheus.NewDesc("bizra_cache_misses_total",
		"Reads not answered, by cache tier and class.", []string{"tier", "class"}, nil)
	descEntries = prometheus.NewDesc("bizra_cache_entries",
		"Entries held, by cache tier.", []string{"tier"}, nil)
	descClassEntries = prometheus.NewDesc("bizra_cache_class_entries",
		"Entries held in L1, by class.", []string{"class"}, nil)
	descClassBytes = prometheus.NewDesc("bizra_cache_class_bytes",
		"Bytes held in L1, by class.", []string{"class"}, nil)
	descClassEvictions = prometheus.NewDesc("bizra_cache_class_evictions_total",
		"Entries that L1 gave up for want of room or time, by class.", []string{"class"}, nil)
	descBytes = prometheus.NewDesc("bizra_cache_bytes",
		"Bytes held, by cache tier.", []string{"tier"}, nil)
)

type tiers struct{ cache *Cache }

func (m *metrics) collectors(c *Cache) []prometheus.Collector {
	return []prometheus.Collector{tiers{c}, m.coalesced, m.loadsShed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_cache_loads", Help: "Loads under way."}, func() float64 { return float64(c.flights.underWay()) }),
		m.refreshes, m.stale, m.orphaned, m.refused, m.reads, m.load, m.l2Latency, m.l2Errors, m.l2Dropped, m.l2Raw, m.l2Written, m.evictions}
}

func (t tiers) Describe(ch chan<- *prometheus.Desc) {
	ch <- descHits
	ch <- descMisses
	ch <- descEntries
	ch <- descBytes
	ch <- descClassEntries
	ch <- descClassBytes
	ch <- descClassEvictions
}

func (t tiers) Collect(ch chan<- prometheus.Metric) {
	for _, s := range t.cache.Stats() {
		ch <- prometheus.MustNewConstMetric(descHits, prometheus.CounterValue, float64(s.Hits), s.Tier.String(), s.Class.String())
		ch <- prometheus.MustNewConstMetric(descMisses, prometheus.CounterValue, float64(s.Misses), s.Tier.String(), s.Class.String())
		if s.Tier == L1 {
			ch <- prometheus.MustNewConstMetric(descClassEntries, prometheus.GaugeValue, float64(s.Entries), s.Class.String())
			ch <- prometheus.MustNewConstMetric(descClassBytes, prometheus.GaugeValue, float64(s.Bytes), s.Class.String())
			ch <- prometheus.MustNewConstMetric(descClassEvictions, prometheus.CounterValue, float64(s.Evictions), s.Class.String())
		}
	}
	ch <- prometheus.MustNewConstMetric(descEntries, prometheus.GaugeValue, float64(t.cache.Entries()), L1.String())
	ch <- prometheus.MustNewConstMetric(descBytes, prometheus.GaugeValue, float64(t.cache.Bytes()), L1.String())
}

// Stat counts the reads of one tier and class since the start.
type Stat struct {
	Tier         Tier
	Class        Class
	Hits, Misses uint64

	// Of L1 only. Entries leave these counts a moment after they left the cache.
	Entries, Bytes int64
	Evictions      uint64
}

// Stats returns the counts of each tier that is configured, and each class.
func (c *Cache) Stats() []Stat {
	var out []Stat
	for _, t := range []Tier{L1, L2} {
		if t == L2 && c.l2 == nil {
			continue
		}
		for _, class := range Classes {
			n := &c.metrics.counters[t][class]
			out = append(out, Stat{t, class, n.hits.Load(), n.misses.Load(),
				max(n.entries.Load(), 0), max(n.bytes.Load(), 0), n.evictions.Load()})
		}
	}
	return out
}
