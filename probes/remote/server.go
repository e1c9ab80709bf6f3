// Package remote looks at nodes through a Prometheus server that scrapes them: it
// gives the screen the door of a node, answered by PromQL.
//
// [Server] is a client of a Prometheus HTTP API, a server's or a node's own.
// [Door] is one node, chosen by a label, out of those that a server scrapes. What
// it shows is derived by package probes from the metrics alone, as it is from a
// node's own history; nothing can be changed through it.
//
// What a server answers is untrusted: bodies and waits are bounded, texts are
// cleaned, redirects to other hosts are refused.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/printable"
)

// The environment may hold what must not stand on a command line.
const (
	VariableUsername = "PROMETHEUS_USERNAME"
	VariablePassword = "PROMETHEUS_PASSWORD"
	VariableToken    = "PROMETHEUS_BEARER_TOKEN"
)

const (
	// callTimeout bounds one request.
	callTimeout = 15 * time.Second
	// maxAnswer bounds what is read of one answer.
	maxAnswer = 32 << 20
	// maxError bounds what a server says is wrong.
	maxError = 300
	// maxSeries bounds the series of one answer.
	maxSeries = 20_000
)

// Server is a client of a Prometheus HTTP API. It may be used by any number of
// goroutines, does not connect before the first call, and survives a restart of the
// server.
type Server struct {
	api  v1.API
	http *http.Client
	name string
}

// Dial returns a client of the server at a URL such as http://prometheus:9090. A
// user and password in the URL, or else in the environment, or a bearer token there,
// go with each request and are not shown.
func Dial(address string) (*Server, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		// The text may hold a password, so it is not repeated.
		return nil, errors.New("--prometheus must be a URL such as http://prometheus:9090")
	}
	user, token := u.User, os.Getenv(VariableToken)
	if name := os.Getenv(VariableUsername); user == nil && name != "" {
		user = url.UserPassword(name, os.Getenv(VariablePassword))
	}
	u.User = nil
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = parallel
	return newServer(u.String(), u.String(), bounded{transport, func(r *http.Request) {
		if user != nil {
			password, _ := user.Password()
			r.SetBasicAuth(user.Username(), password)
		} else if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}, u.Host})
}

// OverSocket returns a client of the history of the node on a control socket.
func OverSocket(socket string) (*Server, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return newServer("http://node", socket, bounded{&http.Transport{DialContext: dial, MaxIdleConnsPerHost: parallel}, func(*http.Request) {}, "node"})
}

func newServer(address, name string, transport bounded) (*Server, error) {
	s := &Server{name: name, http: &http.Client{Transport: transport, Timeout: callTimeout}}
	c, err := api.NewClient(api.Config{Address: address, Client: s.http})
	if err != nil {
		return nil, err
	}
	s.api = v1.NewAPI(c)
	return s, nil
}

// Name returns where the server is, without credentials.
func (s *Server) Name() string { return s.name }

// Close drops idle connections.
func (s *Server) Close() { s.http.CloseIdleConnections() }

// bounded adds credentials to requests to one host, refuses every other, and bounds
// answers.
type bounded struct {
	*http.Transport
	authorize func(*http.Request)
	host      string
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != b.host {
		return nil, fmt.Errorf("it redirects to %s, which is not followed", printable.Clean(r.URL.Host, maxError))
	}
	r = r.Clone(r.Context())
	b.authorize(r)
	resp, err := b.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = &limited{resp.Body, maxAnswer}
	}
	return resp, err
}

// limited is a body that is an error beyond a size.
type limited struct {
	io.ReadCloser
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p[:min(len(p), l.left+1)])
	if l.left -= n; l.left < 0 {
		return 0, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	return n, err
}

// failure is a call that failed, in words for a person.
func (s *Server) failure(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // the URL inside holds the query
	}
	if refused, ok := errors.AsType[*v1.Error](err); ok {
		text := printable.Clean(cmp.Or(refused.Msg, string(refused.Type)), maxError)
		if refused.Type == v1.ErrServer || refused.Type == v1.ErrBadResponse {
			return fmt.Errorf("the Prometheus API at %s answered what cannot be used: %s", s.name, text)
		}
		return errors.New(text)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("no answer from the Prometheus API at %s: %s", s.name, printable.Clean(err.Error(), maxError))
}

// Query evaluates an expression at a moment; the zero time is the server's now.
func (s *Server) Query(ctx context.Context, expr string, at time.Time) (model.Value, []string, error) {
	v, warnings, _, err := s.api.Query(ctx, expr, at)
	if err != nil {
		return nil, nil, s.failure(err)
	}
	return v, warnings, nil
}

// QueryRange evaluates an expression from start to end.
func (s *Server) QueryRange(ctx context.Context, expr string, start, end time.Time, step time.Duration) (model.Matrix, []string, error) {
	v, warnings, _, err := s.api.QueryRange(ctx, expr, v1.Range{Start: start, End: end, Step: step})
	if err != nil {
		return nil, nil, s.failure(err)
	}
	m, ok := v.(model.Matrix)
	if !ok {
		return nil, nil, fmt.Errorf("the server at %s answered a %s to a range query", s.name, v.Type())
	}
	return m[:min(len(m), maxSeries)], warnings, nil
}

// LabelValues returns the values of a label.
func (s *Server) LabelValues(ctx context.Context, label string) ([]string, error) {
	values, _, _, err := s.api.LabelValues(ctx, label, nil, time.Time{}, time.Time{})
	if err != nil {
		return nil, s.failure(err)
	}
	out := make([]string, 0, min(len(values), maxSeries))
	for _, v := range values[:min(len(values), maxSeries)] {
		out = append(out, printable.Clean(string(v), maxError))
	}
	return out, nil
}

// vector takes the samples of an answer; whole histograms are left out.
func vector(v model.Value) (promql.Vector, error) {
	switch v := v.(type) {
	case *model.Scalar:
		return promql.Vector{{T: int64(v.Timestamp), F: float64(v.Value)}}, nil
	case model.Vector:
		out := make(promql.Vector, 0, len(v))
		for _, s := range v[:min(len(v), maxSeries)] {
			if s.Histogram == nil {
				out = append(out, promql.Sample{T: int64(s.Timestamp), F: float64(s.Value), Metric: metric(s.Metric)})
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s where a vector was expected", v.Type())
}

func metric(m model.Metric) labels.Labels {
	b := labels.NewScratchBuilder(len(m))
	for name, value := range m {
		b.Add(string(name), string(value))
	}
	b.Sort()
	return b.Labels()
}
