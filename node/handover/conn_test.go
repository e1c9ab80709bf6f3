package handover_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/handover"
)

// generation is a server that answers with its number.
type generation struct {
	*http.Server
	listener *handover.Listener
	served   chan error
	leaving  atomic.Bool
}

func serve(t *testing.T, number int, sockets *handover.Sockets, adopted []net.Conn) *generation {
	t.Helper()
	l, err := sockets.Listen("api")
	if err != nil {
		t.Fatal(err)
	}
	g := &generation{listener: handover.NewListener(l, adopted, handover.Patience{First: time.Minute, Next: time.Minute}), served: make(chan error, 1)}
	g.Server = &http.Server{ConnState: g.listener.ConnState, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if g.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		fmt.Fprintf(w, "%d %s", number, body)
	})}
	go func() { g.served <- g.Serve(g.listener) }()
	return g
}

// leave drains a generation and returns the idle connections.
func (g *generation) leave(t *testing.T) []net.Conn {
	t.Helper()
	g.leaving.Store(true)
	var mu sync.Mutex
	var given []net.Conn
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := g.listener.Drain(ctx, func(c net.Conn) error {
		f, err := c.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		again, err := net.FileConn(f)
		mu.Lock()
		defer mu.Unlock()
		given = append(given, again)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-g.served; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	return given
}

func listen(t *testing.T) (*handover.Sockets, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	sockets := &handover.Sockets{}
	if err := sockets.Add("api", l, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sockets.Close(false) })
	return sockets, address
}

// Clients that send on one connection, with pauses of every length, each at the risk
// that the server goes just then, lose nothing over forty generations: not a request
// on an idle connection, not one that is under way.
func TestNoRequestIsLostOnAKeptConnection(t *testing.T) {
	sockets, address := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	var sent, moved atomic.Int64
	var clients sync.WaitGroup
	for i := range 24 {
		clients.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			in, last := bufio.NewReader(conn), ""
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf("%d-%d", i, n)
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				half := len(request)
				if i%3 == 0 { // a request may come in pieces
					half = 2 + n%len(request)/2
				}
				_, err := io.WriteString(conn, request[:half])
				if half < len(request) {
					time.Sleep(time.Duration(n%3) * time.Millisecond)
					_, err = io.WriteString(conn, request[half:])
				}
				var resp *http.Response
				if err == nil {
					resp, err = http.ReadResponse(in, nil)
				}
				if err != nil {
					t.Errorf("client %d, request %d: %v", i, n, err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				generation, said, _ := strings.Cut(string(text), " ")
				if err != nil || said != body {
					t.Errorf("client %d: %q, %v", i, text, err)
				}
				if sent.Add(1); last != "" && generation != last {
					moved.Add(1)
				}
				if last = generation; resp.Close {
					_ = conn.Close()
					if conn, err = net.Dial("tcp", address); err != nil {
						t.Error(err)
						return
					}
					in.Reset(conn)
				}
				time.Sleep(time.Duration(i*n%7) * time.Millisecond)
			}
		})
	}
	g := serve(t, 0, sockets, nil)
	adopted := 0
	for n := range 40 {
		time.Sleep(20 * time.Millisecond)
		idle := g.leave(t)
		adopted += len(idle)
		g = serve(t, n+1, sockets, idle)
	}
	stop()
	clients.Wait()
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	<-g.served
	t.Logf("%d requests, %d connections went over idle, %d answers came from another generation on the same client", sent.Load(), adopted, moved.Load())
	if adopted == 0 || moved.Load() == 0 {
		t.Error("nothing went over: the test tests nothing")
	}
}

// A connection that a handler has taken for itself is not given away.
func TestAHijackedConnectionStays(t *testing.T) {
	sockets, address := listen(t)
	l, err := sockets.Listen("api")
	if err != nil {
		t.Fatal(err)
	}
	mine := handover.NewListener(l, nil, handover.Patience{First: time.Minute, Next: time.Minute})
	taken := make(chan net.Conn, 1)
	server := &http.Server{ConnState: mine.ConnState, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		taken <- c
	})}
	go func() { _ = server.Serve(mine) }() // it ends with the listener
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	c := <-taken
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := mine.Drain(ctx, func(net.Conn) error { t.Error("it was given away"); return nil }); err != nil {
		t.Error(err)
	}
	if _, err := c.Write([]byte("still here")); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	if text, err := io.ReadAll(conn); err != nil || string(text) != "still here" {
		t.Errorf("%q %v", text, err)
	}
}

// One that sends nothing but half a request is waited for, until the deadline.
func TestARequestUnderWayIsWaitedFor(t *testing.T) {
	sockets, address := listen(t)
	g := serve(t, 0, sockets, nil)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := g.listener.Drain(ctx, func(net.Conn) error { t.Error("it was given away"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := io.WriteString(conn, "cde"); err != nil {
		t.Error(err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v %v", resp, err)
	}
	_ = g.Close()
}

// A socket that was given to a process must not become blocking here: an Accept that
// nobody connects to could not be ended.
func TestGivingASocketDoesNotBlockAccept(t *testing.T) {
	sockets, _ := listen(t)
	l, err := sockets.Listen("api")
	if err != nil {
		t.Fatal(err)
	}
	mine := handover.NewListener(l, nil, handover.Patience{First: time.Minute, Next: time.Minute})
	accepted := make(chan error, 1)
	go func() { _, err := mine.Accept(); accepted <- err }()
	if _, err := handover.Start(t.Context(), "/bin/false", nil, sockets); err == nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	go func() { _, err := mine.Accept(); accepted <- err }()
	time.Sleep(20 * time.Millisecond)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-accepted:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Accept goes on after Close")
	}
}

// A client may open a connection before it has a request for it, as net/http's does when
// another becomes free meanwhile. The server's deadlines count from the first byte on: a
// connection without one is kept, a slow header or body is not.
func TestAConnectionMayWaitForItsFirstRequest(t *testing.T) {
	sockets, address := listen(t)
	l, err := sockets.Listen("api")
	if err != nil {
		t.Fatal(err)
	}
	const header, whole, patience = 200 * time.Millisecond, 400 * time.Millisecond, 1500 * time.Millisecond
	mine := handover.NewListener(l, nil, handover.Patience{First: patience, Next: patience})
	server := &http.Server{ConnState: mine.ConnState, ReadHeaderTimeout: header, ReadTimeout: whole, IdleTimeout: patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(mine) }()
	for _, c := range []struct {
		name   string
		pieces []string
		pauses []time.Duration // before each piece
		status int             // of the answer; 0 when the connection is closed without an answer
		within time.Duration
	}{
		{"a late request", []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"}, []time.Duration{600 * time.Millisecond}, http.StatusOK, 900 * time.Millisecond},
		{"a late request in two pieces", []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n", "ab"},
			[]time.Duration{600 * time.Millisecond, 100 * time.Millisecond}, http.StatusOK, time.Second},
		{"half a header", []string{"POST / HT"}, []time.Duration{600 * time.Millisecond}, http.StatusBadRequest, 1200 * time.Millisecond},
		{"half a body", []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na"}, []time.Duration{600 * time.Millisecond}, http.StatusRequestTimeout, 1400 * time.Millisecond},
		{"nothing", nil, nil, 0, patience + 500*time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			began := time.Now()
			_ = conn.SetDeadline(began.Add(10 * time.Second))
			for i, piece := range c.pieces {
				time.Sleep(c.pauses[i])
				if _, err := io.WriteString(conn, piece); err != nil {
					t.Fatal(err)
				}
			}
			status := 0
			if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				status = resp.StatusCode
			}
			if took := time.Since(began); status != c.status || took > c.within {
				t.Errorf("answered %d after %s, want %d within %s", status, took.Round(time.Millisecond), c.status, c.within)
			}
		})
	}
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}
