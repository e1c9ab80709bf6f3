package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"golang.org/x/sync/semaphore"
)

// Bounds of one request.
const (
	maxForm     = 64 << 10         // bytes of a form, in the URL or the body
	maxTime     = 10 * time.Second // of a query, whatever timeout it asks for
	maxWaiting  = 64               // requests that wait for their turn
	maxWait     = 2 * time.Second  // for the turn
	maxSteps    = 11000            // of a range query, as in Prometheus
	maxPoints   = 1_000_000        // in one answer
	maxSeries   = 20_000           // in one list of series, names or values
	maxMatchers = 64               // match[] of one request
	// maxFormatted bounds an expression to format: the time that takes grows with
	// the third power of its depth.
	maxFormatted = 2 << 10
)

// Source is what the API answers from.
type Source struct {
	Engine    promql.QueryEngine
	Queryable storage.Queryable
	Parser    parser.Parser
	Gatherer  prometheus.Gatherer   // knows the type and help of metrics
	Rules     func() []*rules.Group // nil without rules
	Latest    func() time.Time      // of the newest sample, which a query without a time asks for
	Parallel  int                   // queries at once
}

// API is the handler. It may be used by any number of goroutines.
type API struct {
	source  Source
	mux     *http.ServeMux
	turns   *semaphore.Weighted
	waiting atomic.Int64
}

// New returns the API over a source.
func New(s Source) *API {
	a := &API{source: s, mux: http.NewServeMux(), turns: semaphore.NewWeighted(int64(max(s.Parallel, 1)))}
	for path, do := range map[string]operation{
		"/api/v1/query": a.query, "/api/v1/query_range": a.queryRange,
		"/api/v1/series": a.series, "/api/v1/labels": a.labelNames, "/api/v1/format_query": a.formatQuery,
	} {
		a.mux.HandleFunc("GET "+path, a.answer(do))
		a.mux.HandleFunc("POST "+path, a.answer(do))
	}
	for path, do := range map[string]operation{
		"/api/v1/label/{name}/values": a.labelValues, "/api/v1/metadata": a.metadata,
		"/api/v1/rules": a.rules, "/api/v1/alerts": a.alerts,
		"/api/v1/status/buildinfo": func(context.Context, *http.Request) (result, error) { return result{data: buildInfo()}, nil },
	} {
		a.mux.HandleFunc("GET "+path, a.answer(do))
	}
	a.mux.HandleFunc("GET /-/healthy", saying("bizra-top is healthy.\n"))
	a.mux.HandleFunc("GET /-/ready", saying("bizra-top is ready.\n"))
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &failure{http.StatusNotFound, "not_found", fmt.Errorf("there is no %s %s here", r.Method, r.URL.Path)})
	})
	return a
}

func saying(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(text)) // a client that has left cannot be told
	}
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// operation answers a request whose form is parsed.
type operation func(context.Context, *http.Request) (result, error)

// result is what goes into the envelope.
type result struct {
	data            any
	warnings, infos []string
}

// envelope is every answer of the Prometheus HTTP API.
type envelope struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Infos     []string `json:"infos,omitempty"`
}

func (a *API) answer(do operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.RawQuery) > maxForm {
			refuse(w, badData(fmt.Errorf("the request is longer than %d bytes", maxForm)))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			refuse(w, badData(fmt.Errorf("error parsing form values: %w", err)))
			return
		}
		timeout, err := timeoutOf(r)
		if err != nil {
			refuse(w, err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		if err := a.turn(ctx); err != nil {
			refuse(w, err)
			return
		}
		defer a.turns.Release(1)
		out, err := do(ctx, r)
		if err != nil {
			refuse(w, err)
			return
		}
		body, err := json.Marshal(envelope{Status: "success", Data: out.data, Warnings: out.warnings, Infos: out.infos})
		if err != nil {
			refuse(w, &failure{http.StatusInternalServerError, "internal", err})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n')) // a client that has left cannot be told
	}
}

// turn waits until the request may run. Whoever gets no turn is told when to come
// again.
func (a *API) turn(ctx context.Context) error {
	if a.turns.TryAcquire(1) {
		return nil
	}
	if a.waiting.Add(1) > maxWaiting {
		a.waiting.Add(-1)
		return errBusy
	}
	defer a.waiting.Add(-1)
	waiting, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	switch err := a.turns.Acquire(waiting, 1); {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return &failure{statusClientLeft, "canceled", context.Canceled}
	}
	return errBusy
}

// statusClientLeft is nginx's status for a client that did not wait, which
// Prometheus uses too.
const statusClientLeft = 499

// failure is an error in the form of the Prometheus HTTP API.
type failure struct {
	status int
	kind   string
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

var errBusy = &failure{http.StatusServiceUnavailable, "unavailable", errors.New("too many queries at once; try again in a second")}

func badData(err error) error { return &failure{http.StatusBadRequest, "bad_data", err} }

func badParameter(name string, err error) error {
	return badData(fmt.Errorf("invalid parameter %q: %w", name, err))
}

// failed gives an error of the engine or the storage its kind.
func failed(err error) error {
	var cancelled promql.ErrQueryCanceled
	var late promql.ErrQueryTimeout
	var broken promql.ErrStorage
	switch {
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return &failure{http.StatusServiceUnavailable, "timeout", err}
	case errors.As(err, &cancelled), errors.Is(err, context.Canceled):
		return &failure{statusClientLeft, "canceled", err}
	case errors.As(err, &broken):
		return &failure{http.StatusInternalServerError, "internal", err}
	}
	return &failure{http.StatusUnprocessableEntity, "execution", err}
}

func refuse(w http.ResponseWriter, err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = failed(err).(*failure)
	}
	body, _ := json.Marshal(envelope{Status: "error", ErrorType: f.kind, Error: f.err.Error()}) // of strings alone
	w.Header().Set("Content-Type", "application/json")
	if f == errBusy {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(append(body, '\n')) // a client that has left cannot be told
}

// engineVersion is the Prometheus version whose engine answers: module v0.315.0 is
// Prometheus 3.15.0.
func engineVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			parts := strings.Split(strings.TrimPrefix(d.Version, "v"), ".")
			if d.Path != "github.com/prometheus/prometheus" || len(parts) != 3 {
				continue
			}
			if n, err := strconv.Atoi(parts[1]); err == nil {
				return fmt.Sprintf("%d.%d.%s", n/100, n%100, parts[2])
			}
		}
	}
	return "3.0.0"
}

// buildInfo tells clients which version's API they may expect.
func buildInfo() map[string]string {
	out := map[string]string{"version": engineVersion(), "revision": "", "branch": "", "buildUser": "bizra-top", "buildDate": "", "goVersion": ""}
	if info, ok := debug.ReadBuildInfo(); ok {
		out["goVersion"] = strings.TrimPrefix(info.GoVersion, "go")
	}
	return out
}
