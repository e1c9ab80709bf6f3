package promises

import (
	"context"
	"errors"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// sampleEvery is how often memory is looked at.
const sampleEvery = 100 * time.Millisecond

// Sample is the memory of this process at one moment.
type Sample struct {
	At   float64 `json:"at"` // seconds since the first
	RSS  float64 `json:"rss_bytes"`
	Heap float64 `json:"heap_bytes"` // of live objects, as the last collection found them
}

// The rule by which memory grows. The slope is Theil and Sen's, the median of the
// slopes between all pairs of samples: a collection, a peak or a step outside of the
// middle does not move it, what grows all the time does. The first part of the load is left out, in which
// caches fill. What grows by less than the floor over the rest is noise of the
// allocator.
const (
	growthSettle = 1.0 / 3
	growthShare  = 0.05
	growthFloor  = 24 << 20
	growthRule   = "growth of RSS or live heap over the last two thirds of the API's load, by the Theil-Sen slope; below 5 % and below 24 MiB count as none"
)

// growth returns by how many percent memory grew over the settled part of a run, 0
// when that is within the bounds of the rule; the greater of RSS and heap.
func growth(samples []Sample) float64 {
	samples = samples[int(float64(len(samples))*growthSettle):]
	rss := growthOf(samples, func(s Sample) float64 { return s.RSS })
	heap := growthOf(samples, func(s Sample) float64 { return s.Heap })
	return max(rss, heap)
}

func growthOf(samples []Sample, of func(Sample) float64) float64 {
	if len(samples) < 3 {
		return 0
	}
	var slopes, values []float64
	for i, a := range samples {
		values = append(values, of(a))
		for _, b := range samples[i+1:] {
			if b.At > a.At {
				slopes = append(slopes, (of(b)-of(a))/(b.At-a.At))
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	grew := median(slopes) * (samples[len(samples)-1].At - samples[0].At)
	middle := median(values)
	if middle <= 0 || grew < growthFloor || grew < growthShare*middle {
		return 0
	}
	return 100 * grew / middle
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// maxSamples bounds what is kept; a longer run is thinned to every second one.
const maxSamples = 600

// watchMemory samples until ctx ends.
func watchMemory(ctx context.Context) ([]Sample, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	began, every := time.Now(), sampleEvery
	var out []Sample
	for {
		rss, err := resident(registry)
		if err != nil {
			return out, err
		}
		out = append(out, Sample{time.Since(began).Seconds(), rss, liveHeap()})
		if len(out) >= maxSamples {
			for i := range out[:len(out)/2] {
				out[i] = out[2*i]
			}
			out, every = out[:len(out)/2], 2*every
		}
		select {
		case <-ctx.Done():
			return out, nil
		case <-time.After(every):
		}
	}
}

func resident(g prometheus.Gatherer) (float64, error) {
	families, err := g.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() == "process_resident_memory_bytes" {
			return f.Metric[0].GetGauge().GetValue(), nil
		}
	}
	return 0, errors.New("the resident memory of this process cannot be read here")
}

func liveHeap() float64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64())
}
