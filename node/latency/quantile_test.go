package latency_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser/posrange"

	"github.com/bizra/bizra-top/node/latency"
)

// maxError is how far a quantile may be from the exact one.
const maxError = 0.03

// Quantiles that Prometheus's own engine takes from what is exported, against the
// exact ones of the times observed: from 200 ns to a minute, smooth, with two
// humps, and with all times at one value, wherever in its bucket that lies.
func TestQuantilesAreWithinThreePercentOfTheExactOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	around := func(median time.Duration, spread float64) func() float64 {
		return func() float64 { return float64(median) * math.Exp(spread*random.NormFloat64()) }
	}
	l1, upstream := around(2*time.Microsecond, 0.3), around(40*time.Millisecond, 0.8)
	shapes := map[string]func() float64{
		"uniform below 1 ms": func() float64 { return 200 + random.Float64()*999_800 },
		"exponential, 80 us": func() float64 { return 1000 + random.ExpFloat64()*80_000 },
		"lognormal, 35 us":   around(35*time.Microsecond, 0.5),
		"lognormal, 700 ns":  around(700*time.Nanosecond, 0.2),
		"Pareto from 100 us": func() float64 { return 100_000 * math.Pow(1-random.Float64(), -1/1.5) },
		"hits of 2 us, 8 % of 40 ms": func() float64 {
			if random.Float64() < 0.08 {
				return upstream()
			}
			return l1()
		},
	}
	for at := 300.0; at < 60e9; at *= 1.37 { // all calls alike
		shapes[fmt.Sprintf("constant %s", time.Duration(at))] = func() float64 { return at }
	}
	worst := 0.0
	for name, draw := range shapes {
		h := latency.NewHistogram("x_seconds", "x")
		times := make([]float64, 50_000)
		for i := range times {
			d := time.Duration(draw())
			h.Observe(d)
			times[i] = d.Seconds()
		}
		slices.Sort(times)
		native := float(t, h)
		for _, q := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
			got, _ := promql.HistogramQuantile(q, native, "x_seconds", posrange.PositionRange{})
			exact := times[int(math.Ceil(q*float64(len(times))))-1]
			off := math.Abs(got-exact) / exact
			worst = max(worst, off)
			if !(off <= maxError) {
				t.Errorf("%s: p%g is %.3g s, exactly %.3g s: off by %.1f %%", name, q*100, got, exact, 100*off)
			}
		}
	}
	t.Logf("%d shapes, worst error %.2f %%", len(shapes), 100*worst)
}

// float is a histogram as the query engine reads it.
func float(t *testing.T, h *latency.Histogram) *histogram.FloatHistogram {
	t.Helper()
	m := written(t, h)
	native := &histogram.Histogram{Schema: m.GetSchema(), ZeroThreshold: m.GetZeroThreshold(), ZeroCount: m.GetZeroCount(),
		Count: m.GetSampleCount(), Sum: m.GetSampleSum(), PositiveBuckets: m.PositiveDelta}
	for _, s := range m.PositiveSpan {
		native.PositiveSpans = append(native.PositiveSpans, histogram.Span{Offset: s.GetOffset(), Length: s.GetLength()})
	}
	return native.ToFloat(nil)
}
