// Package events keeps what happened in bounded memory, so that noise does not push
// out evidence. Changes by people, alerts and the life of the node have rings of their
// own beside that of everything else. Where a ring is full the oldest event goes of the
// subject that has the most: a breaker that flaps pushes out its own events.
package events

import (
	"cmp"
	"slices"
	"time"
)

// Event is something that happened: a change, a transition, an alert, an error.
type Event struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`     // change, action, breaker, alert, drill, upstream, ledger, history, node
	Severity string    `json:"severity"` // good, info, warn, bad
	Subject  string    `json:"subject"`
	Text     string    `json:"text"`
	Actor    string    `json:"actor,omitempty"`
	// Count is how many events of this kind and subject there were since First, this
	// one included, whether they are kept or not. 0 where nobody counts.
	Count uint64    `json:"count,omitempty"`
	First time.Time `json:"first,omitzero"`
}

// Class is a ring of events.
type Class int

// The rings.
const (
	People  Class = iota // what people did, and what went back by itself
	Alerts               // alerts and how they are delivered
	Life                 // start, stop, handover and the like
	Rest                 // breakers, providers, ledger
	classes              // how many there are
)

// sizes bound the rings.
var sizes = [classes]int{People: 400, Alerts: 300, Life: 200, Rest: 600}

// Max bounds the events that are kept altogether.
const Max = 1500

// ClassOf returns the ring of a kind of events.
func ClassOf(kind string) Class {
	switch kind {
	case "change", "action", "drill":
		return People
	case "alert":
		return Alerts
	case "node", "history":
		return Life
	}
	return Rest
}

// Key is what makes events alike: those of one key are one row of a screen.
type Key struct{ Kind, Subject string }

// Key returns what makes the event like others.
func (e Event) Key() Key { return Key{e.Kind, e.Subject} }

// Kept are events, bounded. It is not safe for concurrent use.
type Kept struct{ rings [classes]ring }

type ring struct {
	list    []Event
	of      map[Key]int // how many of the list
	dropped time.Time   // of the newest that was pushed out
}

// Add keeps an event, whose number is higher than those before.
func (k *Kept) Add(e Event) {
	class := ClassOf(e.Kind)
	r := &k.rings[class]
	if r.of == nil {
		r.of = map[Key]int{}
	}
	r.list = append(r.list, e)
	r.of[e.Key()]++
	if len(r.list) > sizes[class] {
		r.drop()
	}
}

// drop pushes out the oldest event of the subject that has the most.
func (r *ring) drop() {
	most := 0
	for _, n := range r.of {
		most = max(most, n)
	}
	i := slices.IndexFunc(r.list, func(e Event) bool { return r.of[e.Key()] == most })
	e := r.list[i]
	if r.of[e.Key()]--; r.of[e.Key()] == 0 {
		delete(r.of, e.Key())
	}
	if e.Time.After(r.dropped) {
		r.dropped = e.Time
	}
	r.list = slices.Delete(r.list, i, i+1)
}

// Since returns the events with a number above since, oldest first.
func (k *Kept) Since(since uint64) []Event {
	out := []Event{}
	for i := range k.rings {
		list := k.rings[i].list
		n, _ := slices.BinarySearchFunc(list, since+1, func(e Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
		out = append(out, list[n:]...)
	}
	slices.SortFunc(out, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// Whole returns since when a ring has every event; zero is since the first.
func (k *Kept) Whole(c Class) time.Time { return k.rings[c].dropped }

// Row is events of one kind and subject.
type Row struct {
	Newest  Event
	Members []Event // those that are known, newest first
	Count   uint64  // how many there were, known or not
}

// Rows collapses events, oldest first, into rows, of which that with the newest event
// is first.
func Rows(list []Event) []Row {
	at := map[Key]int{}
	var out []Row
	for _, e := range slices.Backward(list) {
		i, ok := at[e.Key()]
		if !ok {
			i = len(out)
			at[e.Key()] = i
			out = append(out, Row{Newest: e, Count: e.Count})
		}
		out[i].Members = append(out[i].Members, e)
	}
	for i := range out {
		r := &out[i]
		uncounted := 0 // from a source that does not count
		for _, e := range r.Members {
			if e.Count == 0 {
				uncounted++
			}
		}
		r.Count = max(r.Count+uint64(uncounted), uint64(len(r.Members)))
	}
	return out
}

// rateOver is how many of the newest events the rate of a row is measured over.
const rateOver = 20

// Rate returns how often a second the event came lately; 0 for one that came once, or
// has not come for so long that it would be due twice over.
func (r Row) Rate(now time.Time) float64 {
	newest := r.Members[:min(len(r.Members), rateOver)]
	if len(newest) < 2 {
		return 0
	}
	span := newest[0].Time.Sub(newest[len(newest)-1].Time)
	between := span / time.Duration(len(newest)-1)
	if span <= 0 || now.Sub(newest[0].Time) > max(2*between, 10*time.Second) {
		return 0
	}
	return float64(len(newest)-1) / span.Seconds()
}
