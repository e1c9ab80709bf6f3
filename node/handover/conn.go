package handover

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Listener is a listener whose connections can be given away. http.Server must call
// its ConnState. All methods may be called from any goroutine.
type Listener struct {
	net.Listener
	patience Patience

	mu        sync.Mutex
	adopted   []net.Conn
	open      map[*conn]struct{}
	accepting int // calls of Accept under way
}

// Patience is how long connections may be without a byte.
type Patience struct {
	First time.Duration // those that were accepted here, until their first request
	Next  time.Duration // those of another process, which had requests already
}

// NewListener returns a listener that hands out the connections of another process
// first, then those that l accepts. The server's deadlines for a request begin with its
// first byte.
func NewListener(l net.Listener, adopted []net.Conn, p Patience) *Listener {
	return &Listener{Listener: l, patience: p, adopted: adopted, open: map[*conn]struct{}{}}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.accepting++
	l.mu.Unlock()
	c, err, patience := l.next(), error(nil), l.patience.Next
	if c == nil {
		patience = l.patience.First
		c, err = l.Listener.Accept()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepting-- // together with what follows: Drain overlooks no connection
	if err != nil {
		return nil, err
	}
	mine := &conn{Conn: c, listener: l, idle: true, silent: true, opened: time.Now(), patience: patience}
	l.open[mine] = struct{}{}
	return mine, nil
}

func (l *Listener) next() net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.adopted) == 0 {
		return nil
	}
	c := l.adopted[0]
	l.adopted = l.adopted[1:]
	return c
}

// ConnState tells what an http.Server does with a connection of this listener.
func (l *Listener) ConnState(c net.Conn, to http.ConnState) {
	mine, ok := c.(*conn)
	if !ok {
		return
	}
	mine.mu.Lock()
	mine.idle = to == http.StateNew || to == http.StateIdle
	if to == http.StateIdle || to == http.StateHijacked { // those deadlines count from now
		mine.waited = 0
	}
	mine.mu.Unlock()
	if to == http.StateHijacked { // whoever has it knows what is on it
		l.forget(mine)
	}
}

func (l *Listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// drainEvery is how often Drain looks for connections that have become idle.
const drainEvery = 2 * time.Millisecond

// Drain closes the listener, then gives away connections as they become idle, until
// none is left or ctx ends. Requests that come meanwhile should be answered with
// "Connection: close". Connections that nobody accepted any more are given too.
func (l *Listener) Drain(ctx context.Context, give func(net.Conn) error) error {
	err := l.Close()
	for c := l.next(); c != nil; c = l.next() {
		err = errors.Join(err, give(c), c.Close())
	}
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for {
		l.mu.Lock()
		left := len(l.open) + l.accepting
		for c := range l.open {
			c.release(give)
		}
		l.mu.Unlock()
		if left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-tick.C:
		}
	}
}

// conn is a connection that knows whether it stands between two requests.
type conn struct {
	net.Conn
	listener *Listener

	mu    sync.Mutex
	idle  bool // as http.Server sees it
	dirty bool // something was read since the last answer
	// give is where the connection goes instead of being closed; while it is set
	// reads fail, and deadline is what the server wants it to be.
	give     func(net.Conn) error
	deadline time.Time
	closed   bool
	// The first request has its own patience. http.Server counts its deadlines from opened
	// on instead, so that what was waited for the first byte would be taken from the time
	// of the request.
	silent   bool // nothing was read yet
	patience time.Duration
	opened   time.Time
	waited   time.Duration // for the first request, until it is answered
}

// apply sets the deadline of reads to what the server means. The caller holds mu.
func (c *conn) apply() error {
	t := c.deadline
	switch {
	case t.Before(c.opened): // none, or one that ends a read
	case c.silent:
		t = c.opened.Add(c.patience)
	default:
		t = t.Add(c.waited)
	}
	return c.Conn.SetReadDeadline(t)
}

// release has the server let go of the connection, if nothing is under way on it.
func (c *conn) release(give func(net.Conn) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle && !c.dirty && c.give == nil && !c.closed {
		c.give = give
		_ = c.Conn.SetReadDeadline(past) // one that is closed is read no more either
	}
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 {
		return n, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = true
	if c.give != nil || c.silent {
		if c.silent {
			c.silent, c.waited = false, time.Since(c.opened)
		}
		c.give = nil  // a request came first: it is answered here
		_ = c.apply() // the next read says what is wrong
	}
	return n, err
}

// Write begins an answer. Before it, not after: the client may send its next request
// before Write returns.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.dirty = false
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline = t; c.give != nil {
		return nil
	}
	return c.apply()
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SyscallConn reaches the socket, for its options.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// CloseWrite lets http.Server end an answer before it ends the connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection here. One that was released lives on where it was
// given to.
func (c *conn) Close() error {
	defer c.listener.forget(c) // Drain waits until it is where it goes
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.give == nil || c.dirty {
		return c.Conn.Close()
	}
	return errors.Join(c.give(c.Conn), c.Conn.Close())
}
