// Package latency measures time, everywhere alike, so that every part's quantiles
// have the same error and can be laid over each other.
package latency

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// The buckets grow by the 32nd root of two, schema 5 of Prometheus's native
// histograms. Whatever lies in a bucket, and wherever in it a quantile is put, the
// error is at most 2.2 %. They reach from a nanosecond, which is above 2^-30 s, to
// 2^14 s, 4.5 hours; a longer time counts as that.
const (
	schema     = 5
	perOctave  = 1 << schema
	lowestExp  = -30
	highestExp = 14
	buckets    = (highestExp - lowestExp + 1) * perOctave
)

// classic are the bounds for scrapers that read no native histograms.
var classic = [...]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// Vec is a histogram of time with labels. Its methods may be called from any
// goroutine.
type Vec struct {
	desc    *prometheus.Desc
	mu      sync.RWMutex
	members map[string]*Histogram // by label values
}

// NewVec returns a histogram with labels to register.
func NewVec(name, help string, labels ...string) *Vec {
	return &Vec{desc: prometheus.NewDesc(name, help, labels, nil), members: map[string]*Histogram{}}
}

// With returns the histogram of label values, one for each label; the first call
// with them makes it. Each takes 23 KB and is never forgotten, so values must be
// bounded; hot paths keep what this returns.
func (v *Vec) With(values ...string) *Histogram {
	key := strings.Join(values, "\xff")
	v.mu.RLock()
	h := v.members[key]
	v.mu.RUnlock()
	if h != nil {
		return h
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if h = v.members[key]; h == nil {
		h = newHistogram(v.desc, values)
		v.members[key] = h
	}
	return h
}

// Describe implements prometheus.Collector.
func (v *Vec) Describe(out chan<- *prometheus.Desc) { out <- v.desc }

// Collect implements prometheus.Collector.
func (v *Vec) Collect(out chan<- prometheus.Metric) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, h := range v.members {
		out <- snapshot{h}
	}
}
