package events_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bizra/bizra-top/node/control/events"
)

// A breaker that flaps three times a second for an hour pushes out none of the changes,
// alerts and starts, nor what other breakers did.
func TestNoiseDoesNotPushOutEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := events.New(nil)
		l.Add(events.Event{Kind: "node", Subject: "node", Text: "started"})
		l.Add(events.Event{Kind: "change", Subject: "pool.limit", Text: "changed: 8 -> 12", Actor: "alice"})
		l.Add(events.Event{Kind: "alert", Subject: "BreakerOpen", Text: "firing"})
		l.Add(events.Event{Kind: "breaker", Subject: "redis", Text: "closed -> open"})
		for i := range 3 * 3600 {
			time.Sleep(time.Second / 3)
			l.Add(events.Event{Kind: "breaker", Subject: "upstream/beta", Text: fmt.Sprint("flap ", i)})
			if i%30 == 0 { // noise in the other rings too
				l.Add(events.Event{Kind: "alert", Subject: "ProviderLagging", Text: "firing"})
				l.Add(events.Event{Kind: "node", Subject: "outbox", Text: "waits"})
				l.Add(events.Event{Kind: "change", Subject: "automatic", Text: "changed: 1 -> 2"})
			}
		}
		list, last := l.Since(0)
		if last != 4+3*3600+3*360 || len(list) > events.Max {
			t.Fatalf("%d events, last %d", len(list), last)
		}
		for _, want := range []string{"started", "changed: 8 -> 12", "closed -> open"} {
			if !slices.ContainsFunc(list, func(e events.Event) bool { return e.Text == want }) {
				t.Errorf("%q is pushed out", want)
			}
		}
		rows := events.Rows(list)
		i := slices.IndexFunc(rows, func(r events.Row) bool { return r.Newest.Subject == "upstream/beta" })
		r := rows[i]
		if len(rows) != 8 || r.Count != 3*3600 || r.Newest.Text != "flap 10799" || len(r.Members) < 100 {
			t.Errorf("%d rows; %d, %s, %d members", len(rows), r.Count, r.Newest.Text, len(r.Members))
		}
		if rate := r.Rate(time.Now()); rate < 2.9 || rate > 3.1 {
			t.Errorf("its rate is %f", rate)
		}
		time.Sleep(time.Minute)
		if rate := r.Rate(time.Now()); rate != 0 {
			t.Errorf("a minute after the last its rate is %f", rate)
		}
		if !slices.IsSortedFunc(list, func(a, b events.Event) int { return int(a.Seq) - int(b.Seq) }) {
			t.Error("not in order")
		}
		if newer, _ := l.Since(last - 2); len(newer) != 2 || newer[0].Seq != last-1 {
			t.Errorf("%+v", newer)
		}
	})
}

// A thousand subjects that happen once each do not push out those that happen again.
func TestManySubjectsAreBounded(t *testing.T) {
	l := events.New(nil)
	for i := range 5000 {
		l.Add(events.Event{Kind: "upstream", Subject: strings.Repeat("x", i%7) + fmt.Sprint(i), Text: "timed out"})
	}
	list, _ := l.Since(0)
	if len(list) != 600 || list[599].Count != 1 || list[0].Seq != 4401 {
		t.Errorf("%d, the oldest is %+v", len(list), list[0])
	}
	_, whole := l.Until(time.Now())
	if whole[events.Rest].IsZero() || !whole[events.People].IsZero() {
		t.Errorf("%v", whole)
	}
}
