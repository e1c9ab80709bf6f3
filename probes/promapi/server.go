package promapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/util/httputil"

	"github.com/bizra/bizra-top/node/connections"
)

// Server answers the API on a TCP address.
type Server struct {
	http     *http.Server
	listener *connections.Listener
}

// What clients may hold: dashboards, of a few people, behind one proxy.
const (
	maxConnections = 64
	leastRate      = 8 << 10 // bytes a second
)

// Listen opens the address and returns a server of h on it; call Serve, then
// Close.
func Listen(address string, h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the Prometheus HTTP API (history.listen): %w", err)
	}
	bounded := connections.NewListener(l, connections.Options{Name: "history", Max: func() int { return maxConnections },
		Share: func() float64 { return 1 }, Rate: func() int64 { return leastRate }})
	return &Server{listener: bounded, http: &http.Server{
		ConnContext:       connections.ConnContext,
		ConnState:         func(c net.Conn, to http.ConnState) { connections.ConnState(c, to) },
		Handler:           guard(httputil.CompressionHandler{Handler: h}, local(l.Addr())),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxForm + 16<<10,
	}}, nil
}

// Collectors returns the metrics of the server's connections.
func (s *Server) Collectors() []prometheus.Collector { return s.listener.Collectors() }

// Address returns where the server listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve answers until Close.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the Prometheus HTTP API: %w", err)
	}
	return nil
}

// Close stops answering; requests under way have half a second.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

func local(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// guard refuses what only a page in a browser would send: a foreign Origin, and, on
// a loopback address, a Host that is no name of this machine (DNS rebinding).
// Grafana and Prometheus's own clients send neither.
func guard(next http.Handler, loopback bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Origin") != "":
			refuse(w, &failure{http.StatusForbidden, "bad_data", errors.New("requests from web pages are refused")})
		case loopback && !localHost(r.Host):
			refuse(w, &failure{http.StatusForbidden, "bad_data", errors.New("this address answers as localhost only")})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func localHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
