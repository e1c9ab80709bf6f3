package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/validation"
)

// Clients are strangers: they are told what happened to their request and what they can
// do, in words that are written here. What a provider, a database or the operating system
// said, and where, is the operator's: it goes to the log, the events and the control
// socket.

// ledgerError is an error of the ledger; doing is what could not be done.
type ledgerError struct {
	doing string
	err   error
}

func (e *ledgerError) Error() string { return "the ledger cannot be " + e.doing + ": " + e.err.Error() }
func (e *ledgerError) Unwrap() error { return e.err }

// refusal is what a client is told of its own request.
type refusal string

func (r refusal) Error() string { return string(r) }

// failureTexts say what became of a call, by the kind of failure, behind the name of the
// last provider.
var failureTexts = map[string]string{
	upstream.KindTimeout:    "no answer in time",
	upstream.KindConnection: "cannot be reached",
	upstream.KindStatus:     "refuses the call for now",
	upstream.KindQuota:      "refuses the call for now",
	upstream.KindAuth:       "refuses the call for now",
	upstream.KindMalformed:  "the answer is not JSON-RPC",
	upstream.KindOversized:  "the answer is larger than the node takes; ask for less",
	upstream.KindUnsound:    "the answer is not one to this method",
	upstream.KindBreaker:    "cannot be asked now; try again in a second",
	upstream.KindSlow:       "no answer in time",
}

// failure says how an error is told to clients: as an HTTP status and a JSON-RPC code.
func failure(err error) (status, code int) {
	var (
		failed *upstream.Failure
		rpc    *upstream.RPCError
		ledger *ledgerError
		quota  *upstream.Exhausted
	)
	switch {
	case err == nil, errors.As(err, &rpc):
		return http.StatusOK, 0
	case errors.As(err, &quota):
		return http.StatusTooManyRequests, codeLimit
	case errors.Is(err, upstream.ErrHeight):
		return http.StatusServiceUnavailable, codeUnavailable
	case errors.Is(err, upstream.ErrOverload), errors.Is(err, cache.ErrBusy):
		return http.StatusServiceUnavailable, codeLimit
	case errors.Is(err, errNoHead), errors.Is(err, upstream.ErrUnavailable), errors.Is(err, cache.ErrClosed):
		return http.StatusServiceUnavailable, codeUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, upstream.ErrDeadline):
		return http.StatusGatewayTimeout, codeUnavailable
	case errors.Is(err, context.Canceled):
		return 499, codeInternal // nginx's "client closed request"; nobody reads it
	case errors.As(err, &ledger):
		return http.StatusServiceUnavailable, codeInternal
	case errors.As(err, &failed) && failed.Kind == upstream.KindTimeout:
		return http.StatusGatewayTimeout, codeUnavailable
	case errors.As(err, &failed) && failed.Kind == upstream.KindBreaker:
		return http.StatusServiceUnavailable, codeUnavailable
	}
	return http.StatusBadGateway, codeInternal
}

// told is an error as clients read it. known is false for one that only the operator can
// make something of.
func told(err error) (text string, known bool) {
	var (
		input  *validation.InputError
		failed *upstream.Failure
		rpc    *upstream.RPCError
		ledger *ledgerError
		own    refusal
		away   *upstream.Unavailable
		quota  *upstream.Exhausted
		height *upstream.HeightError
	)
	switch {
	case errors.Is(err, errNoHead):
		return errNoHead.Error(), true
	case errors.Is(err, errContradicts):
		return errContradicts.Error(), true
	case errors.As(err, &own):
		return own.Error(), true
	case errors.As(err, &input):
		return input.Error(), true
	case errors.As(err, &rpc):
		return rpc.Error(), true
	case errors.Is(err, upstream.ErrOverload), errors.Is(err, cache.ErrBusy):
		return "the node is at its limits; try again in a second", true
	case errors.As(err, &away):
		return away.Error(), true
	case errors.As(err, &quota):
		return quota.Error(), true
	case errors.As(err, &height):
		return height.Error(), true
	case errors.Is(err, upstream.ErrUnavailable):
		return upstream.ErrUnavailable.Error(), true
	case errors.Is(err, cache.ErrClosed):
		return "the node is shutting down", true
	case errors.As(err, &ledger):
		return "the ledger cannot be " + ledger.doing + " now; try again in a second", false
	case err == context.DeadlineExceeded: // the request's own, which says nothing of what was waited for
		return "no answer within api.deadline", true
	case errors.As(err, &failed) && failureTexts[failed.Kind] != "":
		return failed.Provider + ": " + failureTexts[failed.Kind], true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, upstream.ErrDeadline):
		return "no provider answered in time", true
	case errors.Is(err, context.Canceled):
		return "the request was given up", true
	case errors.Is(err, validation.ErrNoAnswer):
		return "no provider answered what the verdict needs", true
	}
	return "internal error; the node's log says more", false
}

// explain says what an error means to a client of /v1, and reports what the client is not
// told.
func (s *Server) explain(err error) (status int, text string) {
	text = s.tell(err)
	var input *validation.InputError
	if errors.As(err, &input) {
		return http.StatusBadRequest, text
	}
	var (
		failed *upstream.Failure
		rpc    *upstream.RPCError
	)
	switch status, _ = failure(err); {
	case status == http.StatusOK, status == http.StatusBadGateway && (errors.As(err, &failed) || errors.As(err, &rpc)):
		return http.StatusBadGateway, text
	case status != http.StatusBadGateway:
		return status, text
	}
	return http.StatusServiceUnavailable, text // of this node: nobody can be asked
}

// tell returns an error as clients read it, and reports to the operator what they do not.
func (s *Server) tell(err error) string {
	text, known := told(err)
	if !known && s.report != nil {
		s.reporting.Do(func() { s.report(printable.Clean(strings.ReplaceAll(err.Error(), "\n", "; "), 300)) })
	}
	return text
}

func (s *Server) refuse(w http.ResponseWriter, err error) {
	status, text := s.explain(err)
	if after := retryAfter(status, err); after != "" {
		w.Header().Set("Retry-After", after)
	}
	problemJSON(w, status, text)
}

// retryAfter is when a client may ask again, as the header says it; empty where that is not
// known.
func retryAfter(status int, err error) string {
	var quota *upstream.Exhausted
	switch {
	case errors.As(err, &quota):
		return strconv.Itoa(int(math.Ceil(max(quota.Wait.Seconds(), 1))))
	case status == http.StatusServiceUnavailable:
		return retrySecond
	}
	return ""
}

// queryText is what is wrong with a query, as its client reads it: it wrote the query.
func queryText(err error) string {
	return printable.Clean(strings.ReplaceAll(err.Error(), "\n", "; "), 300)
}
