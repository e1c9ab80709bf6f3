package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/api"
)

// healthOf reads a health document and holds it to the shape of the draft.
func healthOf(t *testing.T, status int, header http.Header, body []byte) api.Health {
	t.Helper()
	var h api.Health
	if err := json.Unmarshal(body, &h); err != nil || header.Get("Content-Type") != "application/health+json" ||
		(h.Status == api.Fail) != (status == http.StatusServiceUnavailable) {
		t.Fatalf("%d %v %s", status, header, body)
	}
	for check, parts := range h.Checks {
		for _, p := range parts {
			if p.Component == "" || p.Since.IsZero() || p.Status != api.Pass && p.Output == "" {
				t.Errorf("%s does not say which part, what or since when: %+v", check, p)
			}
		}
	}
	return h
}

func (r *rig) healthAt(t *testing.T, path string) api.Health {
	t.Helper()
	a := r.get("/health" + path)
	return healthOf(t, a.status, a.header, a.body)
}

func TestEachHealthEndpointNamesWhatFailsAndSinceWhen(t *testing.T) {
	r := start(t, options{})
	for _, path := range []string{"", "/live", "/ready", "/startup", "/performance", "/database", "/upstreams"} {
		if h := r.healthAt(t, path); h.Status != api.Pass {
			t.Errorf("%s: %+v", path, h)
		}
	}
	time.Sleep(10 * time.Millisecond)
	began := time.Now()
	if err := r.breakers["dev-b"].Force("forced-open", "by a test"); err != nil {
		t.Fatal(err)
	}
	if h := r.healthAt(t, "/upstreams"); h.Status != api.Warn || !strings.HasPrefix(h.Output, "dev-b: forced-open") {
		t.Errorf("one of three out: %+v", h)
	}
	r.hold("forced-open")
	h := r.healthAt(t, "/upstreams")
	if h.Status != api.Fail {
		t.Errorf("all out: %+v", h)
	}
	first := h.Checks[api.CheckUpstreams][1].Since
	if first.Before(began) || time.Since(first) > 10*time.Second {
		t.Errorf("since %s, not from %s on", first, began)
	}
	time.Sleep(20 * time.Millisecond)
	h = r.healthAt(t, "/ready")
	parts := h.Checks[api.CheckUpstreams]
	if len(h.Checks) != 1 || len(parts) != 3 || !parts[1].Since.Equal(first) || h.Output == "" {
		t.Errorf("ready names %+v, since %s before", h, first)
	}
	for _, path := range []string{"/live", "/startup", "/database"} {
		if h := r.healthAt(t, path); h.Status != api.Pass {
			t.Errorf("%s depends on providers: %+v", path, h)
		}
	}
	text := string(r.get("/metrics").body)
	if !strings.Contains(text, "bizra_health_ready 0") || !strings.Contains(text, `bizra_health_degraded_parts{check="upstreams"} 3`) {
		t.Error("the metrics say otherwise")
	}
}

func TestPerformanceListsTheQuantilesAndAsksOnceASecond(t *testing.T) {
	r := start(t, options{})
	for range 20 {
		r.get("/health/performance")
	}
	found := map[string]bool{}
	for _, p := range r.healthAt(t, "/performance").Checks["performance"] {
		found[p.Component] = p.Value != nil && p.Unit != ""
	}
	for _, stage := range []string{"requests", "cache reads", "upstream calls"} {
		for _, q := range []string{"p50", "p90", "p95", "p99", "p99.9"} {
			if !found[stage+" "+q] {
				t.Errorf("no %s of %s in %v", q, stage, found)
			}
		}
	}
	r.observer.mu.Lock()
	defer r.observer.mu.Unlock()
	for expr, n := range r.observer.queries {
		if n > 5 {
			t.Errorf("%s was asked %d times", expr, n)
		}
	}
}

// With api.drain_delay a load balancer reads that the node is going while the
// node still answers.
func TestReadyIsFalseWhileDraining(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.drain_delay": "1500ms"}})
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown() }()
	r.await("the drain", r.server.Draining)
	h := r.healthAt(t, "/ready")
	if parts := h.Checks["node"]; h.Status != api.Fail || len(parts) != 1 || time.Since(parts[0].Since) > 2*time.Second {
		t.Errorf("ready while draining: %+v", h)
	}
	for _, path := range []string{"/live", "/startup"} {
		if h := r.healthAt(t, path); h.Status != api.Pass {
			t.Errorf("%s while draining: %+v", path, h)
		}
	}
	if a := r.get("/v1/blocks/1"); a.status != http.StatusOK {
		t.Errorf("a request during the delay: %d", a.status)
	}
	r.client.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStartupIsFalseUntilTheNodeServes(t *testing.T) {
	r := start(t, options{})
	if h := r.healthAt(t, "/startup"); h.Status != api.Pass { // it serves, and stays so but for the next line
		t.Fatalf("%+v", h)
	}
	w := httptest.NewRecorder()
	api.NotServing(r.server)
	r.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health/startup", nil))
	if h := healthOf(t, w.Code, w.Header(), w.Body.Bytes()); h.Status != api.Fail {
		t.Errorf("%+v", h)
	}
}
