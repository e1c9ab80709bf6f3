package load_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bizra/bizra-top/probes/load"
)

// Whatever the pattern, between any two moments as many requests fall due as the rate
// between them adds up to, give or take one; and the rate never exceeds what was
// asked for.
func TestArrivalsFollowTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := load.Pattern{
			Shape:    load.Shape(rapid.SampledFrom(load.Shapes()).Draw(t, "shape")),
			Rate:     rapid.Float64Range(1, 5000).Draw(t, "rate"),
			Duration: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(5*time.Second)).Draw(t, "duration")),
			Period:   time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(10*time.Second)).Draw(t, "period")),
		}
		due, err := p.Arrivals(1)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.IsSorted(due) || len(due) > 0 && (due[0] < 0 || due[len(due)-1] > p.Duration) {
			t.Fatal("arrivals are out of order or outside of the run")
		}
		from := time.Duration(rapid.Int64Range(0, int64(p.Duration)).Draw(t, "from"))
		to := time.Duration(rapid.Int64Range(int64(from), int64(p.Duration)).Draw(t, "to"))
		first, _ := slices.BinarySearch(due, from)
		last, _ := slices.BinarySearch(due, to)
		// The sum of the rate by the midpoint rule: the rate jumps, so it is off by a
		// step of the rate at each jump.
		const steps = 20_000
		want, step := 0.0, (to-from).Seconds()/steps
		for i := range steps {
			rate := p.RateAt(from + time.Duration((float64(i)+0.5)*step*1e9))
			if rate < 0 || rate > p.Rate*(1+1e-9) {
				t.Fatalf("the rate is %g, asked for %g", rate, p.Rate)
			}
			want += rate * step
		}
		jumps := 2 + 2*(to-from).Seconds()/p.Period.Seconds()
		if slack := 1.01 + jumps*p.Rate*step; math.Abs(float64(last-first)-want) > slack {
			t.Fatalf("%d requests fell due from %s to %s, the rate adds up to %.2f", last-first, from, to, want)
		}
	})
}

// What each pattern looks like in tenths of its time, in shares of the highest rate.
func TestPatternsHaveTheirShape(t *testing.T) {
	for shape, want := range map[load.Shape][10]float64{
		load.Constant: {1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		load.Ramp:     {.145, .235, .325, .415, .505, .595, .685, .775, .865, .955},
		load.Spike:    {.2, .2, .2, .2, 1, 1, .2, .2, .2, .2},
		load.Wave:     {.77, .96, .96, .77, .667 - .0, .562, .374, .374, .562, .667},
		load.Burst:    {1, 1, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		p := load.Pattern{Shape: shape, Rate: 1000, Duration: 10 * time.Second, Period: 10 * time.Second}
		due, err := p.Arrivals(1)
		if err != nil {
			t.Fatal(err)
		}
		var got [10]float64
		for _, at := range due {
			got[min(int(at/time.Second), 9)] += 1.0 / 1000
		}
		if shape == load.Wave { // its tenths by the mean of a sine over each
			for i := range want {
				a, b := 2*math.Pi*float64(i)/10, 2*math.Pi*float64(i+1)/10
				want[i] = 2.0/3 + (math.Cos(a)-math.Cos(b))/(b-a)/3
			}
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 0.003 {
				t.Errorf("%s: tenth %d has %.3f of the rate, want %.3f", shape, i, got[i], want[i])
			}
		}
	}
}

// Poisson arrivals are as many, and scatter as such arrivals do: the variance of
// the count of a span is its mean, and the gaps' deviation is their mean.
func TestPoissonArrivalsScatter(t *testing.T) {
	p := load.Pattern{Shape: load.Constant, Rate: 1000, Duration: 100 * time.Second, Poisson: true}
	due, err := p.Arrivals(7)
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]float64, 1000)
	for _, at := range due {
		counts[min(int(at/(100*time.Millisecond)), 999)]++
	}
	mean, variance := float64(len(due))/1000, 0.0
	for _, c := range counts {
		variance += (c - mean) * (c - mean) / 1000
	}
	// Six deviations of either estimate.
	if math.Abs(mean-100) > 2 || math.Abs(variance-100) > 27 {
		t.Errorf("mean %.2f, variance %.2f, want 100 of each", mean, variance)
	}
}

func TestPatternsThatCannotBe(t *testing.T) {
	for name, p := range map[string]load.Pattern{
		"shape":           {Shape: "sawtooth", Rate: 1, Duration: time.Second},
		"no rate":         {Shape: load.Constant, Duration: time.Second},
		"NaN":             {Shape: load.Constant, Rate: math.NaN(), Duration: time.Second},
		"endless ramp":    {Shape: load.Ramp, Rate: 1},
		"negative":        {Shape: load.Constant, Rate: 1, Duration: -1},
		"too long":        {Shape: load.Constant, Rate: 1, Duration: 1 << 62},
		"period too fine": {Shape: load.Wave, Rate: 1, Duration: time.Second, Period: 1},
	} {
		if _, err := p.Arrivals(1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The newest subjects are asked for most, the k-th in proportion to k^-s.
func TestSkewIsZipfs(t *testing.T) {
	const times = 400_000
	for _, s := range []float64{0, 0.8, 1.2} {
		sum := 0.0
		for k := range 50 {
			sum += math.Pow(float64(k+1), -s)
		}
		for k, n := range load.Draws(s, 50, times) {
			want := times * math.Pow(float64(k+1), -s) / sum
			if math.Abs(float64(n)-want) > 6*math.Sqrt(want) {
				t.Errorf("skew %g: place %d was drawn %d times, want %.0f", s, k, n, want)
			}
		}
	}
}
