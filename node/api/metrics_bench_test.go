package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/settings"
)

// BenchmarkRequestMetrics is what a request of the gateway pays for its metrics
// beside those of the cache: in flight, outcome by method, count and time by route,
// with both readings of the clock.
func BenchmarkRequestMetrics(b *testing.B) {
	s := &Server{settings: Declare(settings.NewRegistry()), metrics: newMetrics(), opened: time.Now()}
	s.rpcMeter = s.metrics.route(rpcRoute)
	m := newGateway(s.settings, Parts{}, s.metrics, s.tell).methods["eth_getBlockByNumber"]
	request := func() {
		began := s.clock()
		v := visit{server: s}
		if v.enter() != "" {
			b.Error("shed")
		}
		m.success.Inc()
		v.leave()
		s.rpcMeter.count(http.StatusOK, s.clock()-began)
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			request()
		}
	})
	b.Run("contended", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				request()
			}
		})
	})
}
