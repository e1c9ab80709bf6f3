package connections_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/connections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server serves on a listener with bounds. held answers when it is told to.
type server struct {
	testing.TB
	address string
	accept  *connections.Listener
	began   chan struct{} // one for each request that is held
	release chan struct{}
}

func serve(t testing.TB, most int, share float64, rate int64, body int) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{TB: t, address: l.Addr().String(), began: make(chan struct{}, 100), release: make(chan struct{})}
	s.accept = connections.NewListener(l, connections.Options{Name: "test", Max: func() int { return most },
		Share: func() float64 { return share }, Rate: func() int64 { return rate }})
	h := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/held" {
				s.began <- struct{}{}
				<-s.release
			}
			_, _ = w.Write(make([]byte, body))
		}),
		ConnContext: connections.ConnContext, ConnState: func(c net.Conn, to http.ConnState) { connections.ConnState(c, to) },
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = h.Serve(s.accept) })
	t.Cleanup(func() { _ = h.Close(); serving.Wait() })
	return s
}

func (s *server) dial() net.Conn {
	s.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// ask asks on a connection and returns the status, 0 where it was closed.
func ask(c net.Conn, path string) int {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
		return 0
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Three hundred connections that never say anything took every descriptor. They drive out
// each other, not who asks for something, nor who waits for its next request.
func TestSilentConnectionsDriveOutEachOther(t *testing.T) {
	s := serve(t, 16, 1, 1<<20, 10)
	kept := s.dial()
	if got := ask(kept, "/"); got != http.StatusOK {
		t.Fatalf("%d", got)
	}
	for range 300 {
		s.dial()
	}
	if got := ask(s.dial(), "/"); got != http.StatusOK {
		t.Errorf("a new client got %d", got)
	}
	if got := ask(kept, "/"); got != http.StatusOK {
		t.Errorf("who waited between two requests got %d", got)
	}
}

// Where every connection is at work, the next one is told so at once.
func TestAConnectionTooManyIsRefusedInWords(t *testing.T) {
	s := serve(t, 4, 1, 1<<20, 10)
	var held sync.WaitGroup
	for range 4 {
		c := s.dial()
		held.Go(func() {
			if got := ask(c, "/held"); got != http.StatusOK {
				t.Errorf("one at work got %d", got)
			}
		})
	}
	for range 4 {
		<-s.began
	}
	if got := ask(s.dial(), "/"); got != http.StatusServiceUnavailable {
		t.Errorf("one too many got %d", got)
	}
	close(s.release)
	held.Wait()
}

// One address has its share; another is served beside it.
func TestAnAddressHasItsShare(t *testing.T) {
	s := serve(t, 8, 0.5, 1<<20, 10)
	var held sync.WaitGroup
	defer held.Wait()
	defer close(s.release)
	for range 4 {
		c := s.dial()
		held.Go(func() { ask(c, "/held") })
		<-s.began
	}
	if got := ask(s.dial(), "/"); got != http.StatusServiceUnavailable {
		t.Errorf("one beyond the share got %d", got)
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := from.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := ask(c, "/"); got != http.StatusOK {
		t.Errorf("another address got %d", got)
	}
}

// A client that reads nothing is cut within seconds; one that reads slowly, but faster
// than the least rate, gets all of its answer.
func TestWritingHasALeastRate(t *testing.T) {
	const body = 8 << 20
	s := serve(t, 16, 1, 1<<20, body)
	began := time.Now()
	stalled := s.dial()
	_ = stalled.(*net.TCPConn).SetReadBuffer(64 << 10)
	if _, err := fmt.Fprint(stalled, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	slow := s.dial()
	_ = slow.(*net.TCPConn).SetReadBuffer(64 << 10)
	if _, err := fmt.Fprint(slow, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, io.TeeReader(resp.Body, pause{}))
	if err != nil || n != body {
		t.Errorf("the slow reader got %d bytes of %d: %v", n, body, err)
	}
	// What the stalled one was sent before fits into buffers; then the connection ends.
	_ = stalled.SetReadDeadline(time.Now().Add(time.Minute))
	got, err := io.Copy(io.Discard, stalled)
	if got >= body {
		t.Errorf("the client that did not read got all of it: %v", err)
	}
	t.Logf("the slow reader took %s, the stalled one got %d bytes", time.Since(began).Round(time.Millisecond), got)
}

// pause makes a reader slow: some 1.5 MiB a second.
type pause struct{}

func (pause) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / (3 << 19))
	return len(p), nil
}
