package latency

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Histogram is a histogram of time for hot paths: the exposition is that of
// client_golang's histogram with the same buckets, classic and native, but an
// observation is two atomic additions. Its methods may be called from any
// goroutine.
type Histogram struct {
	desc    *prometheus.Desc
	labels  []string // values
	created time.Time
	sum     atomic.Int64 // nanoseconds
	zero    atomic.Uint64
	// counts has two places a bucket: up to the classic bound that lies within
	// the bucket, and beyond it.
	counts [2 * buckets]atomic.Uint64
}

// NewHistogram returns a histogram to register.
func NewHistogram(name, help string) *Histogram {
	return &Histogram{desc: prometheus.NewDesc(name, help, nil, nil), created: time.Now()}
}

// Observe counts d; what is below zero counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	if d <= 0 {
		h.zero.Add(1)
		return
	}
	h.counts[place(d)].Add(1)
	h.sum.Add(int64(d))
}

// bounds are the upper bounds of the buckets within an octave, as fractions that
// math.Frexp returns; split holds, for each bucket, the classic bound within it.
var bounds, split = func() (b [perOctave]float64, s [buckets]float64) {
	for i := range b {
		b[i] = math.Exp2(float64(i)/perOctave - 1)
	}
	for i := range s {
		s[i] = math.Inf(1)
	}
	for _, bound := range classic {
		s[bucket(bound, &b)] = bound
	}
	return b, s
}()

// place returns where in counts a time above zero is counted.
func place(d time.Duration) int {
	seconds := float64(d) / 1e9
	i := bucket(seconds, &bounds)
	if seconds > split[i] {
		return 2*i + 1
	}
	return 2 * i
}

// bucket returns the index of the bucket that holds a number of seconds above
// zero, by the rule of Prometheus: the upper bound belongs to the bucket.
func bucket(seconds float64, bounds *[perOctave]float64) int {
	bits := math.Float64bits(seconds)
	exp := int(bits>>52) - 1022 // as math.Frexp: 0.5 <= frac < 1
	frac := math.Float64frombits(bits&^(0x7ff<<52) | 1022<<52)
	// The first bits of the fraction say in which linear step it lies, and
	// 2^x <= 1+x below one: the bucket is that one or up to three above.
	i := int(bits >> (52 - schema) & (perOctave - 1))
	for i < perOctave && frac > bounds[i] {
		i++
	}
	return min(max((exp-1-lowestExp)*perOctave+i, 0), buckets-1)
}

// Describe implements prometheus.Collector.
func (h *Histogram) Describe(out chan<- *prometheus.Desc) { out <- h.desc }

// Collect implements prometheus.Collector.
func (h *Histogram) Collect(out chan<- prometheus.Metric) { out <- snapshot{h} }

// snapshot writes a histogram as it is when it is written.
type snapshot struct{ *Histogram }

func (s snapshot) Desc() *prometheus.Desc { return s.desc }

func (s snapshot) Write(out *dto.Metric) error {
	zero := s.zero.Load()
	total := zero
	native := map[int]int64{}
	cumulative := make([]*dto.Bucket, 0, len(classic))
	for i := range buckets {
		for half := range 2 {
			if n := s.counts[2*i+half].Load(); n > 0 {
				native[i+lowestExp*perOctave] += int64(n)
				total += n
			}
			if bound := split[i]; half == 0 && !math.IsInf(bound, 1) {
				count := total
				cumulative = append(cumulative, &dto.Bucket{UpperBound: &bound, CumulativeCount: &count})
			}
		}
	}
	m, err := prometheus.NewConstNativeHistogram(s.desc, total, time.Duration(s.sum.Load()).Seconds(), native, nil, zero,
		schema, prometheus.DefNativeHistogramZeroThreshold, s.created, s.labels...)
	if err != nil {
		return err
	}
	if err := m.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = cumulative
	return nil
}
