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

// Drill is what is practised on a node now, and what can be.
type Drill struct {
	Patterns  []string     `json:"patterns"`
	MaxRate   float64      `json:"max_rate"`       // requests a second
	MaxLength string       `json:"max_length"`     // of a load, as a duration
	Word      string       `json:"word,omitempty"` // to be typed before a load; none in a demo
	Load      *DrillLoad   `json:"load,omitempty"` // the newest, until the node stops
	Faults    []DrillFault `json:"faults"`         // none on a node that is no demo
	Without   string       `json:"without,omitempty"`
	FaultFor  string       `json:"fault_for"` // how long a fault stays unless it is lifted, as a duration
}

// DrillLoad is a load and what became of it so far.
type DrillLoad struct {
	Pattern  string        `json:"pattern"`
	Rate     float64       `json:"rate"` // requests a second, at most
	By       string        `json:"by"`
	Started  time.Time     `json:"started"`
	Ends     time.Time     `json:"ends"` // when no more requests fall due, or when it ended
	Running  bool          `json:"running"`
	Requests int           `json:"requests"`
	Errors   int           `json:"errors"`
	P50      Number        `json:"p50"` // seconds, of the whole load
	P99      Number        `json:"p99"`
	Failure  string        `json:"failure,omitempty"` // why requests failed, the commonest reason
	Problem  string        `json:"problem,omitempty"` // why there is no load
	Timeline []DrillSecond `json:"timeline"`          // the newest last
}

// DrillSecond is one second of a load.
type DrillSecond struct {
	Due      Number `json:"due"`
	Answered int    `json:"answered"` // errors included
	Errors   int    `json:"errors"`
	P50      Number `json:"p50"` // seconds
	P99      Number `json:"p99"`
}

// DrillFault is something that a demo can have fail.
type DrillFault struct {
	ID     string    `json:"id"` // "alpha.slow", "redis.gone"
	Title  string    `json:"title"`
	Doc    string    `json:"doc"`
	Active bool      `json:"active"`
	Until  time.Time `json:"until"` // when it lifts itself
	By     string    `json:"by,omitempty"`
}

// LoadRequest asks for a load on the node itself.
type LoadRequest struct {
	Pattern string  `json:"pattern"`
	Rate    float64 `json:"rate"`
	Length  string  `json:"length"`         // a duration such as "1m"
	Word    string  `json:"word,omitempty"` // as the drill asks for
}

// FaultRequest asks for a fault.
type FaultRequest struct {
	ID string `json:"id"`
}

// Driller practises on a node. Its refusals are [*Problem]. It ends by itself what it
// began. All methods may be called from any goroutine and answer at once.
type Driller interface {
	Drill() Drill
	StartLoad(r LoadRequest, by string) error
	// StopLoad says which load it has ended.
	StopLoad() (what string, err error)
	SetFault(id, by string) error
	// Lift ends a fault, all for "", and says which.
	Lift(id string) (what []string, err error)
}

func (s *Server) drill(http.ResponseWriter, *http.Request) (any, error) {
	return s.host.Driller.Drill(), nil
}

func (s *Server) startLoad(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req LoadRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%.20s load of at most %g/s for %.20s", req.Pattern, req.Rate, req.Length)
	return s.drilled(r, "load", what, s.host.Driller.StartLoad(req, peerOf(r).name))
}

func (s *Server) stopLoad(_ http.ResponseWriter, r *http.Request) (any, error) {
	what, err := s.host.Driller.StopLoad()
	return s.drilled(r, "load", "stopped: "+what, err)
}

func (s *Server) setFault(_ http.ResponseWriter, r *http.Request) (any, error) {
	var req FaultRequest
	if err := read(r, &req); err != nil {
		return nil, err
	}
	return s.drilled(r, "fault", fmt.Sprintf("%.60s", req.ID), s.host.Driller.SetFault(req.ID, peerOf(r).name))
}

func (s *Server) liftFault(_ http.ResponseWriter, r *http.Request) (any, error) {
	what, err := s.host.Driller.Lift(r.PathValue("id"))
	return s.drilled(r, "fault", "lifted: "+strings.Join(what, ", "), err)
}

// drilled records a step of a drill, makes it seen, and answers with how things are.
func (s *Server) drilled(r *http.Request, kind, what string, err error) (any, error) {
	p, entry := peerOf(r), audit.Entry{Verb: "drill", Subject: kind, New: what}
	if err != nil {
		return nil, s.refuse(p, entry, err)
	}
	entry.Outcome = "done"
	s.record(p, entry)
	s.host.Events.Add(Event{Kind: "drill", Severity: "warn", Subject: kind, Text: what, Actor: p.name})
	s.host.Changed()
	return s.host.Driller.Drill(), nil
}

// Drill returns what is practised on the node, and what can be.
func (c *Client) Drill(ctx context.Context) (Drill, error) {
	return call[Drill](ctx, c, http.MethodGet, "/v1/drill", nil)
}

// StartLoad puts a load on the node.
func (c *Client) StartLoad(ctx context.Context, r LoadRequest) (Drill, error) {
	return call[Drill](ctx, c, http.MethodPost, "/v1/drill/load", r)
}

// StopLoad ends the load that runs.
func (c *Client) StopLoad(ctx context.Context) (Drill, error) {
	return call[Drill](ctx, c, http.MethodDelete, "/v1/drill/load", nil)
}

// SetFault has a part of a demo fail.
func (c *Client) SetFault(ctx context.Context, id string) (Drill, error) {
	return call[Drill](ctx, c, http.MethodPost, "/v1/drill/faults", FaultRequest{id})
}

// Lift ends a fault, all for "".
func (c *Client) Lift(ctx context.Context, id string) (Drill, error) {
	path := "/v1/drill/faults"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return call[Drill](ctx, c, http.MethodDelete, path, nil)
}
