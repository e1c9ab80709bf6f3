package latency_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"github.com/bizra/bizra-top/node/latency"
)

func written(t *testing.T, c prometheus.Collector) *dto.Histogram {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	h := families[0].Metric[0].Histogram
	h.CreatedTimestamp = nil
	return h
}

// options are those of client_golang's histogram that has the same buckets.
var options = prometheus.HistogramOpts{
	Name: "x_seconds", Help: "x",
	Buckets:                     []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	NativeHistogramBucketFactor: 1.022,
}

// What is exported is what client_golang's own histogram of the same options
// exports, sum apart, which is added up in another order.
func TestHistogramIsThatOfPrometheus(t *testing.T) {
	ours := latency.NewHistogram("x_seconds", "x")
	theirs := prometheus.NewHistogram(options)
	observe := func(d time.Duration) {
		ours.Observe(d)
		theirs.Observe(d.Seconds())
	}
	for _, d := range []time.Duration{0, 1, 2, 3, 100 * time.Microsecond, 250 * time.Microsecond, time.Millisecond, time.Second,
		2 * time.Second, 500 * time.Millisecond, 30 * time.Second, time.Minute, time.Hour} {
		observe(d)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		observe(time.Duration(50_000 * (1 + random.ExpFloat64()*random.ExpFloat64()*100)))
	}
	got, want := written(t, ours), written(t, theirs)
	if diff := got.GetSampleSum() - want.GetSampleSum(); diff > 1e-6 || diff < -1e-6 {
		t.Errorf("sum %f, want %f", got.GetSampleSum(), want.GetSampleSum())
	}
	got.SampleSum, want.SampleSum = nil, nil
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestHistogramCountsEverything(t *testing.T) {
	h := latency.NewHistogram("x_seconds", "x")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 5000 {
				h.Observe(time.Duration(i*n) * time.Microsecond)
			}
		})
	}
	h.Observe(1<<63 - 1) // longer than the longest bucket
	h.Observe(-1)
	wg.Wait()
	if n := written(t, h).GetSampleCount(); n != 40_002 {
		t.Errorf("%d observations, want 40002", n)
	}
}

func TestEachSetOfLabelValuesHasItsOwnHistogram(t *testing.T) {
	v := latency.NewVec("x_seconds", "x", "a", "b")
	v.With("1", "2").Observe(time.Second)
	v.With("1", "2").Observe(time.Second)
	v.With("12", "").Observe(time.Second)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(v)
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 2 {
		t.Fatal(families, err)
	}
	counts := map[string]uint64{}
	for _, m := range families[0].Metric {
		counts[m.Label[0].GetName()+m.Label[0].GetValue()+m.Label[1].GetName()+m.Label[1].GetValue()] = m.Histogram.GetSampleCount()
	}
	if len(counts) != 2 || counts["a1b2"] != 2 || counts["a12b"] != 1 {
		t.Error(counts)
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := latency.NewHistogram("x_seconds", "x")
	d := 137 * time.Microsecond
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			h.Observe(d)
		}
	})
	p := prometheus.NewHistogram(options)
	b.Run("client_golang", func(b *testing.B) {
		for b.Loop() {
			p.Observe(d.Seconds())
		}
	})
}

// What a scrape costs, by a histogram in use.
func BenchmarkWrite(b *testing.B) {
	ours, theirs := latency.NewHistogram("x_seconds", "x"), prometheus.NewHistogram(options)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		d := time.Duration(50_000 * (1 + random.ExpFloat64()*random.ExpFloat64()*100))
		ours.Observe(d)
		theirs.Observe(d.Seconds())
	}
	for name, c := range map[string]prometheus.Collector{"ours": ours, "client_golang": theirs} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			metrics := make(chan prometheus.Metric, 1)
			for b.Loop() {
				c.Collect(metrics)
				if err := (<-metrics).Write(new(dto.Metric)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
