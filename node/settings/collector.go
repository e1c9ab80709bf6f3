package settings

import "github.com/prometheus/client_golang/prometheus"

var descSetting = prometheus.NewDesc("bizra_setting",
	"Value in force of each numeric setting: seconds, bytes or the plain number; 1 or 0 for a switch.", []string{"key"}, nil)

var descRevision = prometheus.NewDesc("bizra_setting_revision",
	"Grows with every load or change of settings.", nil, nil)

// Collector exports every numeric setting as bizra_setting, so that alert rules
// compare with thresholds and charts show changes.
func Collector(r *Registry) prometheus.Collector { return collector{r} }

type collector struct{ registry *Registry }

func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descSetting
	ch <- descRevision
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(descRevision, prometheus.GaugeValue, float64(c.registry.Revision()))
	for _, s := range c.registry.All() {
		if s.Numeric {
			ch <- prometheus.MustNewConstMetric(descSetting, prometheus.GaugeValue, s.Number, s.Key)
		}
	}
}
