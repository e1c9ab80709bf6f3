package upstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/monotonic"
	"github.com/bizra/bizra-top/node/printable"
)

// provider is one JSON-RPC endpoint.
type provider struct {
	name      string
	url       *url.URL
	secrets   *strings.Replacer
	header    http.Header // of every request; never written to
	transport http.RoundTripper
	bit       uint64 // in the set of providers that a call has tried
	counters  counters
	breaker   *breaker.Breaker
	maxBody   func() int64

	latency  recent
	expected atomic.Uint64 // moving average in seconds, as float bits
	p50      atomic.Int64
	p95      atomic.Int64
	hedge    atomic.Int64 // nanoseconds after which a second one is asked
	head     atomic.Uint64
	chain    atomic.Uint64 // 0 until known
	inFlight atomic.Int64
	calls    atomic.Uint64
	failures atomic.Uint64
	lies     atomic.Uint64
	toldLie  atomic.Int64  // of the last event about a lie, monotonic; 0 for none
	distrust atomic.Uint64 // decaying count of lies, as float bits
	drained  atomic.Bool
	badCount atomic.Int32 // failures in a row
	badSince atomic.Int64 // of the first of them, monotonic
	ids      atomic.Uint64
	lastErr  atomic.Pointer[string]
}

// RPCError is a JSON-RPC error: an answer, not a failure.
type RPCError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (e *RPCError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Failure says that a provider did not give a usable answer.
type Failure struct {
	Provider string
	Kind     string // one of the kinds below
	Text     string
}

func (e *Failure) Error() string { return e.Provider + ": " + e.Text }

// The kinds of failures, and those of a provider that was not waited for: its
// breaker refused, or others were faster.
const (
	KindTimeout    = "timeout"
	KindConnection = "connection"
	KindStatus     = "status"
	KindMalformed  = "malformed"
	KindOversized  = "oversized"
	KindBreaker    = "breaker"
	KindSlow       = "slow"
)

// maxMessage bounds what is kept of an error text from a provider.
const maxMessage = 200

// limitCodes are JSON-RPC codes by which providers say "not now": EIP-1474's
// "limit exceeded", and the 429 some put where the code belongs.
var limitCodes = map[int]bool{-32005: true, 429: true}

// ask makes one HTTP call. The error is an *RPCError, a *Failure, or the
// context's when the caller has left.
func (p *provider) ask(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
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
	limit := p.maxBody()
	data, err := read(resp, limit)
	switch {
	case err != nil:
		return nil, p.transportFailure(ctx, err)
	case int64(len(data)) > limit:
		return nil, &Failure{p.name, KindOversized, fmt.Sprintf("the answer is over %d bytes", limit)}
	}
	return p.read(resp.StatusCode, data, id)
}

// maxAhead bounds how much room is made for a body on the word of its header.
const maxAhead = 1 << 20

// read reads a body up to one byte more than limit.
func read(resp *http.Response, limit int64) ([]byte, error) {
	room := int64(512)
	if resp.ContentLength > 0 {
		room = min(resp.ContentLength, limit, maxAhead) + 1
	}
	data := make([]byte, 0, room)
	for {
		n, err := resp.Body.Read(data[len(data):min(int64(cap(data)), limit+1)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF) || err == nil && int64(len(data)) > limit:
			return data, nil
		case err != nil:
			return nil, err
		}
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data))
		}
	}
}

// read takes an answer apart. A JSON-RPC error counts as an answer whatever the
// HTTP status: some clients send 400 or 500 with it.
func (p *provider) read(status int, data []byte, id uint64) (json.RawMessage, error) {
	e, ok := open(data)
	var refused *RPCError
	if ok && e.err != nil && json.Unmarshal(e.err, &refused) != nil {
		ok = false
	}
	overloaded := status == http.StatusTooManyRequests || status >= 500
	switch {
	case ok && refused != nil && !overloaded && !limitCodes[refused.Code]:
		refused.Message = p.text(refused.Message, maxMessage)
		refused.Data = json.RawMessage(p.secrets.Replace(string(refused.Data)))
		return nil, refused
	case status != http.StatusOK:
		return nil, &Failure{p.name, KindStatus, fmt.Sprintf("answered HTTP %d", status)}
	case !ok:
		return nil, &Failure{p.name, KindMalformed, "the answer is not JSON-RPC: " + p.text(string(data[:min(len(data), 400)]), 60)}
	case refused != nil:
		return nil, &Failure{p.name, KindStatus, "refuses for now: " + p.text(refused.Message, maxMessage)}
	case !e.answers(id):
		return nil, &Failure{p.name, KindMalformed, "the answer is to another request"}
	case e.result == nil:
		return nil, &Failure{p.name, KindMalformed, "the answer has neither result nor error"}
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
		return &Failure{p.name, KindTimeout, "no answer in time"}
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &Failure{p.name, KindConnection, p.text(err.Error(), maxMessage)}
}

// text makes what a provider says fit to be shown: without the secrets of its
// own address, which some quote where they refuse.
func (p *provider) text(s string, max int) string {
	return printable.Clean(p.secrets.Replace(s), max)
}

// secretsOf returns what hides the secrets of an address: the whole path, user and
// password, the query, and parts of the path that are long enough to be keys.
func secretsOf(u *url.URL) *strings.Replacer {
	const shortest, keyLength = 4, 8
	var secrets []string
	add := func(length int, texts ...string) {
		for _, s := range texts {
			if len(s) >= length {
				secrets = append(secrets, s)
			}
		}
	}
	add(shortest, u.Path, u.EscapedPath(), u.RawQuery)
	for _, values := range u.Query() {
		add(shortest, values...)
	}
	if password, ok := u.User.Password(); ok {
		add(shortest, password)
	}
	add(keyLength, u.User.Username())
	add(keyLength, strings.Split(u.Path, "/")...)
	// The longest first: a part must not be taken out of a whole.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, s := range secrets {
		pairs = append(pairs, s, "[secret]")
	}
	return strings.NewReplacer(pairs...)
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
	text := printable.Clean(err.Error(), maxMessage)
	p.lastErr.Store(&text)
}

// What a provider's state says when it is not its breaker's.
const (
	stateDrained      = "drained"
	stateUnknownChain = "chain not known yet"
	stateWrongChain   = "wrong chain"
	stateFailing      = "failing"
)

// marks are all of them.
var marks = []string{stateDrained, stateUnknownChain, stateWrongChain, stateFailing}

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
	}
	return true, ""
}

// good notes that the provider has answered.
func (p *provider) good() {
	if p.badCount.Load() != 0 {
		p.badCount.Store(0)
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
