package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/printable"
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

// batchWorkers bounds the members of one batch that run at once.
const batchWorkers = 16

// gateway answers JSON-RPC from the cache and the providers.
type gateway struct {
	settings  Settings
	cache     *cache.Cache
	upstreams *upstream.Set
	finalised func(block uint64) bool
	metrics   *metrics
}

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

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, problem := readBody(w, r, g.settings)
	if problem != nil {
		write(w, problem.status, rpcError(nil, problem.code, problem.text))
		return
	}
	if body[0] == '[' {
		g.batch(w, r, body)
		return
	}
	reply := g.one(r.Context(), body)
	if reply.body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if reply.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	write(w, reply.status, reply.body)
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

func (g *gateway) batch(w http.ResponseWriter, r *http.Request, body []byte) {
	var members []json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		write(w, http.StatusBadRequest, rpcError(nil, codeParse, "the body is not JSON"))
		return
	}
	if len(members) == 0 {
		write(w, http.StatusBadRequest, rpcError(nil, codeInvalid, "the batch is empty"))
		return
	}
	if len(members) > g.settings.MaxBatch.Get() {
		write(w, http.StatusRequestEntityTooLarge, rpcError(nil, codeLimit, "the batch has more members than api.max_batch"))
		return
	}
	replies := make([][]byte, len(members))
	var wg sync.WaitGroup
	slots := make(chan struct{}, batchWorkers)
	for i, m := range members {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			replies[i] = g.one(r.Context(), m).body
		})
	}
	wg.Wait()
	out := []byte{'['}
	for _, reply := range replies {
		if reply == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, reply...)
	}
	if len(out) == 1 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	write(w, http.StatusOK, append(out, ']'))
}

// one answers one request.
func (g *gateway) one(ctx context.Context, body []byte) rpcReply {
	var req rpcRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return rpcReply{rpcError(nil, codeParse, "the request is not a JSON-RPC object"), http.StatusBadRequest}
	}
	if req.Version != "2.0" || req.Method == "" || !validID(req.ID) {
		return rpcReply{rpcError(nil, codeInvalid, "the request needs \"jsonrpc\": \"2.0\", a method and an id that is a string or a number"), http.StatusBadRequest}
	}
	result, status, code, err := g.call(ctx, req.Method, req.Params)
	outcome := "success"
	if err != nil {
		outcome = "error"
	}
	g.metrics.rpc.WithLabelValues(methodLabel(req.Method), outcome).Inc()
	switch {
	case req.ID == nil:
		return rpcReply{nil, http.StatusNoContent}
	case err == nil:
		return rpcReply{rpcResult(req.ID, result), http.StatusOK}
	}
	var rpc *upstream.RPCError
	if errors.As(err, &rpc) {
		return rpcReply{rpcFull(req.ID, rpc), http.StatusOK}
	}
	return rpcReply{rpcError(req.ID, code, printable.Clean(err.Error(), 300)), status}
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

// call serves one method. On error it returns the HTTP status and JSON-RPC code
// that say so.
func (g *gateway) call(ctx context.Context, method string, raw json.RawMessage) (result []byte, status, code int, err error) {
	p, ok := policyFor(method)
	if !ok {
		return nil, http.StatusOK, codeNoMethod, errors.New("the method " + printable.Clean(method, 60) + " is not served by this gateway")
	}
	if len(raw) == 0 || string(raw) == "null" {
		raw = json.RawMessage("[]")
	}
	params, err := canonical(raw)
	if err != nil {
		return nil, http.StatusOK, codeParams, errors.New("params must be an array")
	}
	if p.once {
		a, err := g.upstreams.Once(ctx, method, params)
		status, code := failure(err)
		return a.Result, status, code, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(params, &list); err != nil {
		return nil, http.StatusOK, codeParams, errors.New("params must be an array")
	}
	number, fixed, keep := p.blockParam(list)
	body, _, err := g.cache.Get(ctx, p.class, method+string(params), func(ctx context.Context) (cache.Loaded, error) {
		a, err := g.upstreams.Call(ctx, method, params)
		if err != nil {
			return cache.Loaded{}, err
		}
		l := cache.Loaded{Body: a.Result, NoStore: !keep}
		switch {
		case string(a.Result) == "null":
			l.Class = cache.NotFound
		case p.subject:
			n, ok := restsOn(a.Result)
			l.Unsettled = !ok || !g.finalised(n)
		case p.block >= 0 && !fixed:
			l.Class = cache.RPC // "latest" and its like move with the head
		case p.block >= 0 && number != 0:
			l.Unsettled = !g.finalised(number)
		}
		return l, nil
	})
	status, code = failure(err)
	return body, status, code, err
}

// failure says how an error of the providers is told to clients.
func failure(err error) (status, code int) {
	switch {
	case err == nil:
		return http.StatusOK, 0
	case errors.Is(err, upstream.ErrUnavailable):
		return http.StatusServiceUnavailable, codeUnavailable
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, upstream.ErrDeadline):
		return http.StatusGatewayTimeout, codeUnavailable
	case errors.Is(err, context.Canceled):
		return 499, codeInternal // nginx's "client closed request"; nobody reads it
	}
	return http.StatusBadGateway, codeInternal
}

func rpcResult(id json.RawMessage, result []byte) []byte {
	out := make([]byte, 0, len(id)+len(result)+40)
	out = append(out, `{"jsonrpc":"2.0","id":`...)
	out = append(out, id...)
	out = append(out, `,"result":`...)
	out = append(out, result...)
	return append(out, '}')
}

func rpcError(id json.RawMessage, code int, text string) []byte {
	return rpcFull(id, &upstream.RPCError{Code: code, Message: text})
}

func rpcFull(id json.RawMessage, e *upstream.RPCError) []byte {
	if id == nil {
		id = json.RawMessage("null")
	}
	// Every member is ours or was parsed as JSON: this cannot fail.
	out, _ := json.Marshal(struct {
		Version string             `json:"jsonrpc"`
		ID      json.RawMessage    `json:"id"`
		Error   *upstream.RPCError `json:"error"`
	}{"2.0", id, e})
	return out
}
