package control

import (
	"context"
	"net/http"
	"time"

	"github.com/bizra/bizra-top/node/audit"
)

const (
	// guardEvery is how often guards are looked at.
	guardEvery = time.Second
	guardFor   = 5 * time.Second
)

// node is who acts when nobody does.
var node = peer{name: "node", uid: -1}

// reconsider has the trials looked at again.
func (s *Server) reconsider() {
	select {
	case s.changes.wake <- struct{}{}:
	default:
	}
}

// watch takes back what is not kept in time, or whose guard turns true, until ctx
// ends. The timers are here, in the node: a terminal that is gone cannot leave a
// bad value behind.
func (s *Server) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changes.wake:
		case <-timer.C:
		}
		s.checkGuards(ctx)
		timer.Reset(s.expire())
	}
}

// expire takes back the trials that are over and returns when to look again.
func (s *Server) expire() time.Duration {
	defer s.changes.hold()()
	next := time.Hour
	for _, t := range s.changes.trials() {
		left := time.Until(t.Deadline)
		if left <= 0 {
			s.revert(t, "not kept in time")
			left = guardEvery // in case it failed
		}
		if t.Guard != "" {
			left = min(left, guardEvery)
		}
		next = min(next, left)
	}
	return next
}

// checkGuards takes back the trials whose guard is true.
func (s *Server) checkGuards(ctx context.Context) {
	s.changes.mu.Lock()
	trials := s.changes.trials()
	s.changes.mu.Unlock()
	for _, t := range trials {
		if t.Guard == "" {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, guardFor)
		holds, err := s.host.Condition(limited, t.Guard)
		cancel()
		if err != nil || !holds {
			continue // the deadline is still there
		}
		release := s.changes.hold()
		if !t.Deadline.IsZero() {
			s.revert(t, "the guard "+t.Guard+" turned true")
		}
		release()
	}
}

// revert takes back a change for the node itself. The lock is held.
func (s *Server) revert(t *change, why string) {
	if _, err := s.takeBack(node, "revert", why, t); err != nil {
		s.record(node, audit.Entry{Verb: "revert", Outcome: "failed", Subject: summary(t.Changes), Reason: err.Error(), Change: t.ID})
		s.host.Events.Add(Event{Kind: "change", Severity: "bad", Subject: t.Changes[0].Key, Text: "could not go back and is kept: " + err.Error()})
	}
	t.Deadline = time.Time{}
}

func (s *Server) keep(_ http.ResponseWriter, r *http.Request) (any, error) {
	defer s.changes.hold()()
	p := peerOf(r)
	t, err := s.named(r)
	if err == nil {
		err = s.mayChangeKeys(p, t.Changes)
	}
	if err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: "keep"}, err)
	}
	t.Deadline = time.Time{}
	for _, c := range t.Changes {
		s.host.Events.Add(Event{Kind: "change", Severity: "info", Subject: c.Key, Text: "kept: " + c.New, Actor: p.name})
		s.record(p, audit.Entry{Verb: "keep", Outcome: "done", Subject: c.Key, Old: c.Old, New: c.New, Change: t.ID})
	}
	s.host.Changed()
	return ChangeResult{ID: t.ID, Applied: true, Revision: s.host.Registry.Revision(), Changes: t.Changes}, nil
}

func (s *Server) revertNow(_ http.ResponseWriter, r *http.Request) (any, error) {
	defer s.changes.hold()()
	p := peerOf(r)
	t, err := s.named(r)
	if err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: "revert"}, err)
	}
	return s.takeBackAs(p, "revert", t)
}
