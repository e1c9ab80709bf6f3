package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/connections"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/upstream"
)

// gateway answers JSON-RPC from the cache and the providers. What the cache holds
// is answered without a lock, a goroutine or a copy of the request.
type gateway struct {
	settings  Settings
	bodies    *memory.Budget
	cache     *cache.Cache
	upstreams *upstream.Set
	prover    *verify.Prover
	tell      func(error) string // Server.tell
	methods   map[string]*method
	other     *method              // reads that are not in the table
	writes    *method              // and writes
	answers   []prometheus.Counter // by cache.Trust
}

// method is a row of the table of methods, with its counters.
type method struct {
	policy
	success, failure prometheus.Counter
}

func newGateway(s Settings, p Parts, m *metrics, tell func(error) string) *gateway {
	row := func(name string, p policy) *method {
		return &method{p, m.rpc.WithLabelValues(name, "success"), m.rpc.WithLabelValues(name, "error")}
	}
	g := &gateway{settings: s, tell: tell, bodies: p.Bodies, cache: p.Cache, upstreams: p.Upstreams, prover: p.Prover,
		methods: map[string]*method{}, other: row("other", unknown), writes: row("other", unknownWrite)}
	for name, p := range policies {
		g.methods[name] = row(name, p)
	}
	for _, words := range verified {
		g.answers = append(g.answers, m.answers.WithLabelValues(words[0]))
	}
	return g
}

// serve answers a request and returns the HTTP status.
func (g *gateway) serve(w *visit, r *http.Request, x *exchange) int {
	if problem := x.read(r, g.settings); problem != nil {
		if problem.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", retrySecond)
		}
		return write(w, problem.status, rpcError(nil, problem.code, problem.text))
	}
	if refusal := w.enter(); refusal != "" {
		return g.tryAgain(w, nil, codeUnavailable, refusal)
	}
	v, err := x.parser.ParseBytes(x.in)
	if err != nil { // it was valid a moment ago
		return write(w, http.StatusBadRequest, rpcError(nil, codeParse, "the body is not JSON"))
	}
	if v.Type() == fastjson.TypeArray {
		ctx, cancel := context.WithTimeout(r.Context(), g.settings.Deadline.Get())
		defer cancel()
		return g.batch(ctx, w, r, x, v.GetArray())
	}
	req, problem := x.take(v)
	if problem != nil {
		return write(w, problem.status, rpcError(req.id, problem.code, problem.text))
	}
	a, m, known := g.hit(x, req)
	if !known {
		ctx, cancel := context.WithTimeout(r.Context(), g.settings.Deadline.Get())
		defer cancel()
		var status, code int
		if a, status, code, err = g.call(ctx, m, string(req.method), string(x.key)); err != nil {
			return g.fail(w, m, req.id, status, code, err)
		}
	}
	m.success.Inc()
	if req.id == nil {
		w.WriteHeader(http.StatusNoContent)
		return http.StatusNoContent
	}
	x.head = append(appendHead(x.head[:0], req.id), rpcResult...)
	if !x.sendAnswer(w, r, g.settings, http.StatusOK, x.head, a, "}") {
		return g.tryAgain(w, req.id, codeLimit, overBodies)
	}
	g.answers[a.Trust].Inc()
	return http.StatusOK
}

// tryAgain answers that the node has no room now.
func (g *gateway) tryAgain(w http.ResponseWriter, id []byte, code int, why string) int {
	w.Header().Set("Retry-After", retrySecond)
	return write(w, http.StatusServiceUnavailable, rpcError(id, code, why))
}

// hit finds the row of a request's method, and its answer if L1 has it. The key of
// a request that must be asked for is left in the exchange; it is empty when the
// parameters are no array.
func (g *gateway) hit(x *exchange, req request) (cache.Answer, *method, bool) {
	m, ok := g.methods[string(req.method)]
	if !ok {
		if m = g.other; sends(string(req.method)) {
			m = g.writes
		}
	}
	if x.key, ok = appendKey(x.key[:0], req); !ok {
		x.key = x.key[:0]
		return cache.Answer{}, m, false
	}
	if m.local != notLocal {
		body, trust := g.knownNow(m)
		return cache.Answer{Body: body, Trust: trust}, m, body != nil
	}
	if m.once || !m.keep {
		return cache.Answer{}, m, false
	}
	a, ok := g.cache.Peek(m.class, x.key)
	return a, m, ok
}

func (g *gateway) fail(w *visit, m *method, id []byte, status, code int, err error) int {
	m.failure.Inc()
	if id == nil {
		w.WriteHeader(http.StatusNoContent)
		return http.StatusNoContent
	}
	if after := retryAfter(status, err); after != "" {
		w.Header().Set("Retry-After", after)
	}
	body := g.failed(id, code, err)
	if len(body) >= countAbove { // the data of an error
		if !w.take(int64(len(body))) {
			return g.tryAgain(w, id, codeLimit, overBodies)
		}
		defer w.drop(int64(len(body)))
	}
	return write(w, status, body)
}

// failed is an error as JSON-RPC clients read it.
func (g *gateway) failed(id []byte, code int, err error) []byte {
	var rpc *upstream.RPCError
	if errors.As(err, &rpc) {
		return rpcFull(id, rpc)
	}
	return rpcError(id, code, g.tell(err))
}

// call serves one method. On error it returns the HTTP status and JSON-RPC code
// that say so.
func (g *gateway) call(ctx context.Context, m *method, name, key string) (a cache.Answer, status, code int, err error) {
	if (m == g.other || m == g.writes) && !passedOn(name) {
		return a, http.StatusOK, codeNoMethod, refusal("the method " + printable.Clean(name, 60) + " is not served by this gateway")
	}
	if key == "" {
		return a, http.StatusOK, codeParams, refusal("params must be an array")
	}
	if ctx.Err() != nil {
		// A load outlives who started it: none is started for who has left.
		status, code := failure(ctx.Err())
		return a, status, code, ctx.Err()
	}
	if m.local != notLocal {
		body, trust, err := g.known(ctx, m)
		status, code := failure(err)
		return cache.Answer{Body: body, Trust: trust}, status, code, err
	}
	params := json.RawMessage(key[len(name):])
	if m.once {
		share := g.bodies.Share(answerFactor)
		defer share.Release()
		once, err := g.send(memory.With(ctx, share), upstream.Question{Method: name, Params: params})
		status, code := failure(err)
		return cache.Answer{Body: once.Result, Trust: cache.Single}, status, code, err
	}
	a, err = g.cache.Get(ctx, m.class, key, g.loader(m, name, params))
	status, code = failure(err)
	return a, status, code, err
}

// send makes a write.
func (g *gateway) send(ctx context.Context, q upstream.Question) (upstream.Answer, error) {
	if q.Method == sendRaw {
		return g.upstreams.Broadcast(ctx, q, g.settings.Broadcast.Get())
	}
	return g.upstreams.Once(ctx, q)
}

// rpcRoute is the pattern of the gateway's route.
const rpcRoute = "POST /{$}"

// rpc serves the gateway's route: it sheds, measures and answers.
func (s *Server) rpc(w http.ResponseWriter, r *http.Request) {
	began := s.clock()
	x := exchanges.Get().(*exchange)
	x.visit = visit{ResponseWriter: w, server: s, address: connections.Of(r.Context())}
	defer x.release()
	defer x.visit.leave()
	s.rpcMeter.count(s.gateway.serve(&x.visit, r, x), s.clock()-began)
}
