package control

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bizra/bizra-top/node/audit"
)

// Operation is an action and how it is done.
type Operation struct {
	Action
	// TargetsNow lists what the action can be done to; nil for an action
	// without target.
	TargetsNow func() []string
	// State says what is, before and after, in a few words.
	State func(target string) string
	// Outcome says what would be, for a dry run.
	Outcome string
	// Do does it. reason says who and why.
	Do func(ctx context.Context, target, reason string) error
}

func (o Operation) describe() Action {
	a := o.Action
	if o.TargetsNow != nil {
		a.Targets = o.TargetsNow()
	}
	return a
}

func (s *Server) actions(http.ResponseWriter, *http.Request) (any, error) {
	out := make([]Action, len(s.host.Operations))
	for i, o := range s.host.Operations {
		out[i] = o.describe()
	}
	slices.SortFunc(out, func(a, b Action) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (s *Server) act(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req ActionRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.host.Operations, func(o Operation) bool { return o.ID == req.ID })
	if i < 0 {
		return nil, &Problem{http.StatusNotFound, fmt.Sprintf("there is no action %q; `bizra-top actions`, or GET /v1/actions, lists them", req.ID)}
	}
	o := s.host.Operations[i]
	if targets := o.describe().Targets; o.TargetsNow != nil && !slices.Contains(targets, req.Target) {
		return nil, &Problem{http.StatusNotFound, fmt.Sprintf("%s takes one of %q as target, not %q", o.ID, targets, req.Target)}
	}
	result := ActionResult{Old: o.State(req.Target), New: o.Outcome}
	p := peerOf(r)
	entry := audit.Entry{Verb: "action", Subject: strings.TrimSpace(o.ID + " " + req.Target), Old: result.Old, New: result.New, Reason: req.Reason}
	if req.DryRun {
		entry.Verb, entry.Outcome = "propose", "done"
		s.record(p, entry)
		return result, nil
	}
	if err := may(p, needs(o.Risk), o.ID); err != nil {
		return nil, s.refuse(p, entry, err)
	}
	if req.Word != o.Word {
		return nil, s.refuse(p, entry, &Problem{http.StatusUnprocessableEntity,
			fmt.Sprintf("%s cannot be taken back: confirm it with the word %q", o.Title, o.Word)})
	}
	who := p.name
	if err := o.Do(r.Context(), req.Target, because(who, req.Reason)); err != nil {
		s.host.Events.Add(Event{Kind: "action", Severity: "bad", Subject: cmp.Or(req.Target, o.ID),
			Text: o.Title + " failed: " + err.Error(), Actor: who})
		return nil, s.refuse(p, entry, &Problem{http.StatusConflict, fmt.Sprintf("%s failed: %v", o.Title, err)})
	}
	result.Applied, result.New = true, o.State(req.Target)
	entry.Outcome, entry.New = "done", result.New
	s.record(p, entry)
	text := o.Title + ": " + result.Old + " -> " + result.New
	if req.Reason != "" {
		text += " (" + req.Reason + ")"
	}
	s.host.Events.Add(Event{Kind: "action", Severity: "info", Subject: cmp.Or(req.Target, o.ID), Text: text, Actor: who})
	s.host.Changed()
	return result, nil
}

func because(who, reason string) string {
	if reason == "" {
		return "by " + who
	}
	return "by " + who + ": " + reason
}
