package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// message is what a stream sends.
type message struct {
	Time    time.Time
	Samples []struct {
		ID     string
		Series []struct {
			Labels map[string]string
			Value  *float64
		}
		Error string
	}
	Error string
}

// stream opens a WebSocket, with an Origin unless that is empty.
func (r *rig) stream(origin string) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	if origin != "" {
		o.HTTPHeader.Set("Origin", origin)
	}
	return websocket.Dial(ctx, "ws"+strings.TrimPrefix(r.url, "http")+"/ws/metrics", o)
}

// subscribed opens a stream and sends a command.
func (r *rig) subscribed(t *testing.T, command string) *websocket.Conn {
	t.Helper()
	conn, _, err := r.stream("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	say(t, conn, command)
	return conn
}

func say(t *testing.T, conn *websocket.Conn, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(command)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn *websocket.Conn) message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, data, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return m
}

func TestStreamSendsPanelsAndQueriesOnceASecond(t *testing.T) {
	r := start(t, options{})
	a := r.subscribed(t, `{"subscribe": [{"id": "p", "panel": "known"}, {"id": "q", "query": "up"}, {"id": "bad", "query": "bad("}]}`)
	b := r.subscribed(t, `{"subscribe": [{"id": "other", "query": "up"}]}`)
	first := hear(t, a)
	values := map[string]float64{}
	for _, s := range first.Samples {
		if s.ID == "bad" {
			if !strings.Contains(s.Error, "parse error") || strings.ContainsAny(s.Error, "\n\x1b") {
				t.Errorf("the error is %q", s.Error)
			}
			continue
		}
		if len(s.Series) != 1 || s.Series[0].Value == nil || s.Series[0].Labels["a"] != "b" {
			t.Fatalf("%+v", s)
		}
		values[s.ID] = *s.Series[0].Value
	}
	if len(first.Samples) != 3 || values["p"] != float64(len("panel known")) || values["q"] != 2 {
		t.Fatalf("%+v", first)
	}
	second := hear(t, a)
	if gap := second.Time.Sub(first.Time); len(second.Samples) != 2 || gap < 500*time.Millisecond || gap > 5*time.Second {
		t.Errorf("%s later: %+v", gap, second)
	}
	if m := hear(t, b); len(m.Samples) != 1 || m.Samples[0].ID != "other" {
		t.Errorf("%+v", m)
	}
	say(t, a, `{"unsubscribe": ["q"]}`)
	for m := hear(t, a); len(m.Samples) != 1 || m.Samples[0].ID != "p"; m = hear(t, a) {
		if time.Since(second.Time) > 10*time.Second {
			t.Fatal("q is still sent")
		}
	}
	if text := string(r.get("/metrics").body); !strings.Contains(text, "bizra_http_streams 2\n") || !strings.Contains(text, "bizra_http_streams_opened_total 2\n") {
		t.Error("streams are not counted")
	}
	r.observer.mu.Lock()
	defer r.observer.mu.Unlock()
	if r.observer.queries["bad("] != 1 {
		t.Errorf("a failed query was asked %d times", r.observer.queries["bad("])
	}
}

func TestStreamRefusesWhatIsOutOfBounds(t *testing.T) {
	r := start(t, options{})
	conn := r.subscribed(t, `{"subscribe": [`)
	many := `{"subscribe": [{"id": "0", "query": "up"}`
	for i := range 20 {
		many += fmt.Sprintf(`, {"id": "s%d", "query": "up"}`, i)
	}
	expect := func(want string) {
		t.Helper()
		if m := hear(t, conn); !strings.Contains(m.Error, want) || len(m.Samples) > 0 {
			t.Errorf("%+v, want %q", m, want)
		}
	}
	expect("not a command")
	for _, c := range []struct{ command, want string }{
		{`{"do": 1}`, "unknown field"},
		{`{"subscribe": [{"query": "up"}]}`, "needs an id"},
		{`{"subscribe": [{"id": "\u001b[31m", "query": "up"}]}`, "needs an id"},
		{`{"subscribe": [{"id": "a"}]}`, "either a panel or a query"},
		{`{"subscribe": [{"id": "a", "panel": "no"}]}`, "there is no panel no"},
		{`{"subscribe": [{"id": "a", "query": "` + strings.Repeat("x", 1500) + `"}]}`, "longer than"},
		{many + "]}", "at most 16"},
	} {
		say(t, conn, c.command)
		expect(c.want)
	}
	say(t, conn, strings.Repeat("x", 5000))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("after too large a message: %v", err)
	}
	if a := r.get("/ws/metrics"); a.status != http.StatusUpgradeRequired {
		t.Errorf("a plain request: %d %s", a.status, a.body)
	}
}

func TestStreamChecksTheOrigin(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.stream_origins": "https://*.example.org"}})
	for origin, allowed := range map[string]bool{
		"": true, r.url: true, "https://ops.example.org": true,
		"https://example.net": false, "http://ops.example.org": false, "null": false, "http://127.0.0.1:1": false,
	} {
		conn, resp, err := r.stream(origin)
		if (err == nil) != allowed || !allowed && resp.StatusCode != http.StatusForbidden {
			t.Errorf("%q: %v, want allowed %t", origin, err, allowed)
		}
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	r := start(t, options{with: map[string]string{"api.max_streams": "2"}})
	first := r.subscribed(t, `{}`)
	r.subscribed(t, `{}`)
	if _, resp, err := r.stream(""); err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("a third stream: %v", err)
	}
	_ = first.Close(websocket.StatusNormalClosure, "")
	r.await("the place of one that left", func() bool {
		conn, _, err := r.stream("")
		if err == nil {
			_ = conn.CloseNow()
		}
		return err == nil
	})
}

// A client that has stopped keeps the node from ending no longer than one that
// reads, which is told.
func TestStreamsEndWhenTheNodeDrains(t *testing.T) {
	r := start(t, options{})
	reading := r.subscribed(t, `{"subscribe": [{"id": "q", "query": "up"}]}`)
	r.subscribed(t, `{"subscribe": [{"id": "q", "query": "up"}]}`) // never reads
	hear(t, reading)
	ended := make(chan error, 1)
	go func() { ended <- r.server.Shutdown() }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var err error
	for err == nil {
		_, _, err = reading.Read(ctx)
	}
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("told %v", err)
	}
	r.client.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := r.streamsEnded(2 * time.Second); err != nil {
		t.Error(err)
	}
}

// streamsEnded waits until no stream is open.
func (r *rig) streamsEnded(within time.Duration) error {
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if r.metric("bizra_http_streams") == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("streams are open after %s", within)
		}
	}
}

// A client that reads nothing answers no heartbeat either: it is dropped after
// fifteen seconds, and others go on.
func TestStoppedStreamClientIsDropped(t *testing.T) {
	r := start(t, options{})
	reading := r.subscribed(t, `{"subscribe": [{"id": "q", "query": "up"}]}`)
	r.subscribed(t, `{"subscribe": [{"id": "q", "query": "up"}]}`) // never reads
	began := time.Now()
	for r.metric("bizra_http_streams") != 1 {
		if time.Since(began) > 30*time.Second {
			t.Fatal("it is still there")
		}
		hear(t, reading)
	}
	if n := r.metric(`bizra_http_streams_ended_total{reason="slow"}`); n != 1 {
		t.Errorf("%g were dropped as slow", n)
	}
	hear(t, reading)
	t.Logf("dropped after %s", time.Since(began).Round(time.Millisecond))
}
