package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// A web page could post text/plain to a node on localhost, a signed transaction included,
// and with a name of its own that points at 127.0.0.1 it could read the answers.
func TestWebPagesAskOnlyWhereTheyMay(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.origins": "https://*.example.org", "api.hosts": "node.example.org"}})
	write := request("eth_sendRawTransaction", "0x00")
	for _, test := range []struct {
		name, method, host, origin, kind string
		status                           int
	}{
		{"no page", "POST", "", "", "", 200},
		{"no page, a form", "POST", "", "", "application/x-www-form-urlencoded", 200},
		{"a plain form of a page", "POST", "", "https://evil.example", "text/plain", 403},
		{"JSON of a page", "POST", "", "https://evil.example", "application/json", 403},
		{"a page without an origin of its own", "POST", "", "null", "text/plain", 403},
		{"a page that is allowed", "POST", "", "https://app.example.org", "application/json; charset=utf-8", 200},
		{"its plain form", "POST", "", "https://app.example.org", "text/plain", 415},
		{"another scheme", "POST", "", "http://app.example.org", "application/json", 403},
		{"rebinding", "POST", "evil.example", "http://evil.example", "application/json", 421},
		{"rebinding, without an origin", "POST", "evil.example:3000", "", "application/json", 421},
		{"rebinding, reading", "GET", "evil.example", "", "", 421},
		{"a name that ends like an own one", "POST", "node.example.org.evil.example", "", "application/json", 421},
		{"a name of the node", "POST", "Node.Example.org:3000", "", "application/json", 200},
		{"localhost", "POST", "localhost:3000", "", "application/json", 200},
		{"an address", "POST", "[::1]:3000", "", "application/json", 200},
		{"a page of the node's own", "POST", "node.example.org", "http://node.example.org", "application/json", 200},
		{"its plain form", "POST", "node.example.org", "http://node.example.org", "text/plain", 415},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := "/"
			if test.method == http.MethodGet {
				path = "/v1/blocks/1"
			}
			req, err := http.NewRequest(test.method, r.url+path, strings.NewReader(write))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = test.host
			if test.origin != "" {
				req.Header.Set("Origin", test.origin)
			}
			if test.kind != "" {
				req.Header.Set("Content-Type", test.kind)
			}
			resp, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("%d, not %d", resp.StatusCode, test.status)
			}
			if got := resp.Header.Get("Access-Control-Allow-Origin"); (got != "") != strings.HasPrefix(test.origin, "https://app.") {
				t.Errorf("%q may read", got)
			}
		})
	}
}

// Before it posts JSON, a browser asks whether it may.
func TestPreflightsAreAnsweredForAllowedOrigins(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.origins": "https://app.example.org"}})
	for origin, status := range map[string]int{"https://app.example.org": 204, "https://evil.example": 403} {
		req, err := http.NewRequest(http.MethodOptions, r.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", origin)
		req.Header.Set("Access-Control-Request-Method", "POST")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status || (status == 204) != strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Content-Type") {
			t.Errorf("%s: %d %v", origin, resp.StatusCode, resp.Header)
		}
	}
}

// Over loopback nothing has to be configured for that: no other name than localhost.
func TestLoopbackIsSafeByDefault(t *testing.T) {
	r := start(t, options{})
	for host, status := range map[string]int{"evil.example": 421, "localhost": 200, "127.0.0.1:3000": 200, "": 200} {
		req, err := http.NewRequest(http.MethodGet, r.url+"/health/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%q: %d", host, resp.StatusCode)
		}
	}
}
