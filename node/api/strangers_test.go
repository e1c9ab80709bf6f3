package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/devchain"
)

// large answers what is asked of a block with so many bytes, and everything else as the
// provider behind it does.
func large(t *testing.T, u string, size int) string {
	result := `"0x` + strings.Repeat("0", size) + `"`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var req struct {
			ID     json.RawMessage
			Method string
		}
		if json.Unmarshal(body, &req) == nil && req.Method == "eth_getCode" {
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, req.ID, result)
			return
		}
		resp, err := http.Post(u, "application/json", strings.NewReader(string(body)))
		if err != nil {
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// code asks for what large answers; each address is another question.
func code(address int) string {
	return request("eth_getCode", fmt.Sprintf("0x%040x", address), "0x1")
}

// Ten batches of a hundred members that name one answer of a megabyte took gigabytes. An
// answer to a batch has a bound; members beyond it are told so, in geth's words.
func TestABatchOfLargeAnswersHasABound(t *testing.T) {
	r := start(t, options{url: func(_ int, u string) string { return large(t, u, 1<<20) }})
	batch := "[" + strings.Repeat(code(1)+",", 99) + code(1) + "]"
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			a := r.send(http.MethodPost, "/", batch)
			var members []struct {
				Result string
				Error  *struct {
					Code    int
					Message string
				}
			}
			if err := json.Unmarshal(a.body, &members); err != nil || a.status != http.StatusOK || len(members) != 100 {
				t.Errorf("%d, %d members, %v", a.status, len(members), err)
				return
			}
			whole := 0
			for _, m := range members {
				switch {
				case m.Error == nil && len(m.Result) == 2+1<<20:
					whole++
				case m.Error == nil || m.Error.Code != -32003 || m.Error.Message != "response too large":
					t.Errorf("%+v", m.Error)
				}
			}
			if whole != 25_000_000/(1<<20) {
				t.Errorf("%d members were answered whole", whole)
			}
		})
	}
	wg.Wait()
	r.await("nothing to be in flight", func() bool { return r.metric("bizra_bodies_in_flight_bytes") == 0 })
}

// What is in flight has one bound: beyond it a client is told to come again, and what is
// small is answered all the while.
func TestUnreadAnswersHaveABoundTogether(t *testing.T) {
	const size = 2 << 20
	r := start(t, options{url: func(_ int, u string) string { return large(t, u, size) },
		with: map[string]string{"api.max_bodies": "16MiB", "api.address_share": "1", "api.encode_above": "1GiB", "cache.l1.max_bytes": "1MiB"}})
	small := request("eth_chainId")
	r.call(small)
	var refused answer
	for i := range 20 {
		body := code(i)
		c := r.unread(body)
		defer c.Close()
		if a := r.peek(c); a.status == http.StatusServiceUnavailable {
			refused = a
			break
		}
	}
	if refused.status != http.StatusServiceUnavailable || refused.header.Get("Retry-After") == "" || !strings.Contains(string(refused.body), "api.max_bodies") {
		t.Errorf("twenty unread answers of 2 MiB: %d %.200s", refused.status, refused.body)
	}
	if held := r.metric("bizra_bodies_in_flight_bytes"); held > 16<<20 {
		t.Errorf("%.0f bytes in flight", held)
	}
	if got := r.call(small); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
}

// Clients that never read their answer held api.max_in_flight for a minute: everybody
// else got 503. A request is no longer in flight when its answer is ready.
func TestClientsThatDoNotReadHoldNoPlace(t *testing.T) {
	r := start(t, options{url: func(_ int, u string) string { return large(t, u, 4<<20) },
		with: map[string]string{"api.max_in_flight": "2", "api.encode_above": "1GiB"}})
	for i := range 4 {
		c := r.unread(code(i))
		defer c.Close()
		if a := r.peek(c); a.status != http.StatusOK {
			t.Fatalf("reader %d: %d %.200s", i, a.status, a.body)
		}
	}
	if got := r.call(request("eth_chainId")); got.Error != nil {
		t.Errorf("%+v", got.Error)
	}
	if n := r.metric("bizra_http_in_flight_requests"); n != 0 {
		t.Errorf("%.0f in flight", n)
	}
}

// A body that comes slowly holds no place either.
func TestBodiesThatComeSlowlyHoldNoPlace(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_in_flight": "2"}})
	for _, path := range []string{"/", "/", "/v1/validations", "/v1/validations"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", path); err != nil {
			t.Fatal(err)
		}
	}
	r.await("the bodies to be waited for", func() bool { return r.metric("bizra_http_connections") >= 4 })
	for range 10 {
		if got := r.call(request("eth_chainId")); got.Error != nil {
			t.Errorf("%+v", got.Error)
		}
	}
}

// One address has its share of requests in flight; another is served beside it.
func TestOneAddressCannotHoldAllPlaces(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_in_flight": "4", "upstream.attempt_timeout": "3s", "upstream.attempts": "1"}})
	r.call(request("eth_chainId"))
	r.fault(devchain.Fault{Latency: time.Hour}, 0, 1, 2)
	var held sync.WaitGroup
	defer held.Wait()
	for i := range 2 {
		held.Go(func() { r.send(http.MethodPost, "/", code(i)) })
	}
	defer r.fault(devchain.Fault{}, 0, 1, 2)
	r.await("two requests in flight", func() bool { return r.metric("bizra_http_in_flight_requests") == 2 })
	if a := r.send(http.MethodPost, "/", request("eth_chainId")); a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "api.address_share") {
		t.Errorf("the third of one address: %d %s", a.status, a.body)
	}
	other := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext}}
	resp, err := other.Post(r.url, "application/json", strings.NewReader(request("eth_chainId")))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("another address: %d", resp.StatusCode)
	}
}

// A connection without a byte lived for two minutes.
func TestSilentConnectionsAreCut(t *testing.T) {
	r := start(t, options{})
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	began := time.Now()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	t.Logf("cut after %s", time.Since(began).Round(10*time.Millisecond))
}

// Loads that nobody waits for any more end, and have a bound while they run.
func TestAbandonedRequestsLeaveNoLoad(t *testing.T) {
	r := start(t, options{with: map[string]string{"cache.max_loads": "8", "upstream.attempt_timeout": "8s", "api.address_share": "1"}})
	r.call(request("eth_chainId"))
	r.fault(devchain.Fault{Latency: time.Hour}, 0, 1, 2)
	defer r.fault(devchain.Fault{}, 0, 1, 2)
	leaving := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 300 * time.Millisecond}
	var wg sync.WaitGroup
	var refused sync.Map
	for i := range 32 {
		wg.Go(func() {
			resp, err := leaving.Post(r.url, "application/json", strings.NewReader(code(i)))
			if err == nil {
				_ = resp.Body.Close()
				refused.Store(resp.StatusCode, true)
			}
		})
	}
	wg.Wait()
	if _, ok := refused.Load(http.StatusServiceUnavailable); !ok {
		t.Error("none of 32 loads was refused")
	}
	r.await("no load to be left", func() bool { return r.metric("bizra_cache_loads") == 0 && r.metric("bizra_upstream_active_calls") == 0 })
}

// unread sends a request and reads nothing.
func (r *rig) unread(body string) net.Conn {
	r.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetReadBuffer(16 << 10)
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		r.Fatal(err)
	}
	return c
}

// peek reads the head of an answer, and what came with it.
func (r *rig) peek(c net.Conn) answer {
	r.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var got []byte
	for !strings.Contains(string(got), "\r\n\r\n") {
		p := make([]byte, 1)
		if _, err := c.Read(p); err != nil {
			r.Fatalf("%v after %q", err, got)
		}
		got = append(got, p...)
	}
	head, _, _ := strings.Cut(string(got), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	a := answer{header: http.Header{}}
	_, _ = fmt.Sscanf(lines[0], "HTTP/1.1 %d", &a.status)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		a.header.Add(name, value)
	}
	if a.status != http.StatusOK {
		a.body = make([]byte, 1000)
		n, _ := c.Read(a.body)
		a.body = a.body[:n]
	}
	return a
}
