package api_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// series counts the series at /metrics, those of client_golang's own handler apart.
func (r *rig) series() map[string]bool {
	r.Helper()
	found := map[string]bool{}
	for line := range bytes.Lines(r.get("/metrics").body) {
		if name, _, ok := strings.Cut(string(line), " "); ok && strings.HasPrefix(name, "bizra_") {
			found[name] = true
		}
	}
	return found
}

// Whatever clients make up, 10,000 methods and paths and as many JSON-RPC methods,
// makes no series.
func TestRandomMethodsAndPathsMakeNoSeries(t *testing.T) {
	r := start(t, options{})
	before := r.series()
	if len(before) < 50 {
		t.Fatalf("only %d series", len(before))
	}
	random := rand.New(rand.NewPCG(7, 8))
	word := func(letters string) string {
		b := make([]byte, 1+random.IntN(12))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	const upper, lower = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz_0123456789"
	methods := []string{"GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT"}
	for i := range 10_000 {
		method := word(upper)
		if i%2 == 0 {
			method = methods[random.IntN(len(methods))]
		}
		path := "/" + word(lower)
		switch random.IntN(4) {
		case 0:
			path = "/v1" + path
		case 1:
			path = "/health" + path
		case 2:
			path += "/" + word(lower) + "?" + word(lower) + "=" + word(lower)
		}
		w := httptest.NewRecorder()
		r.server.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
			t.Fatalf("%s %s: %d", method, path, w.Code)
		}
		body := request([]string{"eth_", "net_", "debug_", ""}[random.IntN(4)]+"no_"+word(lower), word(lower))
		w = httptest.NewRecorder()
		r.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	for name := range r.series() {
		if !before[name] {
			t.Errorf("new: %s", name)
		}
	}
	if text := string(r.get("/metrics").body); !strings.Contains(text, fmt.Sprintf(`bizra_http_rpc_requests_total{method="other",outcome="error"} %d`, 10_000)) {
		t.Error("the requests were not counted as other")
	}
}

// metric returns the value of one series.
func (r *rig) metric(series string) float64 {
	r.Helper()
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				r.Error(err)
			}
			return v
		}
	}
	r.Errorf("there is no %s", series)
	return 0
}
