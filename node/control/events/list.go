package events

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

// maxTallies bounds the subjects whose events are counted.
const maxTallies = 1000

// tally counts the events of one kind and subject.
type tally struct {
	count       uint64
	first, last time.Time
}

// List is what happened to one node. All methods may be called from any goroutine.
type List struct {
	hook func(Event)

	mu      sync.Mutex
	kept    Kept
	seq     uint64
	tallies map[Key]tally
}

// New returns an empty list. hook, which may be nil, is called with each event, outside
// the list's lock.
func New(hook func(Event)) *List {
	if hook == nil {
		hook = func(Event) {}
	}
	return &List{hook: hook, tallies: map[Key]tally{}}
}

// Add keeps an event and gives it its number, time and count. Its texts are cleaned
// here: one event is one line, whatever is in the strings.
func (l *List) Add(e Event) {
	e.Subject = printable.Clean(e.Subject, 80)
	e.Text = printable.Clean(e.Text, 300)
	e.Actor = printable.Clean(e.Actor, 60)
	l.mu.Lock()
	l.seq++
	e.Seq, e.Time = l.seq, time.Now()
	t := l.tallies[e.Key()]
	t.count, t.last = t.count+1, e.Time
	if t.count == 1 {
		t.first = e.Time
	}
	l.tallies[e.Key()] = t
	if len(l.tallies) > maxTallies {
		stalest := slices.MinFunc(slices.Collect(maps.Keys(l.tallies)), func(a, b Key) int { return l.tallies[a].last.Compare(l.tallies[b].last) })
		delete(l.tallies, stalest)
	}
	e.Count, e.First = t.count, t.first
	l.kept.Add(e)
	l.mu.Unlock()
	l.hook(e)
}

// Since returns the events with a number above since, oldest first, and the newest
// number.
func (l *List) Since(since uint64) ([]Event, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.Since(since), l.seq
}

// Until returns the events up to a moment that are kept, oldest first, and since when
// each ring has all of its events; zero is since the start.
func (l *List) Until(at time.Time) (list []Event, whole map[Class]time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole = map[Class]time.Time{}
	for c := range classes {
		whole[c] = l.kept.Whole(c)
	}
	for _, e := range l.kept.Since(0) {
		if !e.Time.After(at) {
			list = append(list, e)
		}
	}
	return list, whole
}
