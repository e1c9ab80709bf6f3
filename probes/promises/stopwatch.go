package promises

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// times are how long calls took, in nanoseconds with three digits, up to a minute.
type times struct{ *hdrhistogram.Histogram }

func newTimes() times { return times{hdrhistogram.New(1, int64(time.Minute), 3)} }

func (t times) add(d time.Duration) { _ = t.RecordValue(min(max(int64(d), 1), int64(time.Minute))) }

func (t times) mean() float64 { return t.Mean() / 1e6 } // milliseconds

func (t times) quantile(q float64) float64 { return float64(t.ValueAtQuantile(q)) / 1e6 }

// notCounted is the time of a call that is not what is measured.
const notCounted = -1

// maxCallErrors is how many calls of one caller may fail before it gives up.
const maxCallErrors = 3

// pace says when callers call: the zero value one call after the other without a
// pause, any other once in every, each at a moment of its own or all together.
type pace struct {
	every    time.Duration
	together bool
}

// due is when a caller's turn is, since the begin.
func (p pace) due(caller, callers, turn int) time.Duration {
	at := time.Duration(turn) * p.every
	if !p.together {
		at += p.every * time.Duration(caller) / time.Duration(callers)
	}
	return at
}

// callers calls do from so many goroutines, over and over for a span, which may be 0
// for one call each. do returns what it took since it was due, or what else counts. A
// caller that fails again and again ends all.
func callers(ctx context.Context, n int, span time.Duration, p pace, do func(ctx context.Context, caller, turn int, due time.Time) (time.Duration, error)) (times, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, list, errs := newTimes(), make([]times, n), make([]error, n)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			list[i] = newTimes()
			failed := 0
			for turn := 0; ctx.Err() == nil; turn++ {
				due := time.Now()
				if p.every > 0 {
					due = began.Add(p.due(i, n, turn))
				}
				if turn > 0 && due.Sub(began) >= span {
					return
				}
				if !waitUntil(ctx, due) {
					return
				}
				took, err := do(ctx, i, turn, due)
				if err == nil {
					if took != notCounted {
						list[i].add(took)
					}
					continue
				}
				if failed++; failed >= maxCallErrors || span == 0 {
					errs[i] = err
					cancel()
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, t := range list {
		all.Merge(t.Histogram)
	}
	err := errors.Join(errs...)
	if err == nil && all.TotalCount() == 0 {
		err = ctx.Err()
		if err == nil {
			err = errors.New("not one call was measured")
		}
	}
	return all, took, err
}

func waitUntil(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
