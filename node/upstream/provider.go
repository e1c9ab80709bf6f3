package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/memory"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/secret"
	"github.com/bizra/bizra-top/node/supervise"
)

// provider is one JSON-RPC endpoint.
type provider struct {
	name      string
	url       *url.URL
	secrets   *secret.Mask
	header    http.Header     // of every request; never written to
	transport *http.Transport // of its own: what one holds is no other's
	maxCalls  func() int
	index     int // in the set of providers that a call has tried
	counters  counters
	breaker   *breaker.Breaker
	maxBody   func() int64

	latency   recent
	expected  atomic.Uint64 // moving average in seconds, as float bits
	p50       atomic.Int64
	p95       atomic.Int64
	p99       atomic.Int64
	hedge     atomic.Int64 // nanoseconds after which a second one is asked
	head      atomic.Uint64
	chain     atomic.Uint64 // 0 until known
	inFlight  atomic.Int64
	underWay  atomic.Int64 // of them, calls that upstream.max_calls bounds
	rests     rests
	abilities abilities
	calls     atomic.Uint64
	failures  atomic.Uint64
	lies      atomic.Uint64
	toldLie   atomic.Int64  // of the last event about a lie, monotonic; 0 for none
	distrust  atomic.Uint64 // decaying count of lies, as float bits
	drained   atomic.Bool
	badCount  atomic.Int32 // failures in a row
	badSince  atomic.Int64 // of the first of them, monotonic
	hashless  atomic.Int64 // monotonic; until when it is asked for its height alone
	pollNow   chan struct{}
	ids       atomic.Uint64
	lastErr   atomic.Pointer[string]
}

// ErrOverload is returned, at once, when what is asked for is more than the node may do at
// once: every provider that could be asked has upstream.max_calls under way, or the answer
// has no room in api.max_bodies. It says nothing about a provider.
var ErrOverload = errors.New("the node is at its limits; try again in a second")

// ask makes one HTTP call. The error is an *RPCError, a *Failure, or the
// context's when the caller has left. It runs in goroutines of many owners, and what it
// reads may be anything: a panic is a failure of this call.
func (p *provider) ask(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	return p.askUpTo(ctx, method, params, p.maxBody())
}

// askUpTo is ask for an answer of at most limit bytes.
func (p *provider) askUpTo(ctx context.Context, method string, params json.RawMessage, limit int64) (result json.RawMessage, err error) {
	err = supervise.Call("answer of a provider", func() (err error) {
		result, err = p.exchange(ctx, method, params, limit)
		return err
	})
	return result, err
}

func (p *provider) exchange(ctx context.Context, method string, params json.RawMessage, limit int64) (json.RawMessage, error) {
	id := p.ids.Add(1)
	body := make([]byte, 0, len(params)+len(method)+64)
	body = append(body, `{"jsonrpc":"2.0","id":`...)
	body = strconv.AppendUint(body, id, 10)
	body = append(body, `,"method":`...)
	body = strconv.AppendQuote(body, method)
	body = append(body, `,"params":`...)
	body = append(body, params...)
	body = append(body, '}')

	reader := bytes.NewReader(body)
	req := (&http.Request{
		Method: http.MethodPost, URL: p.url, Host: p.url.Host, Header: p.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)), Body: io.NopCloser(reader),
		// For a connection that turns out to be closed before anything was sent.
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(ctx)
	p.inFlight.Add(1)
	defer p.inFlight.Add(-1)
	// Not by http.Client: redirects are not followed, and would carry the key in
	// the URL or the header to a host that was not configured.
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return nil, p.transportFailure(ctx, err)
	}
	defer resp.Body.Close()
	share := memory.Of(ctx)
	data, err := read(resp, limit, share)
	switch {
	case errors.Is(err, ErrOverload):
		return nil, err
	case err != nil:
		share.Return(counted(cap(data)))
		return nil, p.transportFailure(ctx, err)
	case int64(len(data)) > limit:
		share.Return(counted(cap(data)))
		return nil, p.failure(KindOversized, fmt.Sprintf("the answer is over %d bytes", limit))
	}
	return p.read(resp, method, data, id)
}

// uncounted is the part of an answer that no budget counts: upstream.max_calls bounds how
// many there are.
const uncounted = 64 << 10

func counted(room int) int64 { return max(0, int64(room)-uncounted) }

// maxAhead bounds how much room is made for a body on the word of its header.
const maxAhead = 1 << 20

// read reads a body up to one byte more than limit. Its room counts in share, and is
// given back where the error is ErrOverload.
func read(resp *http.Response, limit int64, share *memory.Share) ([]byte, error) {
	room := int64(512)
	if resp.ContentLength > 0 {
		room = min(resp.ContentLength, limit, maxAhead) + 1
	}
	if !share.Take(counted(int(room))) {
		return nil, ErrOverload
	}
	data := make([]byte, 0, room)
	for {
		n, err := resp.Body.Read(data[len(data):min(int64(cap(data)), limit+1)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF) || err == nil && int64(len(data)) > limit:
			return data, nil
		case err != nil:
			return data, err
		}
		if len(data) == cap(data) {
			more := 2 * cap(data)
			if resp.ContentLength > 0 {
				more = min(more, int(min(resp.ContentLength, limit))+1)
			}
			if !share.Take(counted(more) - counted(cap(data))) {
				share.Return(counted(cap(data)))
				return nil, ErrOverload
			}
			data = append(make([]byte, 0, more), data...)
		}
	}
}

// read takes an answer apart. A JSON-RPC error counts whatever the HTTP status: some
// clients send 400 or 500 with it.
func (p *provider) read(resp *http.Response, method string, data []byte, id uint64) (json.RawMessage, error) {
	e, ok := open(data)
	switch {
	case ok && e.err != nil:
		return nil, p.refusedBy(resp, method, e.err)
	case resp.StatusCode != http.StatusOK:
		return nil, p.refusedByStatus(resp, method, data)
	case !ok:
		return nil, p.failure(KindMalformed, "the answer is not JSON-RPC: "+p.text(string(data[:min(len(data), 400)]), 60))
	case !e.answers(id):
		return nil, p.failure(KindMalformed, "the answer is to another request")
	case e.result == nil:
		return nil, p.failure(KindMalformed, "the answer has neither result nor error")
	}
	if len(e.result) < cap(data)-cap(data)/8 {
		return bytes.Clone(e.result), nil // it may be kept for long: without the room around it
	}
	return e.result, nil
}

// headerOf is what every request to an address carries.
func headerOf(u *url.URL) http.Header {
	r := http.Request{Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bizra-top"}}}
	if u.User != nil {
		password, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), password)
	}
	return r.Header
}

// transportFailure says what went wrong without the URL, which net/http puts in
// front of its errors.
func (p *provider) transportFailure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return p.failure(KindTimeout, "no answer in time")
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	f := p.failure(KindConnection, p.text(err.Error(), maxShown))
	var op *net.OpError
	f.unsent = errors.As(err, &op) && op.Op == "dial"
	return f
}

// text makes what a provider says fit to be shown: without the secrets of its
// own address, which some quote where they refuse.
func (p *provider) text(s string, max int) string {
	return printable.Clean(p.secrets.Text(s), max)
}

// observe takes a latency into the moving average and the histogram.
func (p *provider) observe(d time.Duration) {
	p.latency.observe(d)
	const weight = 0.1
	old := math.Float64frombits(p.expected.Load())
	next := d.Seconds()
	if old > 0 {
		next = old + weight*(next-old)
	}
	p.expected.Store(math.Float64bits(next)) // a lost race costs one sample
}

// remember keeps the newest failure for the screens.
func (p *provider) remember(err error) {
	if err == nil {
		return
	}
	text := printable.Clean(err.Error(), maxShown)
	p.lastErr.Store(&text)
}

// What a provider's state says when it is not its breaker's.
const (
	stateDrained      = "drained"
	stateUnknownChain = "chain not known yet"
	stateWrongChain   = "wrong chain"
	stateFailing      = "failing"
	stateResting      = "asked to wait"
)

// marks are all of them.
var marks = []string{stateDrained, stateUnknownChain, stateWrongChain, stateFailing, stateResting}

// usable says whether calls may go to the provider, and if not, why.
func (p *provider) usable(chain uint64) (bool, string) {
	switch got := p.chain.Load(); {
	case p.drained.Load():
		return false, stateDrained
	case chain != 0 && got == 0:
		return false, stateUnknownChain
	case chain != 0 && got != chain:
		return false, stateWrongChain
	case !p.breaker.Allows():
		return false, string(p.breaker.State())
	case p.resting():
		return false, stateResting
	}
	return true, ""
}

// good notes that the provider has answered.
func (p *provider) good() {
	if p.badCount.Load() != 0 {
		p.badCount.Store(0)
	}
	if p.rests.row.Load() != 0 {
		p.rests.row.Store(0)
	}
}

// bad notes that the provider has failed, or kept a call waiting for too long.
func (p *provider) bad() { p.badFrom(time.Now()) }

func (p *provider) badFrom(t time.Time) {
	if p.badCount.Add(1) == 1 {
		p.badSince.Store(monotonic.Of(t))
	}
}

// failing says that the provider's last answers were all failures. It is then
// asked last, before its breaker knows enough to open.
func (p *provider) failing() bool { return p.badCount.Load() >= failuresInARow }

const (
	// failuresInARow are too many to be chance.
	failuresInARow = 3
	// lastCost, in seconds, puts a provider behind all that are well, and
	// triedCost behind all that have not been tried.
	lastCost  = 1000
	triedCost = 1e9
)

// cost is what a call is expected to cost here; less is better. Unknown
// providers come first, so that they get known.
func (p *provider) cost(head uint64, maxLag int) float64 {
	c := math.Float64frombits(p.expected.Load()) * float64(1+p.inFlight.Load())
	c *= 1 + 10*math.Float64frombits(p.distrust.Load())
	if own := p.head.Load(); own != 0 && head > own+uint64(maxLag) {
		c += lastCost
	}
	if p.failing() {
		c += 10 * lastCost
	}
	return c
}
