package control

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/audit"
)

// Silence holds back the alerts that match, between two moments.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  []string  `json:"matchers"` // in Alertmanager's syntax
	State     string    `json:"state"`    // pending, active, expired
	StartsAt  time.Time `json:"starts_at"`
	EndsAt    time.Time `json:"ends_at"`
	CreatedAt time.Time `json:"created_at"`
	Author    string    `json:"author"`
	Comment   string    `json:"comment"`
	Alerts    int       `json:"alerts"` // pending or firing alerts that match now
}

// subject names the silence in the events, by as much of the id as a command
// needs.
func (s Silence) subject() string { return "silence " + s.ID[:min(len(s.ID), 8)] }

// SilenceRequest asks for a silence, either of what matches or of one alert.
type SilenceRequest struct {
	Matchers    []string  `json:"matchers,omitempty"`    // alertname="PoolSaturated"
	Fingerprint string    `json:"fingerprint,omitempty"` // of the alert, instead of matchers
	StartsAt    time.Time `json:"starts_at,omitzero"`    // now when zero
	For         string    `json:"for"`                   // 2h, 1d
	Comment     string    `json:"comment,omitempty"`
}

// AcknowledgeRequest asks to note that the caller looks after one alert, named by
// its fingerprint, or by its rule and as many labels as tell it from others.
type AcknowledgeRequest struct {
	Fingerprint string            `json:"fingerprint,omitempty"`
	Alert       string            `json:"alert,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Comment     string            `json:"comment,omitempty"`
}

// SilencedBy is the silence that holds an alert back.
type SilencedBy struct {
	ID      string    `json:"id"`
	Until   time.Time `json:"until"`
	Author  string    `json:"author"`
	Comment string    `json:"comment,omitempty"`
}

// Acknowledged is who looks after an alert.
type Acknowledged struct {
	Author  string    `json:"by"`
	Since   time.Time `json:"since"`
	Comment string    `json:"comment,omitempty"`
}

// Silencer keeps silences and acknowledgements. Its refusals are [*Problem].
type Silencer interface {
	Silences() []Silence
	AddSilence(r SilenceRequest, author string) (Silence, error)
	ExpireSilence(id string) (Silence, error)
	Acknowledge(r AcknowledgeRequest, author string) (Alert, error)
	// Withdraw ends the acknowledgement of the alert with that fingerprint.
	Withdraw(fingerprint string) (Alert, error)
}

func (s *Server) silences(http.ResponseWriter, *http.Request) (any, error) {
	return s.host.Silencer.Silences(), nil
}

func (s *Server) addSilence(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req SilenceRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	out, err := s.host.Silencer.AddSilence(req, peerOf(r).name)
	if err != nil {
		return nil, s.refuse(peerOf(r), audit.Entry{Verb: "silence", Subject: strings.Join(req.Matchers, ", ")}, err)
	}
	s.told(r, "silence", out.subject(), fmt.Sprintf("until %s: %s", out.EndsAt.Format(time.RFC3339), strings.Join(out.Matchers, ", ")), out.Comment)
	return out, nil
}

func (s *Server) expireSilence(_ http.ResponseWriter, r *http.Request) (any, error) {
	out, err := s.host.Silencer.ExpireSilence(r.PathValue("id"))
	if err != nil {
		return nil, s.refuse(peerOf(r), audit.Entry{Verb: "silence", Subject: r.PathValue("id")}, err)
	}
	s.told(r, "silence", out.subject(), "ended: "+strings.Join(out.Matchers, ", "), "")
	return out, nil
}

func (s *Server) acknowledge(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req AcknowledgeRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	out, err := s.host.Silencer.Acknowledge(req, peerOf(r).name)
	if err != nil {
		return nil, s.refuse(peerOf(r), audit.Entry{Verb: "acknowledge", Subject: req.Alert}, err)
	}
	s.told(r, "acknowledge", out.Name, "acknowledged", req.Comment)
	return out, nil
}

func (s *Server) withdraw(_ http.ResponseWriter, r *http.Request) (any, error) {
	out, err := s.host.Silencer.Withdraw(r.PathValue("fingerprint"))
	if err != nil {
		return nil, s.refuse(peerOf(r), audit.Entry{Verb: "acknowledge", Subject: r.PathValue("fingerprint")}, err)
	}
	s.told(r, "acknowledge", out.Name, "acknowledgement withdrawn", "")
	return out, nil
}

func (s *Server) told(r *http.Request, verb, subject, text, comment string) {
	p := peerOf(r)
	s.record(p, audit.Entry{Verb: verb, Outcome: "done", Subject: subject, New: text, Reason: comment})
	if comment != "" {
		text += " (" + comment + ")"
	}
	s.host.Events.Add(Event{Kind: "alert", Severity: "info", Subject: subject, Text: text, Actor: p.name})
	s.host.Changed()
}

// Silences returns every silence, those that end last first.
func (c *Client) Silences(ctx context.Context) ([]Silence, error) {
	return call[[]Silence](ctx, c, http.MethodGet, "/v1/silences", nil)
}

// AddSilence adds a silence.
func (c *Client) AddSilence(ctx context.Context, r SilenceRequest) (Silence, error) {
	return call[Silence](ctx, c, http.MethodPost, "/v1/silences", r)
}

// ExpireSilence ends a silence now.
func (c *Client) ExpireSilence(ctx context.Context, id string) (Silence, error) {
	return call[Silence](ctx, c, http.MethodDelete, "/v1/silences/"+url.PathEscape(id), nil)
}

// Acknowledge notes that the caller looks after an alert.
func (c *Client) Acknowledge(ctx context.Context, r AcknowledgeRequest) (Alert, error) {
	return call[Alert](ctx, c, http.MethodPost, "/v1/acknowledgements", r)
}

// Withdraw ends the acknowledgement of the alert with that fingerprint.
func (c *Client) Withdraw(ctx context.Context, fingerprint string) (Alert, error) {
	return call[Alert](ctx, c, http.MethodDelete, "/v1/acknowledgements/"+url.PathEscape(fingerprint), nil)
}
