package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Predecessor is the process that this one takes over from.
type Predecessor struct {
	Sockets *Sockets
	channel channel
}

// Inherit returns the process that started this one to take over, or nil. It must be
// called once, early: the descriptors are given names here.
func Inherit() (*Predecessor, error) {
	list, ok := os.LookupEnv(variable)
	if !ok {
		return nil, nil
	}
	if err := os.Unsetenv(variable); err != nil {
		return nil, err
	}
	names := strings.Split(list, "\n") // one at least
	for fd := conversation; fd < firstSocket+len(names); fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("%s is for a process that another one starts to take over: %w", variable, err)
		}
	}
	c, err := asChannel(os.NewFile(conversation, "conversation"))
	if err != nil {
		return nil, err
	}
	p := &Predecessor{Sockets: &Sockets{}, channel: c}
	for i, pair := range names {
		name, path, _ := strings.Cut(pair, "=")
		if name != "" {
			p.Sockets.add(name, os.NewFile(uintptr(firstSocket+i), name), path)
		}
	}
	return p, nil
}

// Ready says that this process has prepared what it can, and waits until everything
// is closed in the old one. It returns the idle connections that come over, and
// reads the old one's state into state. An error, also of ctx, means that the old
// process goes on and this one must end.
func (p *Predecessor) Ready(ctx context.Context, state any) (conns []net.Conn, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("take over from the old process: %w", err)
			for _, c := range conns {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	if err := p.channel.send(message{Kind: ready}, nil); err != nil {
		return nil, err
	}
	until := time.Now().Add(waitFor)
	for {
		m, conn, err := p.channel.receive(ctx, until)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if conn != nil {
			conns = append(conns, conn)
		}
		switch {
		case err != nil:
			return conns, err
		case m.Kind == yours:
			return conns, json.Unmarshal(m.State, state)
		case m.Kind != connection || conn == nil:
			return conns, fmt.Errorf("the old process said %q", m.Kind)
		}
	}
}

// Serving says that this process accepts; the old one ends.
func (p *Predecessor) Serving() error {
	err := p.channel.send(message{Kind: serving}, nil)
	if err = errors.Join(err, p.channel.Close()); err != nil {
		return fmt.Errorf("tell the old process: %w", err)
	}
	return nil
}
