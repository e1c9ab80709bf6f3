package latency

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Histogram is a histogram of time for hot paths: the exposition is that of
// client_golang's histogram with the same buckets, classic and native, but an
// observation is two atomic additions. Its methods may be called from any
// goroutine.
type Histogram struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	created *timestamppb.Timestamp
	sum     atomic.Int64 // nanoseconds
	zero    atomic.Uint64
	// counts has two places a bucket: up to the classic bound that lies within
	// the bucket, and beyond it.
	counts [2 * buckets]atomic.Uint64
}

// NewHistogram returns a histogram to register.
func NewHistogram(name, help string) *Histogram {
	return newHistogram(prometheus.NewDesc(name, help, nil, nil), nil)
}

func newHistogram(d *prometheus.Desc, values []string) *Histogram {
	return &Histogram{desc: d, labels: prometheus.MakeLabelPairs(d, values), created: timestamppb.Now()}
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

// Write fills in what client_golang's own histogram would, in a handful of
// allocations: every histogram is written once a second.
func (s snapshot) Write(out *dto.Metric) error {
	var native [buckets]int64
	var cumulative struct {
		bucket [len(classic)]dto.Bucket
		count  [len(classic)]uint64
		list   [len(classic)]*dto.Bucket
	}
	of := &cumulative // one allocation for all
	zero := s.zero.Load()
	total, bound := zero, 0
	for i := range native {
		below := s.counts[2*i].Load()
		total += below
		if !math.IsInf(split[i], 1) {
			of.count[bound] = total
			of.bucket[bound].UpperBound, of.bucket[bound].CumulativeCount = &split[i], &of.count[bound]
			of.list[bound] = &of.bucket[bound]
			bound++
		}
		beyond := s.counts[2*i+1].Load()
		total += beyond
		native[i] = int64(below + beyond)
	}
	spans, deltas := sparse(&native)
	sum := time.Duration(s.sum.Load()).Seconds()
	out.Label = s.labels
	out.Histogram = &dto.Histogram{SampleCount: &total, SampleSum: &sum, ZeroCount: &zero, CreatedTimestamp: s.created,
		Schema: &nativeSchema, ZeroThreshold: &zeroThreshold, PositiveSpan: spans, PositiveDelta: deltas, Bucket: of.list[:]}
	return nil
}

// What all histograms share; nobody writes to what a collector has written.
var (
	nativeSchema  = int32(schema)
	zeroThreshold = prometheus.DefNativeHistogramZeroThreshold
)

// maxGap is how many empty buckets are written rather than a new span begun.
const maxGap = 2

// sparse returns the spans of buckets in use and the change from each to the next.
// There is always a span: it is how a native histogram is told from others.
func sparse(counts *[buckets]int64) ([]*dto.BucketSpan, []int64) {
	var first, last [buckets]int32 // of each span
	spans, length := 0, 0
	for i, n := range counts {
		switch at := int32(i); {
		case n == 0:
		case spans > 0 && at-last[spans-1] <= maxGap+1:
			length += int(at - last[spans-1])
			last[spans-1] = at
		default:
			first[spans], last[spans] = at, at
			length++
			spans++
		}
	}
	list := make([]*dto.BucketSpan, max(spans, 1))
	all := make([]dto.BucketSpan, len(list))
	numbers := make([]int32, len(list))
	lengths := make([]uint32, len(list))
	deltas := make([]int64, 0, length)
	before, next := int64(0), int32(-lowestExp*perOctave)
	for i := range list {
		list[i] = &all[i]
		all[i].Offset, all[i].Length = &numbers[i], &lengths[i]
		if spans == 0 {
			break
		}
		numbers[i], lengths[i] = first[i]-next, uint32(last[i]-first[i]+1)
		next = last[i] + 1
		for b := first[i]; b <= last[i]; b++ {
			deltas = append(deltas, counts[b]-before)
			before = counts[b]
		}
	}
	return list, deltas
}
