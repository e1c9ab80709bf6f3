package delivery

import (
	"slices"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/files"
)

// attempt is how the newest attempts to tell a receiver went.
type attempt struct {
	worked time.Time // the newest that worked; zero if none has
	err    error     // of the newest
}

// saw takes note of an attempt. It is called by the receiver's goroutine alone.
func (r *receiver) saw(err error) {
	next := attempt{err: err, worked: time.Now()}
	if err != nil {
		next.worked = time.Time{}
		if before := r.newest.Load(); before != nil {
			next.worked = before.worked
		}
	}
	r.newest.Store(&next)
}

// Keep has the queue written to disk again if its file is gone.
func (d *Dispatcher) Keep() error {
	is, err := files.Identify(d.Path)
	if err != nil || is != (files.Identity{}) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue.dirty = d.queue.dirty || len(d.queue.alerts)+len(d.queue.told) > 0
	return nil
}

// Receiver is how one of those who are told of alerts takes them.
type Receiver struct {
	Name        string    // kind and host, without what may be secret
	LastSuccess time.Time // zero if it took none yet
	Error       string    // what the newest attempt failed with; empty if it did not
}

// Receivers returns all of them, by name, and why the queue could not be written to disk
// the last time, or nil.
func (d *Dispatcher) Receivers() (all []Receiver, unsaved error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.receivers {
		is := Receiver{Name: r.integration + " " + r.host()}
		if a := r.newest.Load(); a != nil {
			is.LastSuccess = a.worked
			if a.err != nil {
				is.Error = a.err.Error()
			}
		}
		all = append(all, is)
	}
	slices.SortFunc(all, func(a, b Receiver) int { return strings.Compare(a.Name, b.Name) })
	if err := d.unsaved.Load(); err != nil {
		unsaved = *err
	}
	return all, unsaved
}
