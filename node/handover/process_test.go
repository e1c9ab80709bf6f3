package handover_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node/handover"
)

// asSuccessor has the test binary be a new process that behaves as its next argument
// says.
const asSuccessor = "as-successor"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == asSuccessor {
		if err := succeed(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// succeed is the new process.
func succeed(behaviour string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := handover.Inherit()
	if err != nil || p == nil {
		return fmt.Errorf("nothing was inherited: %w", err)
	}
	if behaviour == "speaks out of turn" {
		return p.Serving()
	}
	var state string
	conns, err := p.Ready(ctx, &state)
	if err != nil {
		return err
	}
	switch behaviour {
	case "ends at its turn":
		return errors.New("it cannot")
	case "hangs at its turn":
		<-ctx.Done()
		return ctx.Err()
	}
	l, err := p.Sockets.Listen("api")
	if err != nil {
		return err
	}
	listener, ended := handover.NewListener(l, conns, handover.Patience{First: time.Minute, Next: time.Minute}), make(chan struct{})
	server := http.Server{ConnState: listener.ConnState, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			close(ended)
		}
		fmt.Fprintf(w, "%d has %s and %d connections", os.Getpid(), state, len(conns))
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := p.Serving(); err != nil {
		return err
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
	err = server.Shutdown(context.Background())
	<-served
	return err
}

func successor(t *testing.T, behaviour string, sockets *handover.Sockets) (*handover.Successor, error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return handover.Start(t.Context(), program, []string{asSuccessor, behaviour}, sockets)
}

// A new process gets the sockets, the idle connections and the state, and answers on
// both kinds of connections under its own number.
func TestANewProcessTakesOver(t *testing.T) {
	sockets, address := listen(t)
	g := serve(t, 0, sockets, nil)
	kept, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	in := bufio.NewReader(kept)
	ask := func() string {
		t.Helper()
		_ = kept.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(kept, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := ask(); got != "0 " {
		t.Fatalf("%q", got)
	}

	s, err := successor(t, "takes over", sockets)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range g.leave(t) {
		if err := s.Give(c); err != nil {
			t.Error(err)
		}
		_ = c.Close() // the new process has it
	}
	if err := s.Yield(t.Context(), "a state"); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d has a state and 1 connections", s.PID())
	if got := ask(); got != want {
		t.Errorf("on the connection of before: %q, want %q", got, want)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + "/end")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != want {
		t.Errorf("on a new connection: %q, %v", text, err)
	}
}

// A new process that does not do as it must is given up, and does not run any more.
func TestANewProcessThatFailsIsGivenUp(t *testing.T) {
	for behaviour, c := range map[string]struct {
		state any
		want  string
	}{
		"speaks out of turn": {"", `the new process said "serving" instead of "ready"`},
		"ends at its turn":   {"", "the new process ended before it was serving: exit status 1"},
		"takes over":         {strings.Repeat("x", 200<<10), "bytes are too many"},
		"takes over in vain": {func() {}, "pass on the state"},
		"hangs at its turn":  {"", "context deadline exceeded"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			sockets, _ := listen(t)
			s, err := successor(t, behaviour, sockets)
			if err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				err = s.Yield(ctx, c.state)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if s == nil {
				return
			}
			if p, err := os.FindProcess(s.PID()); err == nil && !errors.Is(p.Signal(os.Interrupt), os.ErrProcessDone) {
				t.Error("it goes on")
			}
		})
	}
}

// What cannot be handed over is refused, and a process that nobody started to take over
// inherits nothing.
func TestWhatCannotBeHandedOver(t *testing.T) {
	if _, err := handover.Start(t.Context(), "/bin/true", nil, &handover.Sockets{}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("no socket: %v", err)
	}
	sockets, _ := listen(t)
	if _, err := handover.Start(t.Context(), "/no/such/program", nil, sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	if err := sockets.Add("piped", pipeListener{}, false); err == nil || !strings.Contains(err.Error(), "cannot be handed over") {
		t.Errorf("a listener without a socket: %v", err)
	}
	if _, err := sockets.Listen("piped"); err == nil {
		t.Error("a socket that is not there is listened on")
	}
	if p, err := handover.Inherit(); p != nil || err != nil {
		t.Errorf("inherited %v, %v", p, err)
	}
}

// An end of the context just before the wait for the new process was lost: it was waited
// for all the same, for as long as one may prepare.
func TestAnEarlyEndOfAStartIsNotLost(t *testing.T) {
	sockets, _ := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		began := time.Now()
		if _, err := handover.Start(ctx, "/bin/sh", []string{"-c", "read x <&3"}, sockets); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > handover.ReadyFor/2 {
			t.Fatalf("it took %s", took)
		}
	}
}

// pipeListener has no socket.
type pipeListener struct{ net.Listener }
