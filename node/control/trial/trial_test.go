package trial_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizra/bizra-top/node/control/trial"
	"github.com/bizra/bizra-top/node/settings"
)

// bubble runs a book of forty settings in a synctest bubble.
func bubble(t *testing.T, o trial.Options, do func(t *testing.T, b *trial.Book, reg *settings.Registry)) {
	synctest.Test(t, func(t *testing.T) {
		o.Registry = settings.NewRegistry()
		for i := range 40 {
			settings.Int(o.Registry, settings.Spec{Key: key(i), Min: 1, Max: 99, Doc: "Key."}, 8)
		}
		if o.Report == nil {
			o.Report = func(trial.Report) {}
		}
		b := trial.New(o)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		do(t, b, o.Registry)
	})
}

func key(i int) string { return "key" + strconv.Itoa(i) }

func apply(t *testing.T, b *trial.Book, i int, terms trial.Terms) trial.Result {
	t.Helper()
	result, err := b.Apply(t.Context(), trial.Owner{Name: "alice"}, []settings.Change{{Key: key(i), Value: "12"}}, terms)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Thirty-two trials, each with a guard that hangs: every one of them goes back at its
// deadline, to the millisecond.
func TestDeadlinesDoNotWaitForGuards(t *testing.T) {
	hang := func(ctx context.Context, guard string) (bool, error) { <-ctx.Done(); return false, ctx.Err() }
	var slow atomic.Bool
	o := trial.Options{Condition: func(ctx context.Context, guard string) (bool, error) {
		if !slow.Load() {
			return false, nil
		}
		return hang(ctx, guard)
	}}
	bubble(t, o, func(t *testing.T, b *trial.Book, _ *settings.Registry) {
		for i := range 32 {
			apply(t, b, i, trial.Terms{Length: time.Duration(1000+100*i) * time.Millisecond, Guard: key(i)})
		}
		slow.Store(true)
		for i := range 32 {
			time.Sleep(time.Until(b.Shown().Trials[0].Deadline) - time.Millisecond)
			synctest.Wait()
			if n := len(b.Shown().Trials); n != 32-i {
				t.Fatalf("a millisecond before the deadline of trial %d %d are on trial", i, n)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if n := len(b.Shown().Trials); n != 31-i {
				t.Fatalf("at the deadline of trial %d %d are on trial", i, n)
			}
		}
	})
}

// Whoever hears what was done hangs, as an audit trail on a disk that does not answer:
// the next deadline is kept all the same, and everything is told in order afterwards.
func TestDeadlinesDoNotWaitForWhoHears(t *testing.T) {
	var blocked atomic.Bool
	var told []string
	var letGo chan struct{}
	o := trial.Options{Condition: func(context.Context, string) (bool, error) { return false, nil }, Report: func(r trial.Report) {
		if blocked.Load() {
			<-letGo
		}
		told = append(told, fmt.Sprint(r.Verb, r.ID))
	}}
	bubble(t, o, func(t *testing.T, b *trial.Book, reg *settings.Registry) {
		letGo = make(chan struct{})
		for i := range 4 {
			apply(t, b, i, trial.Terms{Length: time.Duration(i+1) * time.Second})
		}
		blocked.Store(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for i := range 4 {
			if s, err := reg.Get(key(i)); err != nil || s.Text != "8" {
				t.Errorf("%s is %s (%v)", key(i), s.Text, err)
			}
		}
		if n := len(b.Shown().Trials); n != 0 {
			t.Errorf("%d are shown on trial", n)
		}
		close(letGo)
		synctest.Wait()
		if got := strings.Join(told, " "); got != "change1 change2 change3 change4 revert1 revert2 revert3 revert4" {
			t.Errorf("told %s", got)
		}
	})
}

// Seven guards hang and one holds: it acts within its second. No more than eight are
// evaluated at the same time.
func TestAGuardDoesNotWaitForOthers(t *testing.T) {
	var mu sync.Mutex
	hold := map[string]bool{}
	busy, most := 0, 0
	var running bool
	o := trial.Options{Condition: func(ctx context.Context, guard string) (bool, error) {
		mu.Lock()
		if !running || hold[guard] {
			defer mu.Unlock()
			return hold[guard], nil
		}
		busy++
		most = max(most, busy)
		mu.Unlock()
		<-ctx.Done()
		mu.Lock()
		defer mu.Unlock()
		busy--
		return false, ctx.Err()
	}}
	bubble(t, o, func(t *testing.T, b *trial.Book, _ *settings.Registry) {
		for i := range 8 {
			apply(t, b, i, trial.Terms{Length: time.Hour, Guard: key(i)})
		}
		mu.Lock()
		running, hold[key(7)] = true, true
		mu.Unlock()
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if n := len(b.Shown().Trials); n != 7 {
			t.Errorf("%d are on trial", n)
		}
		for i := 8; i < 32; i++ {
			mu.Lock()
			running = false
			mu.Unlock()
			apply(t, b, i, trial.Terms{Length: time.Hour, Guard: key(i)})
			mu.Lock()
			running = true
			mu.Unlock()
		}
		mu.Lock()
		hold[key(31)] = true
		mu.Unlock()
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if n := len(b.Shown().Trials); n != 30 || most > 8 {
			t.Errorf("%d are on trial, %d were evaluated at once", n, most)
		}
	})
}

// A guard that cannot be evaluated any more is told of, once.
func TestAGuardThatFailsIsToldOnce(t *testing.T) {
	var broken atomic.Bool
	var told []string
	o := trial.Options{
		Condition: func(context.Context, string) (bool, error) {
			if broken.Load() {
				return false, errors.New("no history")
			}
			return false, nil
		},
		Report: func(r trial.Report) {
			if r.Err != nil {
				told = append(told, r.Verb+" "+r.Reason+": "+r.Err.Error())
			}
		},
	}
	bubble(t, o, func(t *testing.T, b *trial.Book, _ *settings.Registry) {
		apply(t, b, 0, trial.Terms{Length: time.Hour, Guard: "G"})
		broken.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(told) != 1 || told[0] != "guard G: no history" {
			t.Errorf("told %q", told)
		}
	})
}

// The guards of one trial are bounded, and so are the trials.
func TestTrialsAreBounded(t *testing.T) {
	o := trial.Options{Condition: func(context.Context, string) (bool, error) { return false, nil }}
	bubble(t, o, func(t *testing.T, b *trial.Book, _ *settings.Registry) {
		refused := func(i int, guard, want string) {
			t.Helper()
			_, err := b.Apply(t.Context(), trial.Owner{Name: "alice"}, []settings.Change{{Key: key(i), Value: "13"}}, trial.Terms{Length: time.Hour, Guard: guard})
			var refusal *trial.Refusal
			if !errors.As(err, &refusal) || refusal.Why != trial.TooMany || !strings.Contains(refusal.Text, want) {
				t.Errorf("%v", err)
			}
		}
		for i := range 4 {
			apply(t, b, 0, trial.Terms{Length: time.Hour, Guard: key(i)})
		}
		refused(0, "another", "5 guards")
		for i := 1; i < 32; i++ {
			apply(t, b, i, trial.Terms{Length: time.Hour})
		}
		refused(33, "", "32 changes")
		if got := b.Shown().Trials[0].Guard; got != "key0 or key1 or key2 or key3" {
			t.Errorf("the guards are %q", got)
		}
	})
}
