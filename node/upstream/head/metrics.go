package head

import "github.com/prometheus/client_golang/prometheus"

type meter struct {
	reorgs, finalReorgs prometheus.Counter
	depth               prometheus.Histogram
}

func newMeter() meter {
	return meter{
		reorgs: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_upstream_reorgs_total",
			Help: "Reorganisations of the chain that were seen."}),
		finalReorgs: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_upstream_final_reorgs_total",
			Help: "Reorganisations that replaced a block which was taken to be final."}),
		depth: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bizra_upstream_reorg_depth_blocks",
			Help: "Blocks that a reorganisation replaced.", Buckets: []float64{1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256, 512}}),
	}
}

func (m meter) collectors(t *Tracker) []prometheus.Collector {
	gauge := func(name, help string, of func(*Moment) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if now := t.Now(); now != nil {
				return of(now)
			}
			return 0
		})
	}
	return []prometheus.Collector{m.reorgs, m.finalReorgs, m.depth,
		gauge("bizra_upstream_trusted_head_block", "Number of the trusted head: the newest block that a quorum of providers agree on.", func(m *Moment) float64 { return float64(m.Number) }),
		gauge("bizra_upstream_final_block", "Number of the newest block that is final.", func(m *Moment) float64 { return float64(m.Final.Number) }),
		gauge("bizra_upstream_head_votes", "Providers that named the trusted head when they were last counted.", func(m *Moment) float64 { return float64(m.Votes) }),
		gauge("bizra_upstream_head_voters", "Providers that had a vote on the head when they were last counted.", func(m *Moment) float64 { return float64(m.Voters) }),
		gauge("bizra_upstream_head_single", "1 while the head is one provider's word, since no other can be asked.", func(m *Moment) float64 {
			if m.Trust == Single {
				return 1
			}
			return 0
		}),
	}
}
