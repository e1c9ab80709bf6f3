package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
)

const (
	// maxUndo bounds how far back changes can be taken.
	maxUndo = 100
	// maxTrials bounds the changes on trial at once.
	maxTrials = 32
	// The bounds of a trial's length.
	minTrial = time.Second
	maxTrial = 24 * time.Hour
	// What others see of a change.
	maxReason = 300
	maxGuard  = 1000
)

// propose checks a request and says what it would do.
func (s *Server) propose(r *http.Request, p peer, req ChangeRequest, batch []settings.Change) (any, error) {
	applied, err := s.host.Registry.Plan(batch)
	if err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: "propose", Subject: keys(batch), New: values(batch), Reason: req.Reason}, refused(err))
	}
	result := s.result(applied, false)
	result.Warnings = s.warn(r.Context(), result.Changes)
	for _, c := range result.Changes {
		s.record(p, audit.Entry{Verb: "propose", Outcome: "done", Subject: c.Key, Old: c.Old, New: c.New, Reason: req.Reason})
	}
	return result, nil
}

func (s *Server) change(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req ChangeRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	if len(req.Changes) == 0 {
		return nil, &Problem{http.StatusBadRequest, `nothing to change: send {"changes": [{"key": "pool.limit", "value": "12"}]}`}
	}
	batch := make([]settings.Change, len(req.Changes))
	for i, c := range req.Changes {
		batch[i] = settings.Change{Key: c.Key, Value: c.Value}
	}
	p := peerOf(r)
	if req.DryRun {
		return s.propose(r, p, req, batch)
	}
	entry := audit.Entry{Verb: "change", Subject: keys(batch), New: values(batch), Reason: req.Reason}
	trial, err := s.trialOf(r.Context(), req)
	if err != nil {
		return nil, s.refuse(p, entry, err)
	}
	// Before anything is in force, so that history is asked about what was.
	var warnings []string
	if planned, err := s.host.Registry.Plan(batch); err == nil {
		warnings = s.warn(r.Context(), s.result(planned, false).Changes)
	}
	defer s.changes.hold()()
	before, err := s.conflict(p, req, batch, trial)
	if err == nil {
		err = s.mayChange(p, batch)
	}
	if err != nil {
		return nil, s.refuse(p, entry, err)
	}
	result, err := s.apply(p, "change", req.Reason, func() ([]settings.Applied, error) { return s.host.Registry.Apply(batch) }, trial)
	if err != nil {
		return nil, s.refuse(p, entry, err)
	}
	result.Warnings = warnings
	s.join(before, trial)
	s.changes.undone = nil
	if !trial.Deadline.IsZero() {
		now := trial.Trial // it changes when the lock is given up
		result.Trial = &now
		s.reconsider()
	}
	return result, nil
}

// trialOf reads how long a change is on trial, and by which guard.
func (s *Server) trialOf(ctx context.Context, req ChangeRequest) (*change, error) {
	c := &change{Trial: Trial{Since: time.Now(), Guard: req.Guard, Reason: printable.Clean(req.Reason, maxReason)}}
	if printable.Clean(req.Guard, maxGuard) != req.Guard {
		return nil, &Problem{http.StatusBadRequest, fmt.Sprintf("a guard is one line of at most %d printable characters", maxGuard)}
	}
	if req.RevertAfter == "" {
		if req.Guard != "" {
			return nil, &Problem{http.StatusBadRequest, "a guard needs revert_after: until when it watches"}
		}
		return c, nil
	}
	d, err := settings.ParseNumber(settings.KindDuration, req.RevertAfter)
	if length := time.Duration(d * float64(time.Second)); err != nil || length < minTrial || length > maxTrial {
		return nil, &Problem{http.StatusBadRequest, fmt.Sprintf("revert_after must be a duration from %s to %s, such as 120s", minTrial, maxTrial)}
	} else {
		c.Deadline = c.Since.Add(length)
	}
	if req.Guard == "" {
		return c, nil
	}
	holds, err := s.host.Condition(ctx, req.Guard)
	switch {
	case err != nil:
		return nil, &Problem{http.StatusBadRequest, "the guard is neither an alert nor PromQL: " + err.Error()}
	case holds:
		return nil, &Problem{http.StatusConflict, "the guard " + req.Guard + " is true already, before the change; choose one that is false now"}
	}
	return c, nil
}

// conflict refuses to overwrite what another operator has changed since, or has on
// trial. What the same operator has on trial is returned: the change joins it. The
// lock is held.
func (s *Server) conflict(p peer, req ChangeRequest, batch []settings.Change, trial *change) ([]*change, error) {
	if req.Revision != nil {
		for _, b := range batch {
			if t := s.changes.touched[b.Key]; t.revision > *req.Revision {
				return nil, &Problem{http.StatusConflict, fmt.Sprintf("%s was changed by %s %s ago, %s -> %s: look again, then decide",
					b.Key, t.by, time.Since(t.at).Round(time.Second), t.changed.Old, t.changed.New)}
			}
		}
	}
	var joins []*change
	for _, t := range s.changes.trials() {
		if !slices.ContainsFunc(t.Changes, func(c Changed) bool {
			return slices.ContainsFunc(batch, func(b settings.Change) bool { return b.Key == c.Key })
		}) {
			continue
		}
		if t.peer.uid != p.uid || t.peer.name != p.name {
			return nil, &Problem{http.StatusConflict, fmt.Sprintf("%s is on trial by %s for another %s: keep or revert it first",
				summary(t.Changes), t.By, time.Until(t.Deadline).Round(time.Second))}
		}
		if trial.Deadline.IsZero() {
			return nil, &Problem{http.StatusConflict, fmt.Sprintf("%s is on trial by you for another %s: keep or revert it first, or go on with revert_after",
				summary(t.Changes), time.Until(t.Deadline).Round(time.Second))}
		}
		joins = append(joins, t)
	}
	if len(joins) == 0 && !trial.Deadline.IsZero() && len(s.changes.trials()) >= maxTrials {
		return nil, &Problem{http.StatusTooManyRequests, fmt.Sprintf("%d changes are on trial: keep or revert some first", maxTrials)}
	}
	return joins, nil
}

// join makes one trial of earlier ones of the same operator and a new one, so that
// reverting goes to what was before the first. The lock is held.
func (s *Server) join(before []*change, now *change) {
	for _, b := range slices.Backward(before) {
		now.applied = settings.Joined(b.applied, now.applied)
		s.changes.done = slices.DeleteFunc(s.changes.done, func(d *change) bool { return d == b })
	}
	now.Changes = s.result(now.applied, true).Changes
}

// apply puts a batch in force, remembers it and tells everyone. The lock is held.
func (s *Server) apply(p peer, verb, reason string, do func() ([]settings.Applied, error), c *change) (ChangeResult, error) {
	applied, err := do()
	if err != nil {
		return ChangeResult{}, refused(err)
	}
	result := s.result(applied, true)
	s.changes.last++
	c.ID, c.By, c.peer, c.applied, c.Changes = s.changes.last, p.name, p, applied, result.Changes
	s.changes.push(&s.changes.done, c)
	result.ID = c.ID
	s.tell(p, verb, reason, c.ID, result.Changes)
	return result, nil
}

// tell records changes that were made, and makes them seen. The lock is held.
func (s *Server) tell(p peer, verb, reason string, id uint64, changes []Changed) {
	s.changes.show()
	past := map[string]string{"change": "changed", "undo": "undone", "redo": "redone", "revert": "reverted", "reload": "reloaded"}
	for _, c := range changes {
		s.changes.touched[c.Key] = touch{s.host.Registry.Revision(), p.name, time.Now(), c}
		text := past[verb] + ": " + c.Old + " -> " + c.New
		if reason != "" {
			text += " (" + reason + ")"
		}
		s.host.Events.Add(Event{Kind: "change", Severity: "info", Subject: c.Key, Text: text, Actor: p.name})
		s.record(p, audit.Entry{Verb: verb, Outcome: "done", Subject: c.Key, Old: c.Old, New: c.New, Reason: reason, Change: id})
	}
	s.host.Changed()
}

// takeBack undoes one change, wherever it stands. The lock is held.
func (s *Server) takeBack(p peer, verb, reason string, c *change) (ChangeResult, error) {
	applied, err := s.host.Registry.TakeBack(c.applied)
	if err != nil {
		return ChangeResult{}, refused(err)
	}
	result := s.result(applied, true)
	result.ID = c.ID
	s.changes.done = slices.DeleteFunc(s.changes.done, func(d *change) bool { return d == c })
	s.changes.push(&s.changes.undone, &change{Trial: Trial{ID: c.ID, By: c.By, Changes: result.Changes, Reason: c.Reason}, applied: applied, peer: c.peer})
	s.tell(p, verb, reason, c.ID, result.Changes)
	return result, nil
}

func (s *Server) undo(_ http.ResponseWriter, r *http.Request) (any, error) {
	defer s.changes.hold()()
	p := peerOf(r)
	if len(s.changes.done) == 0 {
		return nil, s.refuse(p, audit.Entry{Verb: "undo"}, &Problem{http.StatusConflict, "there is no change to take back"})
	}
	return s.takeBackAs(p, "undo", s.changes.done[len(s.changes.done)-1])
}

func (s *Server) takeBackAs(p peer, verb string, c *change) (any, error) {
	err := s.mayChangeKeys(p, c.Changes)
	var result ChangeResult
	if err == nil {
		result, err = s.takeBack(p, verb, "", c)
	}
	if err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: verb, Subject: summary(c.Changes), Change: c.ID}, err)
	}
	return result, nil
}

func (s *Server) redo(_ http.ResponseWriter, r *http.Request) (any, error) {
	defer s.changes.hold()()
	p := peerOf(r)
	n := len(s.changes.undone)
	if n == 0 {
		return nil, s.refuse(p, audit.Entry{Verb: "redo"}, &Problem{http.StatusConflict, "nothing was taken back that could be done again"})
	}
	c := s.changes.undone[n-1]
	err := s.mayChangeKeys(p, c.Changes)
	var result ChangeResult
	if err == nil {
		again := &change{Trial: Trial{Since: time.Now(), Reason: c.Reason}}
		result, err = s.apply(p, "redo", "", func() ([]settings.Applied, error) { return s.host.Registry.TakeBack(c.applied) }, again)
	}
	if err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: "redo", Subject: summary(c.Changes)}, err)
	}
	s.changes.undone = s.changes.undone[:n-1]
	return result, nil
}

// kept lists what was changed and still holds, newest first.
func (s *Server) kept(http.ResponseWriter, *http.Request) (any, error) {
	defer s.changes.hold()()
	out := []Trial{}
	for _, c := range slices.Backward(s.changes.done) {
		out = append(out, c.Trial)
	}
	return out, nil
}

func (s *Server) result(applied []settings.Applied, done bool) ChangeResult {
	out := ChangeResult{Applied: done, Revision: s.host.Registry.Revision()}
	for _, a := range applied {
		out.Changes = append(out.Changes, Changed{a.Key, a.Old, a.New, string(a.Risk)})
	}
	return out
}

func (s *Server) warn(ctx context.Context, changes []Changed) []string {
	var out []string
	for _, c := range changes {
		out = append(out, s.host.Warn(ctx, c)...)
	}
	return out
}

// refused turns a mistake in a setting into a refusal, one line for all.
func refused(err error) error {
	return &Problem{http.StatusUnprocessableEntity, strings.ReplaceAll(err.Error(), "\n", "; ")}
}

// refuse records a refusal and returns it.
func (s *Server) refuse(p peer, e audit.Entry, err error) error {
	var problem *Problem
	if errors.As(err, &problem) {
		e.Outcome = "refused"
	} else {
		e.Outcome = "failed"
	}
	e.Reason = strings.Join(slices.DeleteFunc([]string{e.Reason, err.Error()}, func(t string) bool { return t == "" }), ": ")
	s.record(p, e)
	return err
}

// record writes to the audit trail. A trail that cannot be written stops nothing: what
// mends a full disk may be the change itself. It tells so by itself, and catches up.
func (s *Server) record(p peer, e audit.Entry) {
	e.By, e.UID, e.PID, e.Command, e.Terminal = p.name, p.uid, p.pid, p.command, p.terminal
	_ = s.host.Audit.Add(e)
}

func keys(batch []settings.Change) string {
	var out []string
	for _, b := range batch {
		out = append(out, b.Key)
	}
	return strings.Join(out, ", ")
}

func values(batch []settings.Change) string {
	var out []string
	for _, b := range batch {
		out = append(out, b.Value)
	}
	return strings.Join(out, ", ")
}

// named finds a change on trial by the number in the path, or the newest of all for
// "last". The lock is held.
func (s *Server) named(r *http.Request) (*change, error) {
	trials := s.changes.trials()
	if len(trials) == 0 {
		return nil, &Problem{http.StatusNotFound, "no change is on trial: each was kept, or has gone back"}
	}
	id := r.PathValue("id")
	if id == "last" {
		return slices.MaxFunc(trials, func(a, b *change) int { return cmp.Compare(a.ID, b.ID) }), nil
	}
	for _, t := range trials {
		if strconv.FormatUint(t.ID, 10) == id {
			return t, nil
		}
	}
	return nil, &Problem{http.StatusNotFound, fmt.Sprintf("change %q is not on trial: it was kept, or has gone back", id)}
}
