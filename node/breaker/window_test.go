package breaker

import (
	"testing"

	"pgregory.net/rapid"
)

// The running totals of the ring equal its popcount and a plain list.
func TestCallWindowTotals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "size")
		w := newCallWindow(size)
		var failed, slow []bool
		for range rapid.IntRange(0, 500).Draw(t, "calls") {
			f, s := rapid.Bool().Draw(t, "failed"), rapid.Bool().Draw(t, "slow")
			failed, slow = append(failed, f), append(slow, s)
			w.record(0, f, s)
		}
		last := func(list []bool) (n uint64) {
			for _, v := range list[max(0, len(list)-size):] {
				if v {
					n++
				}
			}
			return n
		}
		got := w.totals(0)
		pf, ps := w.popcount()
		if got.failures != last(failed) || got.slow != last(slow) || pf != got.failures || ps != got.slow {
			t.Fatalf("totals %+v, popcount %d %d, list %d %d", got, pf, ps, last(failed), last(slow))
		}
		if got.calls != uint64(min(len(failed), size)) {
			t.Fatalf("calls %d", got.calls)
		}
	})
}
