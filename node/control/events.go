package control

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control/events"
)

const (
	// maxRecorded bounds the entries of the audit trail in one answer.
	maxRecorded = 500
	// alertsBack is how far back the alert history is read.
	alertsBack = 24 * time.Hour
)

func (s *Server) events(_ http.ResponseWriter, r *http.Request) (any, error) {
	since, err := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	if err != nil && r.URL.Query().Get("since") != "" {
		return nil, &Problem{http.StatusBadRequest, "since must be the number of an event"}
	}
	events, _ := s.host.Events.Since(since)
	return events, nil
}

// eventsUntil answers with what happened until a moment. Where a ring of the memory
// ends the audit trail and the alert history go on; what they have is not taken from
// the ring, so that nothing is told twice.
func (s *Server) eventsUntil(_ http.ResponseWriter, r *http.Request) (any, error) {
	at, given, err := s.moment(r, "at")
	if err != nil {
		return nil, err
	}
	if !given {
		at = s.host.Observer.Latest()
	}
	list, whole := s.host.Events.Until(at)
	started := s.host.Node().Started
	since := func(classes ...events.Class) time.Time {
		at := started
		for _, c := range classes {
			if whole[c].After(at) {
				at = whole[c]
			}
		}
		return at
	}
	out := Happened{Sources: []Source{
		{Name: "memory", What: "changes, alerts, starts", Since: since(events.People, events.Alerts, events.Life)},
		{Name: "memory", What: "breakers, providers, ledger", Since: since(events.Rest)},
	}}
	people, trail := s.recorded(earlier(at, since(events.People)))
	alerts, history := s.alerted(r.Context(), earlier(at, since(events.Alerts)))
	for _, e := range list {
		switch class := events.ClassOf(e.Kind); {
		case class == events.People && trail.Problem == "" && !e.Time.After(whole[class]):
		case class == events.Alerts && history.Problem == "" && !e.Time.After(whole[class]):
		default:
			out.Events = append(out.Events, e)
		}
	}
	out.Sources = append(out.Sources, trail, history)
	out.Events = slices.Concat(people, alerts, out.Events)
	slices.SortStableFunc(out.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return out, nil
}

// earlier returns the earlier of two moments: a source on disk is read to where the ring
// begins, or to the moment that is asked for.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// recorded returns what the audit trail knows of changes until a moment.
func (s *Server) recorded(until time.Time) ([]Event, Source) {
	source := Source{Name: "audit trail", What: "changes"}
	entries, err := s.host.Audit.Read(maxRecorded, func(e audit.Entry) bool { return !e.Time.After(until) && changes(e) })
	if err != nil {
		source.Problem = err.Error()
		return nil, source
	}
	out := make([]Event, 0, len(entries))
	for _, e := range slices.Backward(entries) {
		out = append(out, eventOf(e))
	}
	if len(out) > 0 {
		source.Since = out[0].Time
	}
	return out, source
}

// changes says whether an entry of the audit trail is of what an event would tell of:
// what was done, or failed. What was asked for and refused is for who may read the trail.
func changes(e audit.Entry) bool {
	return e.Verb != "propose" && e.Verb != "ask" && e.Outcome != "refused"
}

// eventOf tells an entry of the audit trail as an event.
func eventOf(e audit.Entry) Event {
	out := Event{Time: e.Time, Kind: "change", Severity: "info", Subject: e.Subject, Actor: e.By}
	switch e.Verb {
	case "action", "drill":
		out.Kind = e.Verb
	case "silence", "acknowledge":
		out.Kind = "alert"
	case "handover", "trail":
		out.Kind = "node"
	}
	verb := cmp.Or(past[e.Verb], e.Verb)
	value := e.New
	if e.Old != "" {
		value = e.Old + " -> " + e.New
	}
	switch {
	case e.Outcome == "failed":
		out.Severity, verb = "bad", e.Verb+" failed"
	case e.Verb == "keep":
		verb, value = "kept", e.New
	}
	out.Text = strings.TrimSuffix(verb+": "+value, ": ")
	if e.Reason != "" {
		out.Text += " (" + e.Reason + ")"
	}
	return out
}

// alerted returns what the history knows of alerts until a moment.
func (s *Server) alerted(ctx context.Context, until time.Time) ([]Event, Source) {
	source := Source{Name: "alert history", What: "alerts"}
	list, since, err := s.host.Observer.AlertsBetween(ctx, until.Add(-alertsBack), until)
	if err != nil {
		source.Problem = err.Error()
		return nil, source
	}
	source.Since = since
	return list, source
}

// EventsUntil returns what happened until a moment.
func (c *Client) EventsUntil(ctx context.Context, at time.Time) (Happened, error) {
	return call[Happened](ctx, c, http.MethodGet, "/v1/events/until?at="+milliseconds(at), nil)
}
