package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Shape is how the rate of a load moves. A pattern's Rate is the highest rate; all
// shapes stay at or below it.
type Shape string

// The shapes.
const (
	Constant Shape = "constant" // the rate, throughout
	Ramp     Shape = "ramp"     // in a line from a tenth of the rate to the rate
	Spike    Shape = "spike"    // a fifth of the rate, and the rate for the middle fifth of the time
	Wave     Shape = "wave"     // between a third of the rate and the rate, once a period
	Burst    Shape = "burst"    // the rate for the first fifth of each period, then nothing
)

// Shapes are all of them.
func Shapes() []string {
	return []string{string(Constant), string(Ramp), string(Spike), string(Wave), string(Burst)}
}

const (
	rampFrom   = 0.1
	spikeBase  = 0.2
	spikeBegin = 0.4 // shares of the duration
	spikeEnd   = 0.6
	waveLow    = 1.0 / 3
	burstShare = 0.2
	// periods is how many periods a run has unless its period is given.
	periods = 4
)

// Pattern says when requests are due.
type Pattern struct {
	Shape Shape
	Rate  float64 // requests a second, at most
	// Duration is how long new requests fall due; 0 is until the end of the context,
	// which ramp and spike do not know.
	Duration time.Duration
	// Period is that of waves and bursts; 0 takes a quarter of the duration.
	Period time.Duration
	// Poisson makes the arrivals independent of each other, as those of many clients
	// are, instead of evenly spaced.
	Poisson bool
}

// Bounds of a pattern.
const (
	maxRate     = 1_000_000
	maxDuration = 30 * 24 * time.Hour
	endless     = 100 * 365 * 24 * time.Hour
)

// withDefaults checks the pattern and fills in what was left out.
func (p Pattern) withDefaults() (Pattern, error) {
	switch {
	case !slices.Contains(Shapes(), string(p.Shape)):
		return p, fmt.Errorf("there is no pattern %.20q: it is one of %s", p.Shape, strings.Join(Shapes(), ", "))
	case !(p.Rate > 0) || p.Rate > maxRate:
		return p, fmt.Errorf("the rate must be above 0 and at most %d requests a second", maxRate)
	case p.Duration < 0 || p.Duration > maxDuration:
		return p, fmt.Errorf("the duration must be above 0 and at most %s", maxDuration)
	case p.Period < 0 || p.Period > 0 && p.Period < time.Millisecond:
		return p, fmt.Errorf("the period must be at least 1ms")
	case p.Duration == 0 && (p.Shape == Ramp || p.Shape == Spike):
		return p, fmt.Errorf("a %s needs a duration", p.Shape)
	}
	if p.Period == 0 {
		if p.Period = p.Duration / periods; p.Period <= 0 {
			p.Period = time.Minute
		}
	}
	if p.Duration == 0 {
		p.Duration = endless
	}
	return p, nil
}

// rate returns the rate, in requests a second, a span after the begin.
func (p Pattern) rate(at time.Duration) float64 {
	share := float64(at) / float64(p.Duration)
	switch p.Shape {
	case Ramp:
		return p.Rate * (rampFrom + (1-rampFrom)*share)
	case Spike:
		if share >= spikeBegin && share < spikeEnd {
			return p.Rate
		}
		return p.Rate * spikeBase
	case Wave:
		middle, swing := (1+waveLow)/2, (1-waveLow)/2
		return p.Rate * (middle + swing*math.Sin(2*math.Pi*at.Seconds()/p.Period.Seconds()))
	case Burst:
		if _, phase := math.Modf(at.Seconds() / p.Period.Seconds()); phase >= burstShare {
			return 0
		}
	}
	return p.Rate
}

// due returns how many requests are due a span after the begin: the integral of
// rate.
func (p Pattern) due(at time.Duration) float64 {
	t, length := at.Seconds(), p.Duration.Seconds()
	switch p.Shape {
	case Ramp:
		return p.Rate * (rampFrom*t + (1-rampFrom)*t*t/(2*length))
	case Spike:
		inside := min(max(t-spikeBegin*length, 0), (spikeEnd-spikeBegin)*length)
		return p.Rate * (inside + spikeBase*(t-inside))
	case Wave:
		middle, swing, period := (1+waveLow)/2, (1-waveLow)/2, p.Period.Seconds()
		return p.Rate * (middle*t + swing*period/(2*math.Pi)*(1-math.Cos(2*math.Pi*t/period)))
	case Burst:
		whole, phase := math.Modf(t / p.Period.Seconds())
		return p.Rate * p.Period.Seconds() * (whole*burstShare + min(phase, burstShare))
	}
	return p.Rate * t
}

// arrivals hands out the due times of a pattern, in order, as spans after its begin.
// One goroutine may use it at a time.
type arrivals struct {
	pattern Pattern
	random  *rand.Rand // nil for evenly spaced ones
	total   float64    // of the whole pattern
	count   float64    // expected arrivals up to the next one
	last    time.Duration
}

func newArrivals(p Pattern, random *rand.Rand) *arrivals {
	a := &arrivals{pattern: p, total: p.due(p.Duration)}
	if p.Poisson {
		a.random = random
		a.count = random.ExpFloat64()
	}
	return a
}

// next returns when the next request is due, or false after the last. A Poisson
// process of any rate is one of rate 1 in the time that the integral of the rate
// makes (the time-rescaling theorem).
func (a *arrivals) next() (time.Duration, bool) {
	if a.count >= a.total {
		return 0, false
	}
	a.last = a.invert(a.count)
	if a.random != nil {
		a.count += a.random.ExpFloat64()
	} else {
		a.count++
	}
	return a.last, true
}

// invert returns the earliest moment at which so many are due, to the nanosecond.
func (a *arrivals) invert(count float64) time.Duration {
	low, step := a.last, time.Millisecond
	high := low
	for high < a.pattern.Duration && a.pattern.due(high) < count {
		low, high = high, min(high+step, a.pattern.Duration)
		step *= 2
	}
	for low < high {
		if middle := low + (high-low)/2; a.pattern.due(middle) < count {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
