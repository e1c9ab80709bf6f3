package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/upstream/refusal"
)

// RPCError is a JSON-RPC error as a provider sent it, without what is secret in the
// provider's address. Error is for logs and screens: cleaned, and short.
type RPCError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
	// Reading is what the table of refusals makes of it.
	Reading refusal.Reading `json:"-"`
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("%s (%d)", printable.Clean(e.Message, maxShown), e.Code)
}

// Failure says that a provider did not give an answer that could be passed on.
type Failure struct {
	Provider string
	Kind     string // one of the kinds below
	Text     string
	Class    refusal.Class // where the provider has refused
	Wait     time.Duration // for how long it wants to be left alone, where its class is Quota

	unsent bool // the provider has not seen the question
}

func (e *Failure) Error() string { return e.Provider + ": " + e.Text }

// The kinds of failures, and those of a provider that was not waited for: its
// breaker refused, or others were faster.
const (
	KindTimeout    = "timeout"
	KindConnection = "connection"
	KindStatus     = "status"
	KindQuota      = "quota"
	KindAuth       = "auth"
	KindMalformed  = "malformed"
	KindOversized  = "oversized"
	KindUnsound    = "unsound" // not what the method answers
	KindBreaker    = "breaker"
	KindSlow       = "slow"
)

// kinds are those that are counted.
var kinds = []string{KindTimeout, KindConnection, KindStatus, KindQuota, KindAuth, KindMalformed, KindOversized, KindUnsound}

const (
	// maxShown bounds what is shown of an error text from a provider.
	maxShown = 200
	// maxMessage bounds the message of an error that is passed on. Clients parse it: the
	// range of blocks that would work stands at its end.
	maxMessage = 16 << 10
)

// rpcOf returns the JSON-RPC error in err, failureOf the failure; nil where there is none.
// Most calls have no error, and cost nothing here.
func rpcOf(err error) *RPCError {
	if err == nil {
		return nil
	}
	var rpc *RPCError
	errors.As(err, &rpc)
	return rpc
}

func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	var f *Failure
	errors.As(err, &f)
	return f
}

// classOf is what an error is about, where a provider has refused; else it is Unknown.
func classOf(err error) refusal.Class {
	if rpc := rpcOf(err); rpc != nil {
		return rpc.Reading.Class
	}
	if f := failureOf(err); f != nil {
		return f.Class
	}
	return refusal.Unknown
}

// isAnswer says whether an error is one of JSON-RPC.
func isAnswer(err error) bool { return rpcOf(err) != nil }

// final says whether an error, or nil, is an answer: nobody else need be asked.
func final(err error) bool {
	if err == nil {
		return true
	}
	rpc := rpcOf(err)
	return rpc != nil && rpc.Reading.Class.Final()
}

// oversized says whether an answer was too large to be read.
func oversized(err error) bool {
	f := failureOf(err)
	return f != nil && f.Kind == KindOversized
}

// unsound says whether an answer was of another kind than the method answers.
func unsound(err error) bool {
	f := failureOf(err)
	return f != nil && f.Kind == KindUnsound
}

// suspicious says whether an error is this provider's fault or the question's doing, which
// only the answer of another can tell.
func suspicious(err error) bool {
	return err != nil && (isAnswer(err) && classOf(err) == refusal.Internal || oversized(err) || unsound(err))
}

// refusedBy reads the error member of an answer.
func (p *provider) refusedBy(resp *http.Response, method string, raw json.RawMessage) error {
	e, ok := parseError(raw)
	if !ok {
		return p.failure(KindMalformed, "the error in the answer is not of JSON-RPC")
	}
	s := refusal.Said{Method: method, Status: resp.StatusCode, Code: e.Code, Message: e.Message, Data: e.Data}
	e.Reading = refusal.Read(s)
	switch class := e.Reading.Class; class {
	case refusal.Quota, refusal.Auth, refusal.Unavailable:
		return p.refuses(resp, s, class, "refuses: "+p.text(e.Message, maxShown))
	}
	if e.Code == 0 {
		e.Code = defaultCode
	}
	e.Message = cut(p.secrets.Text(e.Message), maxMessage)
	e.Data = p.secrets.JSON(e.Data)
	return e
}

// defaultCode is what an error without a code is passed on with, as by geth.
const defaultCode = -32000

// refusedByStatus reads an answer that is no JSON-RPC, and whose status is not 200.
func (p *provider) refusedByStatus(resp *http.Response, method string, body []byte) error {
	s := refusal.Said{Method: method, Status: resp.StatusCode, Data: body}
	text := fmt.Sprintf("answered HTTP %d", resp.StatusCode)
	switch class := refusal.Read(s).Class; class {
	case refusal.Quota, refusal.Auth:
		return p.refuses(resp, s, class, text)
	case refusal.Limit, refusal.Method:
		f := p.failure(KindStatus, text)
		f.Class = class
		return f
	}
	return p.refuses(resp, s, refusal.Unavailable, text)
}

// refuses is a refusal that concerns this node's account, or the provider as a whole. Its
// words are not for clients.
func (p *provider) refuses(resp *http.Response, s refusal.Said, class refusal.Class, text string) *Failure {
	kind := KindStatus
	switch class {
	case refusal.Auth:
		kind = KindAuth
	case refusal.Quota:
		kind = KindQuota
	}
	f := p.failure(kind, text)
	f.Class = class
	switch {
	case class == refusal.Quota:
		f.Wait = p.rest(refusal.Wait(resp.Header, s, time.Now()))
	case class == refusal.Unavailable && resp.StatusCode >= 500:
		if d := refusal.Header(resp.Header.Get("Retry-After"), time.Now()); d > 0 {
			p.rest(d)
		}
	}
	return f
}

func (p *provider) failure(kind, text string) *Failure {
	return &Failure{Provider: p.name, Kind: kind, Text: text}
}

// parseError reads the error member of a JSON-RPC answer, which is valid JSON. Some send a
// string in its place, or in the place of its code.
func parseError(raw json.RawMessage) (e *RPCError, ok bool) {
	var o struct{ Code, Message, Data json.RawMessage }
	e = &RPCError{}
	switch {
	case len(raw) == 0:
		return nil, false
	case raw[0] == '"':
		return e, json.Unmarshal(raw, &e.Message) == nil
	case raw[0] != '{' || json.Unmarshal(raw, &o) != nil:
		return nil, false
	}
	if json.Unmarshal(o.Message, &e.Message) != nil {
		e.Message = string(o.Message)
	}
	digits := strings.Trim(string(o.Code), `"`)
	if n, err := strconv.ParseFloat(digits, 64); err == nil && math.Abs(n) <= math.MaxInt32 {
		e.Code = int(n)
	}
	e.Data = o.Data
	return e, true
}

// cut shortens a text to at most so many bytes, at the end of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
