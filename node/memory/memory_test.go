package memory_test

import (
	"context"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bizra/bizra-top/node/memory"
)

func budget(limit int64) (*memory.Budget, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return memory.NewBudget(func() int64 { return limit }, reg), reg
}

func TestABudgetIsNotExceeded(t *testing.T) {
	b, reg := budget(100)
	if !b.Take(60) || b.Take(60) || !b.Take(40) || b.Held() != 100 {
		t.Errorf("%d are held", b.Held())
	}
	b.Release(100)
	if !b.Take(1000) || b.Take(1) { // alone, more than the bound
		t.Errorf("%d are held", b.Held())
	}
	b.Release(1000)
	if n, err := testutil.GatherAndCount(reg); err != nil || n != 2 || b.Held() != 0 {
		t.Errorf("%d metrics, %v, %d held", n, err, b.Held())
	}
}

// Clients may fill a part; the rest is for loads.
func TestClientsLeaveRoomForLoads(t *testing.T) {
	b, _ := budget(100)
	if !b.TakePart(75, memory.ClientPart) || b.TakePart(1, memory.ClientPart) || !b.Take(25) {
		t.Errorf("%d are held", b.Held())
	}
}

// What a load took is given back whole, whatever became of its parts.
func TestAShareIsGivenBackWhole(t *testing.T) {
	b, _ := budget(1000)
	s := b.Share(3)
	ctx := memory.With(context.Background(), s)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if !memory.Of(ctx).Take(10) {
				t.Error("no room")
			}
			memory.Of(ctx).Return(4)
		})
	}
	wg.Wait()
	if b.Held() != 3*10*6 {
		t.Errorf("%d are held", b.Held())
	}
	s.Release()
	s.Release()
	if b.Held() != 0 {
		t.Errorf("%d are left", b.Held())
	}
}

// Without a budget there is no bound, and nothing to give back.
func TestNoBudgetIsNoBound(t *testing.T) {
	var b *memory.Budget
	s := b.Share(1)
	if !b.Take(1<<60) || !s.Take(1<<60) || !memory.Of(context.Background()).Take(1) || b.Held() != 0 {
		t.Error("a bound")
	}
	s.Release()
	memory.Of(context.Background()).Release()
}
