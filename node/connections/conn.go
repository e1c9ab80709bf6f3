package connections

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

const (
	// grace is how long an answer may wait for its reader besides what the least rate
	// allows: for a link that pauses.
	grace = 5 * time.Second
	// piece is how much is written at once, so that progress is seen.
	piece = 64 << 10
)

// conn is one connection. It is used by one goroutine at a time for writing, as
// http.Server does.
type conn struct {
	net.Conn
	listener *Listener
	address  *Address
	network  netip.Prefix

	// Guarded by listener.mu.
	gone  bool
	in    *list.List
	place *list.Element

	free    atomic.Bool // writes have no least rate any more
	sent    int64       // bytes of this answer
	blocked time.Duration
}

// leaveList takes the connection out of the list it is in. The caller holds listener.mu.
func (c *conn) leaveList() {
	if c.in != nil {
		c.in.Remove(c.place)
		c.in, c.place = nil, nil
	}
}

// begin starts to count an answer.
func (c *conn) begin() { c.sent, c.blocked = 0, 0 }

// Write implements net.Conn. The time that writes of one answer may wait in all grows
// with what was written.
func (c *conn) Write(p []byte) (n int, err error) {
	if c.free.Load() {
		return c.Conn.Write(p)
	}
	for len(p) > 0 && err == nil {
		chunk := p[:min(len(p), piece)]
		began := time.Now()
		allowed := grace + time.Duration(float64(c.sent+int64(len(chunk)))/float64(max(c.listener.options.Rate(), 1))*float64(time.Second))
		if err = c.Conn.SetWriteDeadline(began.Add(allowed - c.blocked)); err != nil {
			return n, err
		}
		var wrote int
		wrote, err = c.Conn.Write(chunk)
		c.blocked += time.Since(began)
		c.sent += int64(wrote)
		n += wrote
		p = p[wrote:]
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.listener.stalled.Inc()
	}
	return n, err
}

// SetDeadline sets that of reading: writing has its own.
func (c *conn) SetDeadline(t time.Time) error {
	if c.free.Load() {
		return c.Conn.SetDeadline(t)
	}
	return c.SetReadDeadline(t)
}

// SetWriteDeadline does nothing until the connection is hijacked: Write sets it.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.free.Load() {
		return c.Conn.SetWriteDeadline(t)
	}
	return nil
}

// CloseWrite lets http.Server end an answer before it ends the connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.forget(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
