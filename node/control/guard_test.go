package control_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// guarded is a change of the limit on trial for an hour with a guard.
func guarded(value, guard string) control.ChangeRequest {
	c := onTrial("pool.limit", value, "1h")
	c.Guard = guard
	return c
}

// eventually waits until what is named holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// held answers for guards: each waits, says that it is being asked, and holds once it
// is let go.
func (r *rig) held() (asked chan string, letGo chan struct{}) {
	asked, letGo = make(chan string, 100), make(chan struct{})
	ask := func(ctx context.Context, guard string) (bool, error) {
		select {
		case asked <- guard:
		default:
		}
		select {
		case <-letGo:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	r.ask.Store(&ask)
	return asked, letGo
}

// TestADeadlineDoesNotWaitForGuards has guards that hang: what is on trial goes back
// in time all the same.
func TestADeadlineDoesNotWaitForGuards(t *testing.T) {
	t.Parallel()
	r := serve(t)
	if _, err := r.Change(t.Context(), guarded("12", "Slow")); err != nil {
		t.Fatal(err)
	}
	asked, _ := r.held()
	<-asked
	result, err := r.Change(t.Context(), onTrial("breaker.upstream.failure_ratio", "0.4", "1s"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second change went back", func() bool {
		look, err := r.Look(t.Context(), 0)
		return err == nil && len(look.Trials) == 1 && look.Trials[0].ID != result.ID
	})
	if late := time.Since(result.Trial.Deadline); late > 2*time.Second {
		t.Errorf("it went back %s late", late)
	}
}

// TestAJoinedTrialKeepsItsGuard has a second change join a trial while the guard of
// the first is being asked. What then goes back is the whole.
func TestAJoinedTrialKeepsItsGuard(t *testing.T) {
	t.Parallel()
	r := serve(t)
	if _, err := r.Change(t.Context(), guarded("12", "Slow")); err != nil {
		t.Fatal(err)
	}
	asked, letGo := r.held()
	<-asked
	if _, err := r.Change(t.Context(), onTrial("pool.limit", "14", "1h")); err != nil {
		t.Fatal(err)
	}
	look, err := r.Look(t.Context(), 0)
	if err != nil || len(look.Trials) != 1 || look.Trials[0].Guard != "Slow" {
		t.Fatalf("%+v %v", look.Trials, err)
	}
	close(letGo)
	eventually(t, "the limit went back", func() bool { return r.limit.Get() == 8 })
	eventually(t, "nothing is on trial", func() bool {
		look, err := r.Look(t.Context(), 0)
		return err == nil && len(look.Trials) == 0 && look.Redoable == "pool.limit 8 -> 14"
	})
	_, err = r.Keep(t.Context(), "last")
	refusal(t, err, 404, "no change is on trial")
}

// TestAGuardOfWhatWasTakenBackIsSilent takes a trial back, or undoes it, while its
// guard is being asked, and changes the same anew: the late answer touches nothing.
func TestAGuardOfWhatWasTakenBackIsSilent(t *testing.T) {
	for _, how := range []string{"revert", "undo"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := serve(t)
			result, err := r.Change(t.Context(), guarded("12", "Slow"))
			if err != nil {
				t.Fatal(err)
			}
			asked, letGo := r.held()
			<-asked
			if how == "undo" {
				_, err = r.Undo(t.Context())
			} else {
				_, err = r.Revert(t.Context(), fmt.Sprint(result.ID))
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Change(t.Context(), onTrial("pool.limit", "20", "1h")); err != nil {
				t.Fatal(err)
			}
			close(letGo)
			// A guard that is asked after that shows that the answer was dealt with.
			other := onTrial("breaker.upstream.failure_ratio", "0.4", "1h")
			never := func(context.Context, string) (bool, error) { return false, nil }
			r.ask.Store(&never)
			other.Guard = "Later"
			if _, err := r.Change(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			r.ask.Store(nil)
			r.guard.Store(&other.Guard)
			eventually(t, "the later guard acted", func() bool {
				look, err := r.Look(t.Context(), 0)
				return err == nil && len(look.Trials) == 1
			})
			if got := r.limit.Get(); got != 20 {
				t.Errorf("the limit is %d, and the screen says 20", got)
			}
		})
	}
}

// TestUndoAfterSaveGoesBack saves a kept change, so that it is no live value any more,
// and undoes it: what the screen offers is what happens.
func TestUndoAfterSaveGoesBack(t *testing.T) {
	t.Parallel()
	r := serve(t)
	if _, err := r.Change(t.Context(), change("pool.limit", "12")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Save(t.Context(), control.SaveRequest{}); err != nil {
		t.Fatal(err)
	}
	if look, err := r.Look(t.Context(), 0); err != nil || look.Undoable != "pool.limit 12 -> 8" {
		t.Fatalf("undo offers %q: %v", look.Undoable, err)
	}
	if _, err := r.Undo(t.Context()); err != nil || r.limit.Get() != 8 {
		t.Errorf("the limit is %d after undo: %v", r.limit.Get(), err)
	}
}
