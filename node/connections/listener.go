package connections

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what is bounded. Functions are asked at each use, from any goroutine.
type Options struct {
	Name string     // of the listener, the label of its metrics
	Max  func() int // connections at once
	// Share is the largest part of Max, and of requests under way, that one address may
	// have; 1 is no bound.
	Share func() float64
	Rate  func() int64 // least bytes a second that an answer is read at
}

// Listener hands out the connections of another listener within the bounds. An
// http.Server must call ConnState and ConnContext. All methods may be called from
// any goroutine.
type Listener struct {
	net.Listener
	options Options

	mu        sync.Mutex
	open      int
	addresses map[netip.Prefix]*Address
	silent    list.List // connections without a byte yet, the oldest first
	idle      list.List // connections between two requests, the one that waits longest first

	refused, evicted, stalled prometheus.Counter
}

// Address is what one client address holds: one IPv4 address, or one IPv6 network of 64
// bits, which is what one customer gets.
type Address struct {
	open     int // guarded by Listener.mu
	inFlight atomic.Int64
	bytes    atomic.Int64
}

// NewListener returns a listener over l.
func NewListener(l net.Listener, o Options) *Listener {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"listener": o.Name}})
	}
	return &Listener{Listener: l, options: o, addresses: map[netip.Prefix]*Address{},
		refused: counter("bizra_connections_refused_total", "Connections answered 503 because all were at work, by listener."),
		evicted: counter("bizra_connections_evicted_total", "Connections closed to make room for new ones: silent, or between two requests."),
		stalled: counter("bizra_connections_stalled_total", "Connections cut because their reader was slower than the least rate.")}
}

// Collectors returns the listener's metrics.
func (l *Listener) Collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{"listener": l.options.Name}}, value)
	}
	return []prometheus.Collector{l.refused, l.evicted, l.stalled,
		gauge("bizra_connections_open", "Open connections, by listener.", func() float64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return float64(l.open)
		}),
		gauge("bizra_connections_limit", "Connections there may be, by listener.", func() float64 { return float64(l.options.Max()) })}
}

// Accept implements net.Listener. It returns connections within the bounds alone.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		mine, victim := l.admit(c)
		if victim != nil {
			_ = victim.Close() // it did nothing; its server notices
		}
		if mine != nil {
			return mine, nil
		}
		refuse(c)
	}
}

// admit counts a connection in, in the place of a victim where there is no room; nil
// where that is not possible.
func (l *Listener) admit(c net.Conn) (mine, victim *conn) {
	limit, key := max(l.options.Max(), 1), network(c.RemoteAddr())
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.addresses[key]
	if a == nil {
		a = &Address{}
	}
	switch {
	case a.open >= part(l.options.Share(), limit):
		victim = l.victim(a)
	case l.open >= limit:
		victim = l.victim(nil)
	}
	if victim == nil && (l.open >= limit || a.open >= part(l.options.Share(), limit)) {
		l.refused.Inc()
		return nil, nil
	}
	if victim != nil {
		l.evicted.Inc()
		l.forget(victim)
	}
	l.addresses[key] = a
	a.open++
	l.open++
	mine = &conn{Conn: c, listener: l, address: a, network: key}
	mine.place = l.silent.PushBack(mine)
	mine.in = &l.silent
	keepUnsentLow(c)
	return mine, victim
}

// looked is how many connections are looked at for a victim: more would take long under
// a flood from many addresses.
const looked = 64

// victim returns a connection that does nothing, of one address or, for nil, of the one
// that has most among those that are looked at.
func (l *Listener) victim(of *Address) (best *conn) {
	for _, waiting := range []*list.List{&l.silent, &l.idle} {
		n := 0
		for e := waiting.Front(); e != nil; e = e.Next() {
			c := e.Value.(*conn)
			if of != nil && c.address == of {
				return c
			}
			if n++; of == nil && (best == nil || c.address.open > best.address.open) {
				best = c
			}
			if of == nil && n == looked {
				break
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// forget counts a connection out, once. The caller holds mu.
func (l *Listener) forget(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	c.leaveList()
	l.open--
	if c.address.open--; c.address.open == 0 && l.addresses[c.network] == c.address {
		delete(l.addresses, c.network)
	}
}

// ConnState tells what an http.Server does with a connection, of whichever Listener, over
// TLS too. It returns the connection that this one was made of.
func ConnState(c net.Conn, to http.ConnState) net.Conn {
	mine, ok := own(c)
	if !ok {
		return c
	}
	l := mine.listener
	switch to {
	case http.StateActive:
		l.move(mine, nil)
		mine.begin()
	case http.StateIdle:
		l.move(mine, &l.idle)
	case http.StateHijacked: // whoever has it knows how long it may write
		l.move(mine, nil)
		mine.free.Store(true)
		_ = mine.Conn.SetWriteDeadline(time.Time{}) // one that is closed is written no more
	}
	return mine.Conn
}

// move puts a connection into another list, or none.
func (l *Listener) move(c *conn, to *list.List) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.gone || c.in == to {
		return
	}
	c.leaveList()
	if to != nil {
		c.place, c.in = to.PushBack(c), to
	}
}

type addressKey struct{}

// own returns the connection of a Listener below c.
func own(c net.Conn) (*conn, bool) {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		c = over.NetConn()
	}
	mine, ok := c.(*conn)
	return mine, ok
}

// Accepted returns the connection that a Listener accepted, of which c was made.
func Accepted(c net.Conn) net.Conn {
	if mine, ok := own(c); ok {
		return mine.Conn
	}
	return c
}

// ConnContext keeps the address of a connection in the context of its requests.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if mine, ok := own(c); ok {
		return context.WithValue(ctx, addressKey{}, mine.address)
	}
	return ctx
}

// Of returns the address that a request came from; nil outside of a Listener.
func Of(ctx context.Context) *Address {
	a, _ := ctx.Value(addressKey{}).(*Address)
	return a
}

// Enter counts a request of the address in, unless it has its share of limit requests
// already. Leave counts it out. A nil address has no bound.
func (a *Address) Enter(share float64, limit int) bool {
	if a == nil {
		return true
	}
	if a.inFlight.Add(1) > int64(part(share, limit)) {
		a.inFlight.Add(-1)
		return false
	}
	return true
}

// Leave counts out a request that Enter counted in.
func (a *Address) Leave() {
	if a != nil {
		a.inFlight.Add(-1)
	}
}

// Hold counts bytes that are kept in memory for the address, unless it has its share of
// limit bytes already. Release counts them out.
func (a *Address) Hold(n int64, share float64, limit int64) bool {
	if a == nil {
		return true
	}
	if now := a.bytes.Add(n); share < 1 && float64(now) > share*float64(limit) && now != n {
		a.bytes.Add(-n)
		return false
	}
	return true
}

// Release counts out bytes that Hold counted in.
func (a *Address) Release(n int64) {
	if a != nil {
		a.bytes.Add(-n)
	}
}

// part is the largest number that one address may have of limit; at least one.
func part(share float64, limit int) int {
	if share >= 1 {
		return limit
	}
	return max(1, int(share*float64(limit)+0.5))
}

// network returns what of an address is one client.
func network(a net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{} // a unix socket: all on this host are one
	}
	ip, bits := ap.Addr().Unmap(), 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the bits fit the address
	return p
}

// refusal is what a connection gets that there is no room for.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

func refuse(c net.Conn) {
	_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)) // the buffer of a new connection is empty
	_, _ = c.Write([]byte(refusal))
	_ = c.Close()
}
