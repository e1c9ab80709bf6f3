package control

import (
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/printable"
)

// maxEvents bounds the events kept in memory.
const maxEvents = 1000

// Events is the node's list of what happened, newest last, bounded. All methods
// may be called from any goroutine.
type Events struct {
	mu   sync.Mutex
	list []Event
	seq  uint64
	hook func(Event)
}

// NewEvents returns an empty list. hook, which may be nil, is called with each
// event, outside the list's lock.
func NewEvents(hook func(Event)) *Events {
	if hook == nil {
		hook = func(Event) {}
	}
	return &Events{hook: hook}
}

// Add appends an event and gives it its number and time. Its texts are cleaned
// here: one event is one line, whatever is in the strings.
func (e *Events) Add(ev Event) {
	ev.Subject = printable.Clean(ev.Subject, 80)
	ev.Text = printable.Clean(ev.Text, 300)
	ev.Actor = printable.Clean(ev.Actor, 60)
	e.mu.Lock()
	e.seq++
	ev.Seq, ev.Time = e.seq, time.Now()
	e.list = append(e.list, ev)
	if len(e.list) > maxEvents {
		e.list = append(e.list[:0:0], e.list[len(e.list)-maxEvents*3/4:]...)
	}
	e.mu.Unlock()
	e.hook(ev)
}

// Since returns the events with a number above since, oldest first, and the
// newest number.
func (e *Events) Since(since uint64) ([]Event, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := len(e.list)
	for i > 0 && e.list[i-1].Seq > since {
		i--
	}
	return append([]Event{}, e.list[i:]...), e.seq
}
