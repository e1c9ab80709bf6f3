package breaker

import (
	"sync"
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
			w.record(f, s)
		}
		last := func(list []bool) (n uint64) {
			for _, v := range list[max(0, len(list)-size):] {
				if v {
					n++
				}
			}
			return n
		}
		want := counts{uint64(min(len(failed), size)), last(failed), last(slow)}
		if got := w.totals(); got != want || w.failures.popcount() != want.failures || w.slow.popcount() != want.slow {
			t.Fatalf("totals %+v, popcount %d %d, list %+v", got, w.failures.popcount(), w.slow.popcount(), want)
		}
	})
}

// Whatever writers do at once, the running counts equal the popcount when they
// are quiet.
func TestCallWindowTotalsUnderWriters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Small rings make the writers lap each other.
		w := newCallWindow(rapid.IntRange(1, 130).Draw(t, "size"))
		writers := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 3), 1, 200), 2, 6).Draw(t, "writers")
		total := uint64(0)
		var wg sync.WaitGroup
		for _, list := range writers {
			total += uint64(len(list))
			wg.Go(func() {
				for _, r := range list {
					w.record(r&1 != 0, r&2 != 0)
				}
			})
		}
		wg.Wait()
		got := w.totals()
		if got.failures != w.failures.popcount() || got.slow != w.slow.popcount() || got.calls != min(total, w.size) {
			t.Fatalf("totals %+v, popcount %d %d, calls %d", got, w.failures.popcount(), w.slow.popcount(), total)
		}
	})
}

// A ratio is compared as it was written, not as the nearest binary fraction.
func TestRatiosAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := rapid.Uint64Range(1, 1_000_000).Draw(t, "calls")
		thousandths := rapid.Uint64Range(1, 1000).Draw(t, "ratio")
		n := rapid.Uint64Range(0, calls).Draw(t, "n")
		if rapid.Bool().Draw(t, "at the threshold") {
			n = calls * thousandths / 1000
		}
		if got, want := reaches(n, calls, float64(thousandths)/1000), n*1000 >= thousandths*calls; got != want {
			t.Fatalf("%d of %d against %d/1000: %v", n, calls, thousandths, got)
		}
	})
	if !reaches(7, 100, 0.07) || reaches(1<<62, 1<<63, 0.500000001) || !reaches(1<<62, 1<<63, 0.5) {
		t.Error("not exact")
	}
}

// One word counts calls under way and successes without the one reaching into
// the other, whatever their order, and the slice gets each success once.
func TestPageCountsTwoThings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &page{view: view{slice: new(slice)}}
		underWay, successes, collected := int64(0), uint64(0), uint32(0)
		if rapid.Bool().Draw(t, "about to wrap") {
			p.calls.Store(-5 * landed)
			_, collected = p.read()
		}
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				p.calls.Add(flying)
				underWay++
			case 1:
				p.calls.Add(-flying)
				underWay--
			case 2:
				p.calls.Add(landed - flying)
				underWay--
				successes++
			case 3:
				p.success()
				successes++
			case 4:
				p.collect(&collected)
			}
		}
		if got := p.collect(&collected); got != underWay || p.slice.calls.Load() != successes {
			t.Fatalf("%d under way, %d successes; want %d, %d", got, p.slice.calls.Load(), underWay, successes)
		}
	})
}
