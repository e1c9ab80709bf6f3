package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control"
)

// What was changed long ago, and before this process, is told from the audit trail;
// what memory has is not told twice.
func TestWhereMemoryEndsTheTrailGoesOn(t *testing.T) {
	r := serve(t)
	_ = r.trail.Add(audit.Entry{Verb: "change", Outcome: "done", By: "alice", Subject: "pool.limit", Old: "8", New: "9", Reason: "before the restart"})
	_ = r.trail.Add(audit.Entry{Verb: "ask", Outcome: "refused", By: "mallory", Subject: "GET /"})
	_ = r.trail.Add(audit.Entry{Verb: "change", Outcome: "refused", By: "bob", Subject: "pool.limit", New: "99"})
	r.started.Store(new(time.Now()))
	for i := range 450 { // more than the ring of changes holds
		key, value := "breaker.upstream.failure_ratio", fmt.Sprintf("0.%03d", i+1)
		if _, err := r.Change(t.Context(), change(key, value)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.EventsUntil(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	count := func(text string) (n int) {
		for _, e := range got.Events {
			if strings.Contains(e.Text, text) {
				n++
			}
		}
		return n
	}
	if n := count("before the restart"); n != 1 {
		t.Errorf("the change before the restart is told %d times", n)
	}
	for i := range 450 {
		if n := count(fmt.Sprintf("-> 0.%03d ", i+1)); i > 0 && n != 1 && !strings.HasSuffix(fmt.Sprintf("0.%03d", i+1), "0") {
			t.Fatalf("change %d is told %d times", i+1, n)
		}
	}
	if count(": 99") != 0 || count("GET /") != 0 {
		t.Error("what was refused is told to who may only look")
	}
	if count("firing") != 1 || !slices.IsSortedFunc(got.Events, func(a, b control.Event) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("%+v", got.Events[:3])
	}
	var names []string
	for _, s := range got.Sources {
		names = append(names, s.Name+": "+s.What)
		if s.Problem != "" || s.Since.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if want := "memory: changes, alerts, starts|memory: breakers, providers, ledger|audit trail: changes|alert history: alerts"; strings.Join(names, "|") != want {
		t.Errorf("sources %q", names)
	}
	if past, err := r.EventsUntil(t.Context(), time.Now().Add(-time.Hour)); err != nil || slices.ContainsFunc(past.Events, func(e control.Event) bool { return e.Kind == "change" }) {
		t.Errorf("an hour ago: %+v %v", past.Events, err)
	}
}
