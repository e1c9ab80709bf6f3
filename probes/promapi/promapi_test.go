package promapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
	"github.com/bizra/bizra-top/probes/promapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source returns a history with a minute of samples of up{node="a"} and
// up{node="b"}, one a second.
func source(t testing.TB) promapi.Source {
	t.Helper()
	h, err := probes.OpenHistory(t.TempDir(), probes.Declare(settings.NewRegistry()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	engine, queryable, appendable, parser := h.Storage()
	a := appendable.(interface {
		Appender(context.Context) storage.Appender
	}).Appender(t.Context())
	now := time.Now().Truncate(time.Second)
	for i := range 60 {
		for _, node := range []string{"a", "b"} {
			at := now.Add(time.Duration(i-59) * time.Second)
			if _, err := a.Append(0, labels.FromStrings("__name__", "up", "node", node), at.UnixMilli(), float64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	return promapi.Source{Engine: engine, Queryable: queryable, Parser: parser, Gatherer: prometheus.NewRegistry(),
		Latest: func() time.Time { return now }, Parallel: 2}
}

type answer struct {
	code       int
	retryAfter string
	Status     string
	Data       json.RawMessage
	ErrorType  string
	Error      string
	Warnings   []string
}

func ask(t testing.TB, h http.Handler, method, path, form string) answer {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form)
	} else if form != "" {
		path += "?" + form
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := answer{code: w.Code, retryAfter: w.Header().Get("Retry-After")}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s %s %s: no JSON: %s", method, path, form, w.Body)
	}
	if (a.code == http.StatusOK) != (a.Status == "success") {
		t.Fatalf("%s %s %s: %d with status %q", method, path, form, a.code, a.Status)
	}
	return a
}

func TestAnswersAreBounded(t *testing.T) {
	api := promapi.New(source(t))
	for _, c := range []struct{ path, form, want, warning string }{
		{"/api/v1/query", "query=up&limit=1", `"node":"a"`, "truncated"},
		{"/api/v1/query", "query=none", `{"resultType":"vector","result":[]}`, ""},
		{"/api/v1/query", "query=up&stats=all", `"stats":{"timings"`, ""},
		{"/api/v1/query", `query="text"`, `"resultType":"string"`, ""},
		{"/api/v1/query_range", "query=none&start=0&end=10&step=1", `{"resultType":"matrix","result":[]}`, ""},
		{"/api/v1/series", "match[]=up&limit=1", `[{"__name__":"up","node":"a"}]`, "truncated"},
		{"/api/v1/series", `match[]=up{node="a"}&match[]=up`, `[{"__name__":"up","node":"a"},{"__name__":"up","node":"b"}]`, ""},
		{"/api/v1/labels", "limit=1", `["__name__"]`, "truncated"},
		{"/api/v1/labels", "match[]=none", `[]`, ""},
		{"/api/v1/label/node/values", "", `["a","b"]`, ""},
		{"/api/v1/label/node/values", `match[]=up{node="b"}&match[]=none`, `["b"]`, ""},
		{"/api/v1/rules", "", `{"groups":[]}`, ""},
		{"/api/v1/alerts", "", `{"alerts":[]}`, ""},
		{"/api/v1/format_query", "query=sum(up)by(node)", `"sum by (node) (up)"`, ""},
	} {
		a := ask(t, api, http.MethodGet, c.path, c.form)
		if a.code != http.StatusOK || !strings.Contains(string(a.Data), c.want) || !strings.Contains(strings.Join(a.Warnings, ""), c.warning) {
			t.Errorf("%s?%s: %d %s %s %q", c.path, c.form, a.code, a.Error, a.Data, a.Warnings)
		}
	}
}

// What a request may not ask for is refused in Prometheus's form. The statuses are
// compared with a real Prometheus where there is one.
func TestRefusalsHaveTheFormOfPrometheus(t *testing.T) {
	api := promapi.New(source(t))
	for _, c := range []struct {
		path, form string
		code       int
		kind       string
	}{
		{"/api/v1/query", "query=" + strings.Repeat("1%2B", 40<<10) + "1", 400, "bad_data"},
		{"/api/v1/query", "query=up&timeout=0.000000001", 503, "timeout"},
		{"/api/v1/query_range", "query=up[1m]&start=0&end=1&step=1", 400, "bad_data"},
		{"/api/v1/query_range", "query=up&start=0&end=11001&step=1", 400, "bad_data"},
		{"/api/v1/series", "match[]=" + strings.Repeat("&match[]=up", 80), 400, "bad_data"},
		{"/api/v1/format_query", "query=" + strings.Repeat("(", 1200) + "1" + strings.Repeat(")", 1200), 400, "bad_data"},
		{"/api/v1/query", "query=max_over_time(up[100y:1ms])", 400, "bad_data"},
		{"/api/v1/query", "query=max_over_time(max_over_time(up[1ms:1ms])[12d:])", 400, "bad_data"},
		{"/api/v1/query", "query=max_over_time(max_over_time(up[1s:1ms])[1d:1m])", 400, "bad_data"},
		{"/api/v1/query_range", "query=max_over_time(up[1m:1ms])&start=0&end=1e11&step=1e8", 400, "bad_data"},
		{"/api/v1/query_exemplars", "", 404, "not_found"},
		{"/api/v1/admin/tsdb/delete_series", "match[]=up", 404, "not_found"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			a := ask(t, api, method, c.path, c.form)
			if a.code != c.code || a.ErrorType != c.kind || a.Error == "" {
				t.Errorf("%s %s %.60s: %d %s %s", method, c.path, c.form, a.code, a.ErrorType, a.Error)
			}
		}
	}
	if a := ask(t, api, http.MethodDelete, "/api/v1/series", "match[]=up"); a.code != http.StatusNotFound {
		t.Errorf("DELETE: %d", a.code)
	}
}

// A range that holds too much is an error, not an answer of hundreds of megabytes.
func TestAnswersOfTooManyPointsAreRefused(t *testing.T) {
	api := promapi.New(source(t))
	wide := make([]string, 100) // series of 11,001 points
	for i := range wide {
		wide[i] = `label_replace(vector(1), "i", "` + strings.Repeat("x", i+1) + `", "", "")`
	}
	form := url.Values{"query": {strings.Join(wide, " or ")}, "start": {"0"}, "end": {"11000"}, "step": {"1"}}
	if a := ask(t, api, http.MethodPost, "/api/v1/query_range", form.Encode()); a.code != http.StatusUnprocessableEntity || a.ErrorType != "execution" {
		t.Fatalf("%d %s %s", a.code, a.ErrorType, a.Error)
	}
}

// blocked is a storage that waits until it is let go.
type blocked struct {
	storage.Queryable
	entered, free chan struct{}
}

func (b blocked) Querier(from, to int64) (storage.Querier, error) {
	b.entered <- struct{}{}
	<-b.free
	return b.Queryable.Querier(from, to)
}

// Whoever gets no turn within its time is told to come again, and nobody waits
// longer than that; the two that run are not disturbed.
func TestMoreQueriesThanTurnsAreTurnedAway(t *testing.T) {
	s := source(t)
	b := blocked{s.Queryable, make(chan struct{}, 2), make(chan struct{})}
	s.Queryable = b
	api := promapi.New(s)
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			if a := ask(t, api, http.MethodGet, "/api/v1/query", "query=up"); a.code != http.StatusOK {
				t.Errorf("%d %s", a.code, a.Error)
			}
		})
		<-b.entered
	}
	began := time.Now()
	a := ask(t, api, http.MethodGet, "/api/v1/query", "query=up")
	if took := time.Since(began); a.code != http.StatusServiceUnavailable || a.ErrorType != "unavailable" || a.retryAfter != "1" || took > 8*time.Second {
		t.Errorf("%d %s %q after %s", a.code, a.ErrorType, a.retryAfter, took)
	}
	close(b.free)
	running.Wait()
}

// A client that does not wait for its turn, or for its answer, frees the place.
func TestAClientThatLeavesIsCanceled(t *testing.T) {
	api := promapi.New(source(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/query?query=up", nil))
	if w.Code != 499 || !strings.Contains(w.Body.String(), `"errorType":"canceled"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWebPagesAreRefusedOnTheAddress(t *testing.T) {
	server, err := promapi.Listen("127.0.0.1:0", promapi.New(source(t)))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{server.Address(), "", 200}, {"localhost:9090", "", 200}, {"[::1]:9090", "", 200},
		{"rebound.example.com", "", 403}, {"10.0.0.1", "", 403}, {server.Address(), "http://page.example.com", 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Address()+"/-/ready", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%+v: %d", c, resp.StatusCode)
		}
	}
}

// Whatever is asked, the answer is JSON in Prometheus's form, soon.
func FuzzParameters(f *testing.F) {
	for _, route := range []string{"query", "query_range", "series", "labels", "label/node/values", "label/%00/values", "metadata", "rules", "alerts", "format_query", "status/buildinfo", ""} {
		for _, form := range []string{"", "query=up&time=NaN", "query=up&time=1e300", "query=up&time=-9223372036854775808", "query=sum(",
			"query=up&start=Inf&end=-Inf&step=0", "query=up&start=0&end=1e18&step=1e-9", "query=up&start=1&end=2&step=1e300", "match[]={}&limit=-1",
			"match[]=up&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z", "query=up&timeout=-1s&lookback_delta=-1s",
			"query=max_over_time(up[100y:1ms])&timeout=100ms", "match[]={__name__=~\".*\"}", "%zz", "limit=9999999999999999999", "query=up+offset+290y&time=0"} {
			f.Add(route, form)
		}
	}
	api := promapi.New(source(f))
	f.Fuzz(func(t *testing.T, route, form string) {
		// The mux redirects paths that are not clean.
		full := "/api/v1/" + route
		if u, err := url.ParseRequestURI(full); err != nil || strings.ContainsAny(route, "?# \t\r\n") || path.Clean(u.Path) != u.Path {
			return
		}
		began := time.Now()
		a := ask(t, either(api), http.MethodPost, full, form)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("%d after %s", a.code, took)
		}
		if a.code == http.StatusInternalServerError {
			t.Errorf("%s %q: %s", route, form, a.Error)
		}
	})
}

// either lets GET routes be fuzzed with the same forms.
func either(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		form, _ := io.ReadAll(r.Body)
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			rec = httptest.NewRecorder()
			again := r.Clone(r.Context())
			again.Method, again.Body = method, io.NopCloser(strings.NewReader(string(form)))
			if method == http.MethodGet {
				again.URL.RawQuery, again.Body = string(form), http.NoBody
			}
			h.ServeHTTP(rec, again)
			if rec.Code != http.StatusNotFound {
				break
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// Rules are told as a Prometheus tells them, and those that were not asked for are not.
func TestRulesAreToldAsAsked(t *testing.T) {
	s := source(t)
	manager := &rules.ManagerOptions{QueryFunc: rules.EngineQueryFunc(s.Engine, s.Queryable), Queryable: s.Queryable, Context: t.Context(),
		Appendable: nowhere{}, NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Logger: slog.New(slog.DiscardHandler)}
	parse := func(text string) parser.Expr {
		e, err := s.Parser.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	group := rules.NewGroup(rules.GroupOptions{Name: "g", File: "f.yaml", Interval: 5 * time.Second, Opts: manager, Rules: []rules.Rule{
		rules.NewAlertingRule("High", parse(`up{node="a"} > 5`), 0, 0, labels.FromStrings("severity", "warning"),
			labels.FromStrings("summary", "too high"), labels.EmptyLabels(), "", true, manager.Logger),
		rules.NewAlertingRule("Low", parse("up < 0"), time.Minute, 0, labels.EmptyLabels(), labels.EmptyLabels(), labels.EmptyLabels(), "", true, manager.Logger),
		rules.NewRecordingRule("up:sum", parse("sum(up)"), labels.EmptyLabels()),
	}})
	group.Eval(t.Context(), s.Latest())
	s.Rules = func() []*rules.Group { return []*rules.Group{group} }
	api := promapi.New(s)

	type told struct {
		Groups []struct {
			Name     string
			Interval float64
			Rules    []struct {
				Name, Type, State string
				Alerts            []struct{ State, Value string }
			}
		}
	}
	for form, want := range map[string]string{
		"":                             "High/firing/1 Low/inactive/0 up:sum//0",
		"type=alert":                   "High/firing/1 Low/inactive/0",
		"type=record":                  "up:sum//0",
		"exclude_alerts=true":          "High/firing/0 Low/inactive/0 up:sum//0",
		"rule_name[]=Low":              "Low/inactive/0",
		"rule_group[]=other":           "",
		"file[]=f.yaml&type=record":    "up:sum//0",
		`match[]={severity="warning"}`: "High/firing/1",
	} {
		a := ask(t, api, http.MethodGet, "/api/v1/rules", strings.ReplaceAll(form, `"`, "%22"))
		var got told
		if err := json.Unmarshal(a.Data, &got); err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, g := range got.Groups {
			for _, r := range g.Rules {
				list = append(list, fmt.Sprintf("%s/%s/%d", r.Name, r.State, len(r.Alerts)))
			}
		}
		if text := strings.Join(list, " "); text != want {
			t.Errorf("%q: %q, want %q", form, text, want)
		}
	}
	if a := ask(t, api, http.MethodGet, "/api/v1/alerts", ""); !strings.Contains(string(a.Data), `"alertname":"High"`) || strings.Contains(string(a.Data), "Low") {
		t.Errorf("%s", a.Data)
	}
	for _, form := range []string{"type=all", "exclude_alerts=perhaps", "match[]={"} {
		if a := ask(t, api, http.MethodGet, "/api/v1/rules", form); a.code != http.StatusBadRequest {
			t.Errorf("%s: %d", form, a.code)
		}
	}
}

// nowhere takes what rules write.
type nowhere struct{}

func (nowhere) Appender(context.Context) storage.Appender { return dropped{} }

type dropped struct{ storage.Appender }

func (dropped) Append(storage.SeriesRef, labels.Labels, int64, float64) (storage.SeriesRef, error) {
	return 0, nil
}
func (dropped) SetOptions(*storage.AppendOptions) {}
func (dropped) Commit() error                     { return nil }
func (dropped) Rollback() error                   { return nil }
