package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/connections"
	"github.com/bizra/bizra-top/node/control/trial"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
)

// Observer answers what is measured: the panels, now and over time.
type Observer interface {
	Past
	Panels() []Panel
	Now(ctx context.Context) map[string][]Value
	History(ctx context.Context, span, step time.Duration) (map[string][]Series, error)
}

// Host is what the door opens to: the parts of one node. Every function may be
// called from any goroutine and answers at once, from memory.
type Host struct {
	Registry   *settings.Registry
	Gatherer   prometheus.Gatherer
	Events     *Events
	Operations []Operation
	Node       func() Node
	Breakers   func() []Breaker
	// Transitions returns what a breaker did lately, oldest first.
	Transitions func(breaker string) (list []Transition, known bool)
	// Outcomes returns what is in a breaker's window now.
	Outcomes  func(breaker string) (o Outcomes, known bool)
	Upstreams func() []Upstream
	Pool      func() Pool
	Tiers     func() []Tier
	Warming   func() Warming
	// HotKeys returns at most n keys that most of the cache's hits are for, the
	// hottest first.
	HotKeys func(n int) []HotKey
	// Warn says what is doubtful about a change.
	Warn func(context.Context, Changed) []string
	// Condition says whether a guard holds: an alert fires, or PromQL has a result.
	Condition func(ctx context.Context, guard string) (bool, error)
	// Audit is where everything is recorded.
	Audit *audit.Log
	// Overrides is the path of the file that kept changes are saved to.
	Overrides string
	// Groups may use the socket beside the node's own user and root.
	Groups Groups
	// Changed is called after every change and action.
	Changed  func()
	Observer Observer
	// Prometheus answers /api/v1/ and /-/ as a Prometheus server does, and changes
	// nothing.
	Prometheus http.Handler
	Alerts     func() []Alert
	Silencer   Silencer // writes to disk before it answers
	Driller    Driller
}

// maxRequest bounds a request body.
const maxRequest = 1 << 20

// Server is the control socket, and the door over TCP where that is open.
type Server struct {
	host     Host
	listener net.Listener
	http     *http.Server
	changes  *trial.Book
	saving   sync.Mutex
	refusals rate.Sometimes
	fleet    atomic.Pointer[Certificates] // nil while the door is not open over TCP
}

// ErrRunning says that a node already answers on the socket.
var ErrRunning = errors.New("a node already answers on this socket")

// Listen opens the socket at path, readable and writable by its owner only; with
// groups by all, of whom the server lets in their members. A socket nobody answers
// on is replaced; one that is alive is ErrRunning; anything else at path, symbolic
// links included, is left alone.
func Listen(path string, groups Groups) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path of the control socket %s has %d bytes, a unix socket may have %d; choose a shorter --state-dir or --socket", path, len(path), maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, Unfit("the folder of the control socket", filepath.Dir(path), "--socket", err)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is in the way and is not a socket; move it away, or choose another path with --socket", path)
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%w: %s", ErrRunning, path)
		} else if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, fmt.Errorf("cannot tell whether a node answers on the control socket: %w", NewClient(path).unreached(err))
		}
		if err := os.Remove(path); err != nil {
			return nil, Unfit("the control socket that is left over", path, "--socket", err)
		}
	}
	mask := 0o177
	if groups.Any() {
		mask = 0o111
		if err := letThrough(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("let groups reach the control socket: %w", err)
		}
	}
	old := unix.Umask(mask)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, Unfit("the control socket", path, "--socket", err)
	}
	return l, nil
}

// letThrough lets everyone pass through a folder, and nothing else: it may be one
// that others use as well, such as /run or /tmp.
func letThrough(dir string) error {
	info, err := os.Stat(dir)
	const pass = 0o011
	if err != nil || info.Mode().Perm()&pass == pass {
		return err
	}
	return os.Chmod(dir, info.Mode()|pass)
}

// NewServer returns a server of host on a listener from Listen.
func NewServer(l net.Listener, host Host) *Server {
	s := &Server{host: host, listener: l, refusals: rate.Sometimes{First: 10, Interval: time.Second}}
	s.changes = trial.New(trial.Options{Registry: host.Registry, Condition: host.Condition, Report: s.tell})
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute, // writing has a least rate instead of a time
		MaxHeaderBytes:    16 << 10,
		ConnContext:       s.withPeer,
		ConnState:         func(c net.Conn, to http.ConnState) { connections.ConnState(c, to) },
		ErrorLog:          log.New(complaints{s}, "", 0),
	}
	return s
}

// Serve answers until Close, and takes back what is on trial and not kept in time.
func (s *Server) Serve() error {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	supervise.Loop(ctx, &watching, "trials", s.changes.Run)
	defer watching.Wait()
	defer cancel()
	if err := s.http.Serve(bounded(s.listener)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

// Close stops answering; requests under way have a second. The socket's file is
// removed.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

type handler func(http.ResponseWriter, *http.Request) (any, error)

// verb is one thing that can be asked of the node, and who may.
type verb struct {
	pattern string
	needs   Role
	do      handler
}

// verbs are all of them. A change or an action of high risk needs an admin besides.
func (s *Server) verbs() []verb {
	return []verb{
		{"GET /v1/node", Viewer, func(http.ResponseWriter, *http.Request) (any, error) { return s.host.Node(), nil }},
		{"GET /v1/look", Viewer, s.look},
		{"GET /v1/panels", Viewer, func(http.ResponseWriter, *http.Request) (any, error) { return s.host.Observer.Panels(), nil }},
		{"GET /v1/panels/history", Viewer, s.panelHistory},
		{"GET /v1/settings", Viewer, s.settings},
		{"GET /v1/settings/{key}", Viewer, s.setting},
		{"GET /v1/settings/{key}/explain", Viewer, s.explain},
		{"GET /v1/changes", Viewer, s.kept},
		{"POST /v1/changes", Operator, s.change},
		{"POST /v1/changes/{id}/keep", Operator, s.keep},
		{"POST /v1/changes/{id}/revert", Operator, s.revert},
		{"POST /v1/undo", Operator, s.undo},
		{"POST /v1/redo", Operator, s.redo},
		{"POST /v1/save", Admin, s.save},
		{"GET /v1/actions", Viewer, s.actions},
		{"POST /v1/actions", Operator, s.act},
		{"GET /v1/transitions", Viewer, s.transitions},
		{"GET /v1/outcomes", Viewer, s.outcomes},
		{"GET /v1/hotkeys", Viewer, s.hotKeys},
		{"GET /v1/events", Viewer, s.events},
		{"GET /v1/events/until", Viewer, s.eventsUntil},
		{"GET /v1/alerts", Viewer, func(http.ResponseWriter, *http.Request) (any, error) { return s.host.Alerts(), nil }},
		{"GET /v1/alerts/{name}/history", Viewer, s.comparison},
		{"GET /v1/silences", Viewer, s.silences},
		{"POST /v1/silences", Operator, s.addSilence},
		{"DELETE /v1/silences/{id}", Operator, s.expireSilence},
		{"POST /v1/acknowledgements", Operator, s.acknowledge},
		{"DELETE /v1/acknowledgements/{fingerprint}", Operator, s.withdraw},
		{"GET /v1/audit", Operator, s.audit},
		{"GET /v1/drill", Viewer, s.drill},
		{"POST /v1/drill/load", Operator, s.startLoad},
		{"DELETE /v1/drill/load", Operator, s.stopLoad},
		{"POST /v1/drill/faults", Operator, s.setFault},
		{"DELETE /v1/drill/faults", Operator, s.liftFault},
		{"DELETE /v1/drill/faults/{id}", Operator, s.liftFault},
	}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, v := range s.verbs() {
		mux.HandleFunc(v.pattern, answer(func(w http.ResponseWriter, r *http.Request) (any, error) {
			if p := peerOf(r); p.role < v.needs {
				return nil, s.refuse(p, audit.Entry{Verb: "ask", Subject: v.pattern}, may(p, v.needs, v.pattern))
			}
			return v.do(w, r)
		}))
	}
	// POST as well: clients send long queries as forms.
	for _, pattern := range []string{"GET /api/v1/", "POST /api/v1/", "GET /-/"} {
		mux.Handle(pattern, s.host.Prometheus)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.host.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.HandleFunc("/", answer(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, &Problem{http.StatusNotFound, nothingHere + "; see GET /v1/node, /v1/look, /v1/settings, /v1/actions, /v1/events"}
	}))
	return s.guard(mux)
}

// hosts are the names of the node that a client of the socket may use.
var hosts = []string{"node", "localhost", "127.0.0.1", ""}

// guard refuses what only a browser would send, and peers without a role.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = withCertificate(r)
		p, known := r.Context().Value(peerKey{}).(peer)
		var why *Problem
		switch {
		case r.Header.Get("Origin") != "":
			why = &Problem{http.StatusForbidden, "requests from web pages are refused"}
		case !s.answersTo(r):
			why = &Problem{http.StatusForbidden, "ask for http://node or http://localhost, or over TLS for a name in the node's certificate, not for another host"}
		case !known || p.role == Nobody:
			why = &Problem{http.StatusForbidden, "only the node's own user, root and members of control.viewer_group or control.operator_group may use the control socket"}
		default:
			next.ServeHTTP(w, r)
			return
		}
		// Whoever asks again and again does not push out what was recorded.
		s.refusals.Do(func() { _ = s.refuse(p, audit.Entry{Verb: "ask", Subject: r.Method + " " + r.URL.Path}, why) })
		refuse(w, why)
	})
}

func answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(w, r)
		if err != nil {
			refuse(w, err)
			return
		}
		body, err := json.Marshal(v)
		if err != nil {
			refuse(w, fmt.Errorf("encode the answer: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n')) // a client that has left cannot be told
	}
}

func refuse(w http.ResponseWriter, err error) {
	p := &Problem{Status: http.StatusInternalServerError, Text: err.Error()}
	errors.As(err, &p)
	body, _ := json.Marshal(p)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // a client that has left cannot be told
}

// read takes a request body apart; unknown members are mistakes.
func read(r *http.Request, into any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil || len(data) > maxRequest {
		return &Problem{http.StatusRequestEntityTooLarge, "the request could not be read or is too large"}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &Problem{http.StatusBadRequest, "the request is not the JSON that is expected: " + err.Error()}
	}
	return nil
}

func (s *Server) look(_ http.ResponseWriter, r *http.Request) (any, error) {
	if at, given, err := s.moment(r, "at"); err != nil {
		return nil, err
	} else if given {
		return s.host.Observer.LookAt(r.Context(), at)
	}
	since, _ := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	events, last := s.host.Events.Since(since)
	changes := s.changes.Shown()
	return Look{
		Time: time.Now(), Node: s.host.Node(), Revision: s.host.Registry.Revision(),
		Panels: s.host.Observer.Now(r.Context()), Breakers: s.host.Breakers(), Upstreams: s.host.Upstreams(),
		Pool: s.host.Pool(), Tiers: s.host.Tiers(), Warming: s.host.Warming(), Alerts: s.host.Alerts(),
		Events: events, LastEvent: last, Undoable: changes.Undo, Redoable: changes.Redo, Trials: changes.Trials,
		Unsaved: s.host.Registry.Unsaved(), Role: peerOf(r).role.String(),
	}, nil
}

func (s *Server) transitions(_ http.ResponseWriter, r *http.Request) (any, error) {
	return ofBreaker(r, s.host.Transitions)
}

func (s *Server) outcomes(_ http.ResponseWriter, r *http.Request) (any, error) {
	return ofBreaker(r, s.host.Outcomes)
}

// ofBreaker answers what is told of the breaker that is asked for.
func ofBreaker[T any](r *http.Request, tell func(string) (T, bool)) (any, error) {
	name := r.URL.Query().Get("breaker")
	told, known := tell(name)
	if !known {
		return nil, &Problem{http.StatusNotFound, fmt.Sprintf("there is no breaker %q", name)}
	}
	return told, nil
}

func (s *Server) hotKeys(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("limit"), "20"))
	if err != nil || limit < 1 || limit > MaxHotKeys {
		return nil, &Problem{http.StatusBadRequest, fmt.Sprintf("limit must be from 1 to %d", MaxHotKeys)}
	}
	return s.host.HotKeys(limit), nil
}

// window reads the span and the step of a range.
func window(r *http.Request) (span, step time.Duration, err error) {
	span, err1 := time.ParseDuration(r.URL.Query().Get("span"))
	step, err2 := time.ParseDuration(r.URL.Query().Get("step"))
	if err1 != nil || err2 != nil || step < time.Second || span < step || span/step > 2000 {
		return 0, 0, &Problem{http.StatusBadRequest, "span and step must be durations such as 15m and 5s, step at least 1s, at most 2000 steps"}
	}
	return span, step, nil
}

func (s *Server) panelHistory(_ http.ResponseWriter, r *http.Request) (any, error) {
	span, step, err := window(r)
	if err != nil {
		return nil, err
	}
	if end, given, err := s.moment(r, "end"); err != nil {
		return nil, err
	} else if given {
		return s.host.Observer.HistoryUntil(r.Context(), end, span, step)
	}
	return s.host.Observer.History(r.Context(), span, step)
}
