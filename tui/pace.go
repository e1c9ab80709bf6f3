package tui

import (
	"io"
	"sync/atomic"
	"time"
)

const (
	// slowRefresh is the least time between two looks on a slow link: so few write
	// half as much, since what moves in a chart is written however few there are.
	slowRefresh = 5 * time.Second
	// unseenRefresh is the least time between two looks while the terminal has no
	// focus. Alerts still ring in that time.
	unseenRefresh = 5 * time.Second
	// slowWrite is how long a terminal that keeps up never takes for a frame: a
	// network's usual round trip, and a multiple of it.
	slowWrite = 250 * time.Millisecond
	// slowFor is for how long a link counts as slow after a slow write.
	slowFor = 30 * time.Second
)

// link is the way to the terminal. It remembers when writing to it took long.
type link struct {
	io.Writer
	slowAt atomic.Int64 // Unix nanoseconds of the end of the last slow write
}

func (l *link) Write(p []byte) (int, error) {
	began := time.Now()
	n, err := l.Writer.Write(p)
	if time.Since(began) > slowWrite {
		l.slowAt.Store(time.Now().UnixNano())
	}
	return n, err
}

func (l *link) slow() bool { return time.Now().UnixNano()-l.slowAt.Load() < int64(slowFor) }

// every returns the time between two looks: what the operator chose, more while
// nobody looks or the link is slow, and a second at most while something is on trial.
func (m *model) every() time.Duration {
	every := m.refresh
	if m.slow {
		every = max(every, slowRefresh)
	}
	if m.unseen {
		every = max(every, unseenRefresh)
	}
	if len(m.look.Trials) > 0 {
		every = min(every, time.Second)
	}
	return every
}

// watchLink follows how the link does, unless it was said to be slow from the start.
func (m *model) watchLink() {
	if m.alwaysSlow || m.slow == m.link.slow() {
		return
	}
	if m.slow = !m.slow; m.slow {
		m.say(inkWarn, "the terminal is slow to take what is drawn: a look every "+m.every().String())
	} else {
		m.say(inkMuted, "the terminal keeps up again: a look every "+m.every().String())
	}
}
