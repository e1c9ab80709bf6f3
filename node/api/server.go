package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/time/rate"

	"github.com/bizra/bizra-top/node/cache"
	"github.com/bizra/bizra-top/node/connections"
	"github.com/bizra/bizra-top/node/gateway/verify"
	"github.com/bizra/bizra-top/node/handover"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/store"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/node/upstream"
	"github.com/bizra/bizra-top/node/validation"
)

// openAPI describes every route.
//
//go:embed openapi.json
var openAPI []byte

// Parts are what the API answers from.
type Parts struct {
	Validator *validation.Validator
	Cache     *cache.Cache
	Upstreams *upstream.Set
	// Prover, which may be nil, proves the gateway's answers; without it nothing is kept
	// beyond its moment.
	Prover *verify.Prover
	Ledger *store.Ledger
	// Health says how the node is, in the checks that are named here; Ready is
	// false while it should get no traffic.
	Health   func() Health
	Observer Observer
	// Registry is exported at /metrics.
	Registry *prometheus.Registry
	// Report, which may be nil, is told of what clients are not: why an answer failed.
	Report func(text string)
	// Bodies bounds what is in flight, with what the providers answer.
	Bodies *memory.Budget
	// Listener is what is served, and Adopted connections to it that another process
	// accepted. A nil Listener listens on api.listen.
	Listener net.Listener
	Adopted  []net.Conn
}

// Observer answers PromQL over the node's own metrics, as they are now. It may be
// called from any goroutine.
type Observer interface {
	Query(ctx context.Context, expr string) ([]Sample, error)
	// Panel returns the query of a panel, by its name.
	Panel(id string) (expr string, ok bool)
}

// Sample is one series of the answer to a query.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Server is the public HTTP server.
type Server struct {
	settings Settings
	http     *http.Server
	listener *handover.Listener
	accepted *connections.Listener // over listener
	inFlight atomic.Int64
	opened   time.Time
	serving  atomic.Bool // from Serve on
	leaving  atomic.Bool // from HandOver on
	// drainingSince is when Shutdown began; nil before. heldOut is since when the
	// operator wants no traffic.
	drainingSince, heldOut atomic.Pointer[time.Time]
	metrics                *metrics
	health                 *health
	streams                *streams
	patterns               []string // of all routes
	gateway                *gateway
	bodies                 *memory.Budget
	verdicts               *verdicts
	report                 func(text string)
	reporting              rate.Sometimes
	rpcMeter               meter
}

// Listen opens the socket at api.listen.
func Listen(s Settings) (net.Listener, error) {
	l, err := net.Listen("tcp", s.Listen.Get())
	if err != nil {
		return nil, fmt.Errorf("listen on api.listen %s: %w; choose another with --listen", s.Listen.Get(), err)
	}
	return l, nil
}

const (
	// idleLimit is how long a connection may wait for its next request: longer than
	// clients keep theirs, so that it is they who close.
	idleLimit = 2 * time.Minute
	// silentLimit is how long a new connection may be without a byte.
	silentLimit = 5 * time.Second
)

// New returns a server that listens but does not answer yet; Serve does.
func New(s Settings, parts Parts) (*Server, error) {
	if parts.Listener == nil {
		var err error
		if parts.Listener, err = Listen(s); err != nil {
			return nil, err
		}
	}
	srv := &Server{settings: s, metrics: newMetrics(), opened: time.Now(), bodies: parts.Bodies, report: parts.Report, reporting: rate.Sometimes{Interval: 10 * time.Second},
		listener: handover.NewListener(parts.Listener, parts.Adopted, handover.Patience{First: silentLimit, Next: idleLimit})}
	srv.accepted = connections.NewListener(srv.listener, connections.Options{Name: "api", Max: s.maxConnections, Share: s.AddressShare.Get, Rate: s.LeastRate.Get})
	srv.health, srv.streams = &health{server: srv, parts: parts}, newStreams(s, parts.Observer)
	parts.Registry.MustRegister(append(srv.metrics.collectors(srv), srv.accepted.Collectors()...)...)
	srv.http = &http.Server{
		Handler:           srv.routes(parts),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       idleLimit, // writing has a least rate instead of a time
		MaxHeaderBytes:    16 << 10,
		ConnContext:       connections.ConnContext,
		ConnState: func(c net.Conn, to http.ConnState) {
			srv.listener.ConnState(connections.ConnState(c, to), to)
			srv.metrics.connection(c, to)
		},
	}
	return srv, nil
}

// Routes returns the patterns of what is served, as net/http writes them.
func (s *Server) Routes() []string { return slices.Clone(s.patterns) }

// Address returns where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Listens returns where the server listens, as it is dialled.
func (s *Server) Listens() net.Addr { return s.listener.Addr() }

// ServeHTTP answers one request, as Serve does those of its listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// Serve answers until Shutdown.
func (s *Server) Serve() error {
	ctx, stop := context.WithCancel(context.Background())
	var streaming sync.WaitGroup
	supervise.Loop(ctx, &streaming, "streams", s.streams.run)
	s.http.RegisterOnShutdown(stop)
	defer streaming.Wait()
	defer stop()
	s.serving.Store(true)
	err := s.http.Serve(s.accepted)
	if !errors.Is(err, http.ErrServerClosed) && !(s.leaving.Load() && errors.Is(err, net.ErrClosed)) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}

// Shutdown says at /health/ready that no traffic should come, and after
// api.drain_delay refuses new connections and waits for requests under way, at most
// for api.drain_timeout; then it cuts them.
func (s *Server) Shutdown() error {
	began := time.Now()
	s.drainingSince.CompareAndSwap(nil, &began)
	time.Sleep(s.settings.DrainAfter.Get())
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.DrainFor.Get())
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		cut := s.inFlight.Load()
		_ = s.http.Close() // what is still open is cut; nothing more can be done
		return fmt.Errorf("%d requests did not finish within api.drain_timeout and were cut", cut)
	}
	return nil
}

// HandOver stops accepting, answers what is under way, at most for api.drain_timeout,
// and gives away the connections that wait for their next request. The socket that
// the listener was made of is not closed.
func (s *Server) HandOver(give func(net.Conn) error) error {
	s.leaving.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.DrainFor.Get())
	defer cancel()
	drained := s.listener.Drain(ctx, give)
	cut := s.inFlight.Load()
	if err := s.http.Close(); drained == nil {
		return err
	}
	return fmt.Errorf("%d requests did not finish within api.drain_timeout and were cut: %w", cut, drained)
}

// Draining says whether Shutdown has begun, or Drain holds.
func (s *Server) Draining() bool { return s.drainingSince.Load() != nil || s.heldOut.Load() != nil }

// HeldOut says whether Drain holds.
func (s *Server) HeldOut() bool { return s.heldOut.Load() != nil }

// Drain says at /health/ready that no traffic should come, until it is told
// otherwise. Requests that come all the same are answered.
func (s *Server) Drain(on bool) {
	if !on {
		s.heldOut.Store(nil)
		return
	}
	now := time.Now()
	s.heldOut.CompareAndSwap(nil, &now)
}

func (s *Server) routes(p Parts) http.Handler {
	p.Cache.Prove(provable, proves(p.Validator))
	v := &verdicts{s, s.settings, p.Bodies, p.Validator, p.Cache, p.Ledger}
	s.verdicts, s.gateway, s.rpcMeter = v, newGateway(s.settings, p, s.metrics, s.tell), s.metrics.route(rpcRoute)
	mux, known := http.NewServeMux(), http.NewServeMux()
	open := func(pattern string, h http.Handler) {
		s.patterns = append(s.patterns, pattern)
		mux.Handle(pattern, s.measure(pattern, h))
		known.Handle(pattern, h)
	}
	open("GET /v1/transactions/{hash}", s.limit(v.handle(validation.KindTransaction, "hash")))
	open("GET /v1/blocks/{id}", s.limit(v.handle(validation.KindBlock, "id")))
	open("GET /v1/addresses/{address}", s.limit(v.handle(validation.KindAddress, "address")))
	open("POST /v1/validations", s.visited(v.batch))
	open("GET /v1/validations", s.limit(v.list))
	s.patterns = append(s.patterns, rpcRoute)
	known.Handle(rpcRoute, http.HandlerFunc(s.rpc))
	open("GET /v1/openapi.json", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, openAPI)
	}))
	// Health and metrics answer also under overload: that is when they are read.
	open("GET /metrics", promhttp.HandlerFor(p.Registry, promhttp.HandlerOpts{Registry: p.Registry, MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	for path, h := range map[string]http.HandlerFunc{"": s.health.all, "/live": s.health.live, "/ready": s.health.ready,
		"/startup": s.health.startup, "/" + checkPerformance: s.health.performance} {
		open("GET /health"+path, h)
	}
	for _, check := range checks {
		open("GET /health/"+check, s.health.one(check))
	}
	// Not measured as a request: a stream lasts for hours.
	s.patterns = append(s.patterns, streamRoute)
	mux.Handle(streamRoute, s.streams)
	known.Handle(streamRoute, s.streams)
	mux.Handle("/", s.measure(otherRoute, nothing(known)))
	return s.guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		// The busiest route needs no search.
		if r.URL.Path == "/" && r.Method == http.MethodPost {
			s.rpc(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// nothing answers what no route takes. A mux knows whether a path has other
// methods, but says so in plain text.
func nothing(routes *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, _ := routes.Handler(r)
		said := &discarded{header: http.Header{}}
		h.ServeHTTP(said, r)
		if said.status != http.StatusMethodNotAllowed {
			problemJSON(w, http.StatusNotFound, "there is nothing here; verdicts are under /v1/transactions, /v1/blocks and /v1/addresses")
			return
		}
		allow := said.header.Get("Allow")
		w.Header().Set("Allow", allow)
		if r.URL.Path == "/" {
			problemJSON(w, http.StatusMethodNotAllowed, "JSON-RPC requests are sent with POST; verdicts are under /v1")
			return
		}
		problemJSON(w, http.StatusMethodNotAllowed, "this is asked for with "+allow)
	})
}

// discarded keeps the head of an answer and forgets its body.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }

// clock is the time since the server was built: reading the monotonic clock alone
// costs half of time.Now.
func (s *Server) clock() time.Duration { return time.Since(s.opened) }

// measure counts and times one route.
func (s *Server) measure(pattern string, next http.Handler) http.Handler {
	m := s.metrics.route(pattern)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.clock()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		m.count(rec.status, s.clock()-began)
	})
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// write sends a body and returns the status.
func write(w http.ResponseWriter, status int, body []byte) int {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left cannot be told
	return status
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		problemJSON(w, http.StatusInternalServerError, "the answer could not be encoded")
		return
	}
	write(w, status, body)
}

// problemJSON answers as RFC 9457 says.
func problemJSON(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	body, _ := json.Marshal(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
	write(w, status, body)
}
