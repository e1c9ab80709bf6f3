package settings

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

var descSetting = prometheus.NewDesc("bizra_setting",
	"Value in force of each numeric setting: seconds, bytes or the plain number; 1 or 0 for a switch.", []string{"key"}, nil)

var descRevision = prometheus.NewDesc("bizra_setting_revision",
	"Grows with every load or change of settings.", nil, nil)

// Collector exports every numeric setting as bizra_setting, so that alert rules
// compare with thresholds and charts show changes.
func Collector(r *Registry) prometheus.Collector { return &collector{registry: r} }

// collector keeps its metrics until a setting changes: there are many, and they are
// asked for every second.
type collector struct {
	registry *Registry

	mu       sync.Mutex
	revision uint64
	metrics  []prometheus.Metric
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descSetting
	ch <- descRevision
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.current() {
		ch <- m
	}
}

func (c *collector) current() []prometheus.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Read before the settings: a change in between is collected again next time.
	revision := c.registry.Revision()
	if c.metrics != nil && revision == c.revision {
		return c.metrics
	}
	metrics := []prometheus.Metric{prometheus.MustNewConstMetric(descRevision, prometheus.GaugeValue, float64(revision))}
	for _, s := range c.registry.All() {
		if s.Numeric {
			metrics = append(metrics, prometheus.MustNewConstMetric(descSetting, prometheus.GaugeValue, s.Number, s.Key))
		}
	}
	c.revision, c.metrics = revision, metrics
	return metrics
}
