package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Deadlines of the steps.
const (
	// ReadyFor is how long a new process may prepare.
	ReadyFor = time.Minute
	// ServingFor is how long it may take to open what is exclusive.
	ServingFor = 30 * time.Second
	// waitFor is how long it waits for what is exclusive: longer than the longest
	// api.drain_timeout.
	waitFor = 6 * time.Minute
	// endFor is how long one that is given up may take to end.
	endFor = 5 * time.Second
)

// Successor is the process that takes over.
type Successor struct {
	cmd     *exec.Cmd
	channel channel
	ended   chan struct{} // closed when it has ended
	end     error
}

// Start runs program with args and the sockets, and waits until it is ready. After
// an error it does not run.
func Start(ctx context.Context, program string, args []string, sockets *Sockets) (*Successor, error) {
	if len(sockets.names) == 0 {
		return nil, errors.New("there is no socket to hand over")
	}
	mine, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	s := &Successor{cmd: exec.Command(program, args...), channel: mine, ended: make(chan struct{})}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	s.cmd.ExtraFiles = []*os.File{theirs}
	var names []string
	for _, name := range sockets.names {
		s.cmd.ExtraFiles = append(s.cmd.ExtraFiles, sockets.files[name])
		names = append(names, name+"="+sockets.paths[name])
	}
	s.cmd.Env = append(environment(os.Environ()), variable+"="+strings.Join(names, "\n"))
	err = s.cmd.Start()
	_ = theirs.Close() // the process has it, or nobody
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the new process: %w", err), mine.Close())
	}
	go func() { s.end = s.cmd.Wait(); close(s.ended) }()
	if _, err := s.expect(ctx, ready, ReadyFor); err != nil {
		return nil, s.Abandon(err)
	}
	return s, nil
}

// environment is what a new process gets: without what was meant for this one.
func environment(environ []string) []string {
	return slices.DeleteFunc(environ, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains([]string{variable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"}, name)
	})
}

// expect waits for a message; the end of the process, or of ctx, is an error.
func (s *Successor) expect(ctx context.Context, want kind, within time.Duration) (message, error) {
	m, conn, err := s.channel.receive(ctx, time.Now().Add(within))
	if conn != nil {
		_ = conn.Close() // nobody asked for it
	}
	switch {
	case ctx.Err() != nil:
		return m, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return m, fmt.Errorf("the new process was not %s within %s", want, within)
	case err != nil:
		select {
		case <-s.ended:
			return m, fmt.Errorf("the new process ended before it was %s: %w", want, s.end)
		case <-time.After(time.Second):
			return m, fmt.Errorf("the new process went silent before it was %s: %w", want, err)
		}
	case m.Kind != want:
		return m, fmt.Errorf("the new process said %q instead of %q", m.Kind, want)
	}
	return m, nil
}

// PID returns the process's number.
func (s *Successor) PID() int { return s.cmd.Process.Pid }

// Give passes an idle connection on. It may be called from any goroutine.
func (s *Successor) Give(c net.Conn) error { return s.channel.give(c) }

// Yield tells the process that all is closed here, with a state of the caller's own
// as JSON, and waits until it serves. After an error it does not run any more.
func (s *Successor) Yield(ctx context.Context, state any) error {
	data, err := json.Marshal(state)
	if err != nil {
		return s.Abandon(fmt.Errorf("pass on the state: %w", err))
	}
	if err := s.channel.send(message{Kind: yours, State: data}, nil); err != nil {
		return s.Abandon(err)
	}
	if _, err := s.expect(ctx, serving, ServingFor); err != nil {
		return s.Abandon(err)
	}
	return s.channel.Close()
}

// Abandon ends the process, politely first, and returns why with what went wrong in
// doing so.
func (s *Successor) Abandon(why error) error {
	err := s.channel.Close() // it ends by itself then
	select {
	case <-s.ended:
		return why
	case <-time.After(endFor):
	}
	killed := s.cmd.Process.Kill()
	<-s.ended
	return errors.Join(why, err, killed)
}
