package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/bizra/bizra-top/node/upstream"
)

// JSON-RPC error codes: those of the specification, and EIP-1474's.
const (
	codeParse       = -32700
	codeInvalid     = -32600
	codeNoMethod    = -32601
	codeParams      = -32602
	codeInternal    = -32603
	codeUnavailable = -32002
	codeLimit       = -32005
)

type rpcRequest struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// rpcReply is one answer; status is the HTTP status it would have alone.
type rpcReply struct {
	body   []byte // nil for a notification
	status int
}

type requestProblem struct {
	status, code int
	text         string
}

// readBody reads a JSON body within the bounds.
func readBody(w http.ResponseWriter, r *http.Request, s Settings) ([]byte, *requestProblem) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.MaxBody.Get()))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &requestProblem{http.StatusRequestEntityTooLarge, codeLimit, "the body is over api.max_body"}
	case err != nil:
		return nil, &requestProblem{http.StatusBadRequest, codeParse, "the body could not be read"}
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return nil, &requestProblem{http.StatusBadRequest, codeInvalid, "the body is empty: send a JSON-RPC request"}
	}
	if tooDeep(body, s.MaxDepth.Get()) {
		return nil, &requestProblem{http.StatusBadRequest, codeInvalid, "the JSON is nested deeper than api.max_depth"}
	}
	return body, nil
}

// tooDeep says whether JSON nests deeper than limit, without parsing it.
func tooDeep(data []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > limit {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// parseRequest reads one request. With a problem, the request still has the id,
// if that can be told: clients find the members of a batch by it.
func parseRequest(body []byte) (rpcRequest, *requestProblem) {
	var req rpcRequest
	switch err := json.Unmarshal(body, &req); {
	case err != nil && !json.Valid(body):
		return rpcRequest{}, &requestProblem{http.StatusBadRequest, codeParse, "the request is not JSON"}
	case err != nil:
		return rpcRequest{}, &requestProblem{http.StatusBadRequest, codeInvalid, "the request is not a JSON-RPC object"}
	}
	if !validID(req.ID) {
		return rpcRequest{}, &requestProblem{http.StatusBadRequest, codeInvalid, "the id must be a short string or a number"}
	}
	if req.Version != "2.0" || req.Method == "" {
		return req, &requestProblem{http.StatusBadRequest, codeInvalid, `the request needs "jsonrpc": "2.0" and a method`}
	}
	return req, nil
}

// validID says whether an id may be echoed: absent, null, a number or a string,
// and short.
func validID(id json.RawMessage) bool {
	if len(id) == 0 {
		return true
	}
	if len(id) > 256 {
		return false
	}
	c := id[0]
	return c == '"' || c == '-' || (c >= '0' && c <= '9') || string(id) == "null"
}

// The answers are put together by hand: an encoder would write an id or a result
// another way than it came.

func rpcResult(id json.RawMessage, result []byte) []byte {
	return envelope(id, `,"result":`, result)
}

func rpcError(id json.RawMessage, code int, text string) []byte {
	return rpcFull(id, &upstream.RPCError{Code: code, Message: text})
}

func rpcFull(id json.RawMessage, e *upstream.RPCError) []byte {
	body, _ := json.Marshal(e) // a number, a string, and what was parsed as JSON: it cannot fail
	return envelope(id, `,"error":`, body)
}

func envelope(id json.RawMessage, member string, value []byte) []byte {
	if id == nil {
		id = json.RawMessage("null")
	}
	const head = `{"jsonrpc":"2.0","id":`
	out := make([]byte, 0, len(head)+len(id)+len(member)+len(value)+1)
	out = append(out, head...)
	out = append(out, id...)
	out = append(out, member...)
	out = append(out, value...)
	return append(out, '}')
}
