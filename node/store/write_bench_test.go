package store_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
)

// Many writers at once, whose verdicts are committed in groups.
func BenchmarkWrite(b *testing.B) {
	reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	l, err := store.OpenSQLite(b.Context(), store.Declare(reg), filepath.Join(b.TempDir(), "ledger.db"), pool.NewGate(pool.Declare(reg, 2), metrics), metrics, func(string, string) {})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	var n atomic.Int64
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Write(b.Context(), record(int(n.Add(1)))); err != nil {
				b.Error(err)
			}
		}
	})
	l.Stop()
	<-ended
	_ = l.Close()
}
