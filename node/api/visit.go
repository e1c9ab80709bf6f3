package api

import (
	"context"
	"net/http"

	"github.com/bizra/bizra-top/node/connections"
	"github.com/bizra/bizra-top/node/memory"
)

// visit is a request while it is answered. It counts as in flight from enter until its
// answer is ready, which is when its status is written: a client that reads slowly holds
// a connection and what is not sent yet, and no place of others.
type visit struct {
	http.ResponseWriter
	server  *Server
	address *connections.Address
	in      bool
}

const (
	overloaded  = "the node is at api.max_in_flight; try again in a second"
	overShare   = "this address has its share of api.max_in_flight (api.address_share); try again in a second"
	overBodies  = "the bodies in flight take all of api.max_bodies; try again in a second"
	retrySecond = "1"
)

// enter counts the request in, unless there are too many: what cannot be served soon is
// refused at once, for the reason that is returned.
func (v *visit) enter() (refusal string) {
	s := v.server
	limit := s.settings.MaxInFlight.Get()
	switch {
	case v.in:
		return ""
	case s.inFlight.Add(1) > int64(limit):
		refusal = overloaded
	case !v.address.Enter(s.settings.AddressShare.Get(), limit):
		refusal = overShare
	default:
		v.in = true
		return ""
	}
	s.inFlight.Add(-1)
	s.metrics.shed.Inc()
	return refusal
}

// leave counts the request out, once.
func (v *visit) leave() {
	if v.in {
		v.in = false
		v.address.Leave()
		v.server.inFlight.Add(-1)
	}
}

// take takes memory for what the client has not sent whole, or not read yet. drop gives it
// back.
func (v *visit) take(n int64) bool {
	b := v.server.bodies
	if !b.TakePart(n, memory.ClientPart) {
		v.server.metrics.shed.Inc()
		return false
	}
	if !v.address.Hold(n, v.server.settings.AddressShare.Get(), b.Limit()) {
		b.Release(n)
		v.server.metrics.shed.Inc()
		return false
	}
	return true
}

func (v *visit) drop(n int64) {
	if n > 0 {
		v.server.bodies.Release(n)
		v.address.Release(n)
	}
}

// WriteHeader implements http.ResponseWriter.
func (v *visit) WriteHeader(status int) {
	v.leave()
	v.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// visited serves requests that count as in flight when they say so themselves: those
// with a body, once it was read, since a body that comes slowly must hold no place.
func (s *Server) visited(next func(*visit, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{ResponseWriter: w, server: s, address: connections.Of(r.Context())}
		defer v.leave()
		ctx, cancel := context.WithTimeout(r.Context(), s.settings.Deadline.Get())
		defer cancel()
		next(v, r.WithContext(ctx))
	})
}

// limit bounds the requests under way and the time of each.
func (s *Server) limit(next func(*visit, *http.Request)) http.Handler {
	return s.visited(func(v *visit, r *http.Request) {
		if refusal := v.enter(); refusal != "" {
			tryAgain(v, refusal)
			return
		}
		next(v, r)
	})
}

// tryAgain answers that the node has no room now.
func tryAgain(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", retrySecond)
	problemJSON(w, http.StatusServiceUnavailable, why)
}
