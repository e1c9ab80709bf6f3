package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Past answers what was measured.
type Past interface {
	// Latest returns when the present is. It is ahead of the host's clock for a while
	// when that was set back.
	Latest() time.Time
	// LookAt derives one tick from what was measured, as it was at a moment. What no
	// metric tells stays empty.
	LookAt(ctx context.Context, at time.Time) (Look, error)
	// HistoryUntil returns every panel's series over a span that ends at a moment.
	HistoryUntil(ctx context.Context, end time.Time, span, step time.Duration) (map[string][]Series, error)
	// Comparison returns what the condition of a rule compares, over a span that ends
	// at a moment.
	Comparison(ctx context.Context, condition string, end time.Time, span, step time.Duration) (Comparison, error)
	// AlertsBetween returns when alerts began and ended to fire between two moments,
	// oldest first, and how far back it goes.
	AlertsBetween(ctx context.Context, from, to time.Time) (list []Event, since time.Time, err error)
	// SettingsAt returns the numbers of the settings in force at a moment, by key.
	SettingsAt(ctx context.Context, at time.Time) (map[string]float64, error)
}

// moment reads a time in Unix milliseconds, no later than what was measured last; it is
// not given for the present.
func (s *Server) moment(r *http.Request, name string) (at time.Time, given bool, err error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return time.Time{}, false, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if at = time.UnixMilli(ms); err != nil || ms <= 0 || at.After(time.Now()) && at.After(s.host.Observer.Latest()) {
		return time.Time{}, true, &Problem{http.StatusBadRequest, name + " must be a moment of the past in Unix milliseconds"}
	}
	return at, true, nil
}

// comparison answers with both sides of the condition of the alert named in the path.
func (s *Server) comparison(_ http.ResponseWriter, r *http.Request) (any, error) {
	span, step, err := window(r)
	if err != nil {
		return nil, err
	}
	end, given, err := s.moment(r, "end")
	if err != nil {
		return nil, err
	}
	if !given {
		end = s.host.Observer.Latest()
	}
	for _, a := range s.host.Alerts() {
		if a.Name == r.PathValue("name") {
			return s.host.Observer.Comparison(r.Context(), a.Expr, end, span, step)
		}
	}
	return nil, &Problem{http.StatusNotFound, fmt.Sprintf("there is no alert %q; `bizra-top alerts --all`, or GET /v1/alerts, lists them", r.PathValue("name"))}
}

// Comparison returns both sides of an alert's condition over a span that ends at a
// moment.
func (c *Client) Comparison(ctx context.Context, alert string, end time.Time, span, step time.Duration) (Comparison, error) {
	path := "/v1/alerts/" + url.PathEscape(alert) + "/history?" + url.Values{"span": {span.String()}, "step": {step.String()}, "end": {milliseconds(end)}}.Encode()
	return call[Comparison](ctx, c, http.MethodGet, path, nil)
}

func milliseconds(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }

// LookAt returns one tick as it was at a moment, as far as metrics tell. The events
// are none.
func (c *Client) LookAt(ctx context.Context, at time.Time) (Look, error) {
	return call[Look](ctx, c, http.MethodGet, "/v1/look?at="+milliseconds(at), nil)
}

// HistoryUntil returns every panel's series over a span that ends at a moment, by
// panel id.
func (c *Client) HistoryUntil(ctx context.Context, end time.Time, span, step time.Duration) (map[string][]Series, error) {
	path := "/v1/panels/history?" + url.Values{"span": {span.String()}, "step": {step.String()}, "end": {milliseconds(end)}}.Encode()
	return call[map[string][]Series](ctx, c, http.MethodGet, path, nil)
}

// SettingsAt returns the settings with a number, as they were at a moment.
func (c *Client) SettingsAt(ctx context.Context, at time.Time) ([]Setting, error) {
	return call[[]Setting](ctx, c, http.MethodGet, "/v1/settings?at="+milliseconds(at), nil)
}
