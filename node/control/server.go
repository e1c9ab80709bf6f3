package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"github.com/bizra/bizra-top/node/settings"
)

// Observer answers what is measured: the panels, now and over time.
type Observer interface {
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
	Upstreams  func() []Upstream
	Pool       func() Pool
	Tiers      func() []Tier
	Warming    func() Warming
	// Warn says what is doubtful about a change, or "".
	Warn func(Changed) string
	// Changed is called after every change and action.
	Changed  func()
	Observer Observer
	// Prometheus answers /api/v1/ and /-/ as a Prometheus server does, and changes
	// nothing.
	Prometheus http.Handler
	Alerts     func() []Alert
}

// maxRequest bounds a request body.
const maxRequest = 1 << 20

// Server is the control socket.
type Server struct {
	host     Host
	path     string
	listener net.Listener
	http     *http.Server
	history  history
}

// ErrRunning says that a node already answers on the socket.
var ErrRunning = errors.New("a node already answers on this socket")

// Listen opens the socket at path, readable and writable by its owner only. A
// socket nobody answers on is replaced; one that is alive is ErrRunning;
// anything else at path is left alone.
func Listen(path string) (net.Listener, error) {
	if len(path) > 107 {
		return nil, fmt.Errorf("the socket path %s is longer than the 107 bytes a unix socket may have; choose another with --socket", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the control socket: %w", err)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is in the way and is not a socket; choose another path with --socket", path)
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%w: %s", ErrRunning, path)
		} else if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, fmt.Errorf("cannot tell whether a node answers on %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the stale control socket: %w", err)
		}
	}
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	return l, nil
}

// NewServer returns a server of host on a listener from Listen.
func NewServer(l net.Listener, host Host) *Server {
	s := &Server{host: host, listener: l, path: l.Addr().String()}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withPeer,
	}
	return s
}

// Serve answers until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
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

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /v1/node":           func(http.ResponseWriter, *http.Request) (any, error) { return s.host.Node(), nil },
		"GET /v1/look":           s.look,
		"GET /v1/panels":         func(http.ResponseWriter, *http.Request) (any, error) { return s.host.Observer.Panels(), nil },
		"GET /v1/panels/history": s.panelHistory,
		"GET /v1/settings":       s.settings,
		"GET /v1/settings/{key}": s.setting,
		"POST /v1/changes":       s.change,
		"POST /v1/undo":          s.undo,
		"GET /v1/actions":        s.actions,
		"POST /v1/actions":       s.act,
		"GET /v1/events":         s.events,
		"GET /v1/alerts":         func(http.ResponseWriter, *http.Request) (any, error) { return s.host.Alerts(), nil },
	} {
		mux.HandleFunc(pattern, answer(h))
	}
	// POST as well: clients send long queries as forms.
	for _, pattern := range []string{"GET /api/v1/", "POST /api/v1/", "GET /-/"} {
		mux.Handle(pattern, s.host.Prometheus)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.host.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.HandleFunc("/", answer(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, &Problem{http.StatusNotFound, "there is nothing here; see GET /v1/node, /v1/look, /v1/settings, /v1/actions, /v1/events"}
	}))
	return guard(mux)
}

// guard refuses what only a browser would send, and peers that are neither the
// owner nor root.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := r.Context().Value(peerKey{}).(peer)
		switch {
		case r.Header.Get("Origin") != "":
			refuse(w, &Problem{http.StatusForbidden, "requests from web pages are refused"})
		case !ok || (p.uid != 0 && int(p.uid) != os.Getuid()):
			refuse(w, &Problem{http.StatusForbidden, "only the node's own user and root may use the control socket"})
		default:
			next.ServeHTTP(w, r)
		}
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
	since, _ := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	events, last := s.host.Events.Since(since)
	return Look{
		Time: time.Now(), Node: s.host.Node(), Revision: s.host.Registry.Revision(),
		Panels: s.host.Observer.Now(r.Context()), Breakers: s.host.Breakers(), Upstreams: s.host.Upstreams(),
		Pool: s.host.Pool(), Tiers: s.host.Tiers(), Warming: s.host.Warming(), Alerts: s.host.Alerts(),
		Events: events, LastEvent: last, Undoable: s.history.next(),
	}, nil
}

func (s *Server) events(_ http.ResponseWriter, r *http.Request) (any, error) {
	since, err := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	if err != nil && r.URL.Query().Get("since") != "" {
		return nil, &Problem{http.StatusBadRequest, "since must be the number of an event"}
	}
	events, _ := s.host.Events.Since(since)
	return events, nil
}

func (s *Server) panelHistory(_ http.ResponseWriter, r *http.Request) (any, error) {
	span, err1 := time.ParseDuration(r.URL.Query().Get("span"))
	step, err2 := time.ParseDuration(r.URL.Query().Get("step"))
	if err1 != nil || err2 != nil || step < time.Second || span < step || span/step > 2000 {
		return nil, &Problem{http.StatusBadRequest, "span and step must be durations such as 15m and 5s, step at least 1s, at most 2000 steps"}
	}
	return s.host.Observer.History(r.Context(), span, step)
}

type peerKey struct{}

type peer struct {
	uid  uint32
	name string
}

// withPeer asks the kernel who is at the other end of a unix socket.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return ctx
	}
	p := peer{uid: cred.Uid, name: "uid " + strconv.Itoa(int(cred.Uid))}
	if u, err := user.LookupId(strconv.Itoa(int(cred.Uid))); err == nil {
		p.name = u.Username
	}
	return context.WithValue(ctx, peerKey{}, p)
}

func actor(r *http.Request) string {
	if p, ok := r.Context().Value(peerKey{}).(peer); ok {
		return p.name
	}
	return "unknown"
}
