package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/upstream"
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

// one answers one request. Members of a batch run in goroutines of their own,
// where net/http does not catch a panic: one answer may be lost to a bug, the
// node may not.
func (g *gateway) one(ctx context.Context, body []byte) (reply rpcReply) {
	req, problem := parseRequest(body)
	if problem != nil {
		return rpcReply{rpcError(req.ID, problem.code, problem.text), problem.status}
	}
	outcome := "error"
	defer func() {
		if p := recover(); p != nil {
			reply = rpcReply{rpcError(req.ID, codeInternal, "internal error"), http.StatusInternalServerError}
		}
		g.metrics.rpc.WithLabelValues(methodLabel(req.Method), outcome).Inc()
	}()
	result, status, code, err := g.call(ctx, req.Method, req.Params)
	if err == nil {
		outcome = "success"
	}
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
	return rpcReply{rpcError(req.ID, code, errorText(err)), status}
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
	if ctx.Err() != nil {
		// A load outlives who started it: none is started for who has left.
		status, code := failure(ctx.Err())
		return nil, status, code, ctx.Err()
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
			n, mined := restsOn(a.Result)
			if !mined {
				l.Class = cache.RPC // the next block may hold it
				break
			}
			l.Unsettled = !g.finalised(n)
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
	var failed *upstream.Failure
	switch {
	case err == nil:
		return http.StatusOK, 0
	case errors.Is(err, upstream.ErrUnavailable):
		return http.StatusServiceUnavailable, codeUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, upstream.ErrDeadline):
		return http.StatusGatewayTimeout, codeUnavailable
	case errors.Is(err, context.Canceled):
		return 499, codeInternal // nginx's "client closed request"; nobody reads it
	case errors.As(err, &failed) && failed.Kind == "timeout":
		return http.StatusGatewayTimeout, codeUnavailable
	case errors.As(err, &failed) && failed.Kind == "breaker":
		return http.StatusServiceUnavailable, codeUnavailable
	}
	return http.StatusBadGateway, codeInternal
}

// errorText is an error as clients read it.
func errorText(err error) string {
	if err == context.DeadlineExceeded { // the request's own, which says nothing of what was waited for
		return "no answer within api.deadline"
	}
	return printable.Clean(strings.ReplaceAll(err.Error(), "\n", "; "), 300)
}
