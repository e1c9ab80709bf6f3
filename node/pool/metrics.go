package pool

import "github.com/prometheus/client_golang/prometheus"

var (
	descOpen = prometheus.NewDesc("bizra_db_pool_connections",
		"Connections to PostgreSQL that are open, by state: idle, acquired, constructing.", []string{"state"}, nil)
	descOpened = prometheus.NewDesc("bizra_db_pool_connections_opened_total",
		"Connections opened to PostgreSQL.", nil, nil)
	descExpired = prometheus.NewDesc("bizra_db_pool_connections_expired_total",
		"Connections to PostgreSQL closed because of their age, by what was too long: idle, lifetime.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (p *Postgres) Describe(ch chan<- *prometheus.Desc) {
	ch <- descOpen
	ch <- descOpened
	ch <- descExpired
}

// Collect implements prometheus.Collector.
func (p *Postgres) Collect(ch chan<- prometheus.Metric) {
	s := p.pool.Stat()
	for state, n := range map[string]int32{"idle": s.IdleConns(), "acquired": s.AcquiredConns(), "constructing": s.ConstructingConns()} {
		ch <- prometheus.MustNewConstMetric(descOpen, prometheus.GaugeValue, float64(n), state)
	}
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	counter(descOpened, s.NewConnsCount())
	counter(descExpired, s.MaxIdleDestroyCount(), "idle")
	counter(descExpired, s.MaxLifetimeDestroyCount(), "lifetime")
}
