package devchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxRequest = 1 << 20
	maxBatch   = 1000
	closeWait  = 5 * time.Second
)

// Provider is a JSON-RPC server on a free loopback port, in front of a chain.
type Provider struct {
	name     string
	chain    *Chain
	listener net.Listener
	server   *http.Server
	fault    atomic.Pointer[Fault]
	override atomic.Pointer[Fault] // in its place, unless it is nil
	requests atomic.Uint64
	served   sync.WaitGroup
	serveErr error         // read after served is done
	closed   chan struct{} // ends answers that hang
	close    sync.Once
}

// NewProvider starts a provider. Close ends it.
func NewProvider(chain *Chain, name string) (*Provider, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("devchain: provider %s: %w", name, err)
	}
	p := &Provider{name: name, chain: chain, listener: listener, closed: make(chan struct{})}
	p.fault.Store(&Fault{})
	p.server = &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	p.served.Go(func() {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.serveErr = err
		}
	})
	return p, nil
}

// Name returns the provider's name.
func (p *Provider) Name() string { return p.name }

// URL returns the address to send requests to.
func (p *Provider) URL() string { return "http://" + p.listener.Addr().String() }

// Requests returns how many HTTP requests have arrived.
func (p *Provider) Requests() uint64 { return p.requests.Load() }

// SetFault changes how the provider behaves, from the next request on.
func (p *Provider) SetFault(f Fault) { p.fault.Store(&f) }

// Override has the provider behave as f says whatever SetFault and schedules do, until
// it is called with nil.
func (p *Provider) Override(f *Fault) { p.override.Store(f) }

// Fault returns the fault in force.
func (p *Provider) Fault() Fault {
	if f := p.override.Load(); f != nil {
		return *f
	}
	return *p.fault.Load()
}

// Close ends the server and waits for its requests.
func (p *Provider) Close() error {
	var err error
	p.close.Do(func() {
		close(p.closed)
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		if err = p.server.Shutdown(ctx); err != nil {
			err = errors.Join(err, p.server.Close())
		}
		p.served.Wait()
		err = errors.Join(err, p.serveErr)
	})
	return err
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.requests.Add(1)
	fault := p.Fault()
	if r.Method != http.MethodPost {
		http.Error(w, "POST JSON-RPC to this address", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "request too large or cut short", http.StatusRequestEntityTooLarge)
		return
	}
	if !p.misbehave(w, r, fault) {
		return
	}
	answer, err := json.Marshal(p.answer(fault, body))
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if fault.Oversized > 0 {
		// White space before the end leaves the JSON valid, only too large.
		w.Write(answer[:len(answer)-1])
		pad := bytes.Repeat([]byte{' '}, 1<<16)
		for left := fault.Oversized; left > 0; left -= len(pad) {
			if _, err := w.Write(pad[:min(left, len(pad))]); err != nil {
				return
			}
		}
		answer = answer[len(answer)-1:]
	}
	w.Write(answer)
}

// misbehave carries out the faults that come before an answer; it returns false
// when there is none to give.
func (p *Provider) misbehave(w http.ResponseWriter, r *http.Request, f Fault) bool {
	wait := f.Latency
	if f.Jitter > 0 {
		wait += rand.N(f.Jitter)
	}
	var elapsed <-chan time.Time // never, for a provider that hangs
	if !f.Hang {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		elapsed = timer.C
	}
	if f.Hang || wait > 0 {
		select {
		case <-elapsed:
		case <-r.Context().Done():
			return false
		case <-p.closed:
			return false
		}
	}
	switch {
	case f.Reset:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0)
			}
			conn.Close()
		}
		return false
	case f.ErrorRate > 0 && rand.Float64() < f.ErrorRate:
		status := f.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, http.StatusText(status), status)
		return false
	case f.HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n")
		return false
	}
	return true
}
