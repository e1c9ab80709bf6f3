package load

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// SetTransport replaces the network.
func (t *Target) SetTransport(r http.RoundTripper) { t.client.Transport = r }

// Arrivals returns all due times of a pattern.
func (p Pattern) Arrivals(seed uint64) ([]time.Duration, error) {
	p, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	var out []time.Duration
	for a := newArrivals(p, rand.New(rand.NewPCG(seed, 0))); ; {
		at, ok := a.next()
		if !ok {
			return out, nil
		}
		out = append(out, at)
	}
}

// RateAt returns the rate a span after the begin.
func (p Pattern) RateAt(at time.Duration) float64 {
	p, err := p.withDefaults()
	if err != nil {
		panic(err)
	}
	return p.rate(at)
}

// Draws counts how often each of n places is drawn.
func Draws(skew float64, n, times int) []int {
	z, random, out := newSkewed(skew), rand.New(rand.NewPCG(1, 2)), make([]int, n)
	for range times {
		out[z.draw(n, random)]++
	}
	return out
}
