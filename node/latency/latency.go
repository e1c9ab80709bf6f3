// Package latency declares histograms of time, all alike, so that every part's
// quantiles have the same error and can be laid over each other.
package latency

import "github.com/prometheus/client_golang/prometheus"

// Options returns the options of a histogram of seconds. Its native buckets grow
// by at most a tenth, which puts a quantile within 5 % of the truth; the classic
// ones, from 100 us to a minute, are for scrapers that read nothing else.
func Options(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets: classic,

		NativeHistogramBucketFactor:    1.1,
		NativeHistogramMaxBucketNumber: 160,
	}
}

var classic = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
