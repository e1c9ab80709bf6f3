package upstream

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheBudgetIsWaitedForAndNeverOverspent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			b         budget
			wg        sync.WaitGroup
			mu        sync.Mutex
			now, most int
			refused   int
		)
		for i := range 100 {
			wg.Go(func() {
				// The last ten do not have the time to wait.
				limit := time.Minute
				if i >= 90 {
					limit = time.Millisecond
					time.Sleep(time.Microsecond)
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				ok, _ := b.take(ctx, 5)
				mu.Lock()
				if !ok {
					refused++
					mu.Unlock()
					return
				}
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
				b.release(5)
			})
		}
		wg.Wait()
		if most != 5 || refused != 10 || b.inUse() != 0 || len(b.waiting) != 0 {
			t.Errorf("%d at once, %d refused, %g left in use, %d waiting", most, refused, b.inUse(), len(b.waiting))
		}
	})
}
