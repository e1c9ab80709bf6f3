package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control/trial"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/settings"
)

const (
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
	result := ChangeResult{Revision: s.host.Registry.Revision(), Changes: trial.Describe(applied)}
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
	terms, err := termsOf(req)
	if err == nil {
		err = s.mayChange(p, batch)
	}
	if err != nil {
		return nil, s.refuse(p, entry, err)
	}
	// Before anything is in force, so that history is asked about what was.
	var warnings []string
	if planned, err := s.host.Registry.Plan(batch); err == nil {
		warnings = s.warn(r.Context(), trial.Describe(planned))
	}
	done, err := s.changes.Apply(r.Context(), p.owner(), batch, terms)
	if err != nil {
		return nil, s.refuse(p, entry, problem(err))
	}
	result := changeResult(done)
	result.Warnings, result.Trial = warnings, done.Trial
	return result, nil
}

// termsOf reads how long a change is on trial, and by which guard.
func termsOf(req ChangeRequest) (trial.Terms, error) {
	terms := trial.Terms{Guard: req.Guard, Reason: printable.Clean(req.Reason, maxReason), Revision: req.Revision}
	if printable.Clean(req.Guard, maxGuard) != req.Guard {
		return terms, &Problem{http.StatusBadRequest, fmt.Sprintf("a guard is one line of at most %d printable characters", maxGuard)}
	}
	if req.RevertAfter == "" {
		if req.Guard != "" {
			return terms, &Problem{http.StatusBadRequest, "a guard needs revert_after: until when it watches"}
		}
		return terms, nil
	}
	d, err := settings.ParseNumber(settings.KindDuration, req.RevertAfter)
	if terms.Length = time.Duration(d * float64(time.Second)); err != nil || terms.Length < trial.MinLength || terms.Length > trial.MaxLength {
		return terms, &Problem{http.StatusBadRequest, fmt.Sprintf("revert_after must be a duration from %s to %s, such as 120s", trial.MinLength, trial.MaxLength)}
	}
	return terms, nil
}

// problem turns the refusal of the book of changes into what goes over the wire.
func problem(err error) error {
	var refusal *trial.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	status := map[trial.Why]int{trial.Conflict: http.StatusConflict, trial.Unknown: http.StatusNotFound, trial.TooMany: http.StatusTooManyRequests,
		trial.Invalid: http.StatusUnprocessableEntity, trial.Unusable: http.StatusBadRequest}
	return &Problem{status[refusal.Why], refusal.Text}
}

// past are the verbs as they are told in events.
var past = map[string]string{"change": "changed", "undo": "undone", "redo": "redone", "revert": "reverted", "reload": "reloaded"}

// tell records what was done to the settings, and makes it seen.
func (s *Server) tell(r trial.Report) {
	p := node
	if asker, ok := r.By.Asker.(peer); ok {
		p = asker
	}
	if r.Err != nil {
		s.tellFailure(r)
		return
	}
	for _, c := range r.Changes {
		text := past[r.Verb] + ": " + c.Old + " -> " + c.New
		if r.Verb == "keep" {
			text = "kept: " + c.New
		}
		if r.Reason != "" {
			text += " (" + r.Reason + ")"
		}
		s.host.Events.Add(Event{Kind: "change", Severity: "info", Subject: c.Key, Text: text, Actor: p.name})
		s.record(p, audit.Entry{Verb: r.Verb, Outcome: "done", Subject: c.Key, Old: c.Old, New: c.New, Reason: r.Reason, Change: r.ID})
	}
	s.host.Changed()
}

// tellFailure tells of what the node could not do by itself.
func (s *Server) tellFailure(r trial.Report) {
	text, entry := "could not go back and is kept: "+r.Err.Error(), audit.Entry{Verb: r.Verb, Reason: r.Err.Error()}
	if r.Verb == "guard" {
		text = "the guard " + r.Reason + " cannot be evaluated, the deadline is still there: " + r.Err.Error()
		entry.Reason = text
	}
	entry.Outcome, entry.Subject, entry.Change = "failed", trial.Summary(r.Changes), r.ID
	s.record(node, entry)
	s.host.Events.Add(Event{Kind: "change", Severity: "bad", Subject: r.Changes[0].Key, Text: text})
	s.host.Changed()
}

func (s *Server) keep(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.settle(r, "keep", func(by trial.Owner, allow trial.Allow) (trial.Result, error) {
		return s.changes.Keep(by, r.PathValue("id"), allow)
	})
}

func (s *Server) revert(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.settle(r, "revert", func(by trial.Owner, allow trial.Allow) (trial.Result, error) {
		return s.changes.Revert(by, r.PathValue("id"), allow)
	})
}

func (s *Server) undo(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.settle(r, "undo", s.changes.Undo)
}

func (s *Server) redo(_ http.ResponseWriter, r *http.Request) (any, error) {
	return s.settle(r, "redo", s.changes.Redo)
}

// settle does something to a change that was made.
func (s *Server) settle(r *http.Request, verb string, do func(trial.Owner, trial.Allow) (trial.Result, error)) (any, error) {
	p := peerOf(r)
	done, err := do(p.owner(), func(changes []Changed) error { return s.mayChangeKeys(p, changes) })
	if err != nil {
		return nil, s.refuse(p, audit.Entry{Verb: verb, Subject: trial.Summary(done.Changes), Change: done.ID}, problem(err))
	}
	return changeResult(done), nil
}

// kept lists what was changed and still holds, newest first.
func (s *Server) kept(http.ResponseWriter, *http.Request) (any, error) {
	return s.changes.Kept(), nil
}

func changeResult(done trial.Result) ChangeResult {
	return ChangeResult{ID: done.ID, Applied: true, Revision: done.Revision, Changes: done.Changes}
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
	e.By, e.UID, e.PID, e.Command, e.Terminal = p.name, p.uid, p.pid, p.process.command, p.process.terminal
	e.Login, e.SudoUser, e.SSHFrom = p.process.login, p.process.sudoUser, p.process.sshFrom
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
