package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fastjson"

	"github.com/bizra/bizra-top/node/printable"
)

const (
	// maxAnswer bounds the body of one answer.
	maxAnswer = 64 << 20
	// maxFailureText bounds what is quoted of an answer.
	maxFailureText = 120
	dialWait       = 5 * time.Second
)

// Target is what the load is put on: a node, whose HTTP API it asks for verdicts and
// whose gateway for JSON-RPC, or any JSON-RPC endpoint. It may be used from any
// goroutine; Close ends its connections.
type Target struct {
	url    string // without a slash at the end
	name   string
	rpc    bool
	client *http.Client
}

// NewTarget returns a target at an http or https URL; rpc says that it is a JSON-RPC
// endpoint. Redirects are not followed and no proxy is used: what is measured is what
// was named. No error or name shows more of the URL than its host.
func NewTarget(address string, rpc bool) (*Target, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the target is no URL that begins with http:// or https://")
	}
	t := &Target{url: address, name: printable.Clean(u.Scheme+"://"+u.Host, 200), rpc: rpc}
	if !rpc {
		t.url = strings.TrimRight(address, "/")
	}
	transport := &http.Transport{
		DialContext: (&net.Dialer{Timeout: dialWait}).DialContext, TLSHandshakeTimeout: dialWait,
		DisableCompression: true, // the answers' size is the server's choice, not ours
		IdleConnTimeout:    time.Minute, ForceAttemptHTTP2: true,
		// The connections are as many as requests may be under way, which the load
		// bounds.
		MaxIdleConns: maxConcurrency, MaxIdleConnsPerHost: maxConcurrency,
	}
	t.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return t, nil
}

// Name is the target as it may be shown: without path and credentials.
func (t *Target) Name() string { return t.name }

// Close ends the connections that are idle.
func (t *Target) Close() { t.client.CloseIdleConnections() }

// request is one request, and which HTTP status answers it well.
type request struct {
	method, path string
	body         string
	status       int
	rpc          bool
}

func rpcRequest(path, call string) request {
	return request{method: http.MethodPost, path: path, body: `{"jsonrpc":"2.0","id":1,"method":` + call + `}`, status: http.StatusOK, rpc: true}
}

// send makes a request, reads the whole answer into body and returns its status.
func (t *Target) send(ctx context.Context, r request, body *bytes.Buffer) (int, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, t.url+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, err
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.client.Do(req)
	if err != nil {
		var u *url.Error // it quotes the URL, which may hold a key
		if errors.As(err, &u) {
			err = u.Err
		}
		return 0, fmt.Errorf("%s: %w", t.name, err)
	}
	defer resp.Body.Close()
	body.Reset()
	n, err := io.Copy(body, io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && n > maxAnswer {
		err = fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	return resp.StatusCode, err
}

// call makes a JSON-RPC call and returns its result.
func (t *Target) call(ctx context.Context, call string) (*fastjson.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, searchWait)
	defer cancel()
	path := ""
	if !t.rpc {
		path = "/"
	}
	var body bytes.Buffer
	status, err := t.send(ctx, rpcRequest(path, call), &body)
	if err != nil {
		return nil, err
	}
	v, err := fastjson.ParseBytes(body.Bytes())
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("%s answers HTTP %d, not JSON-RPC", t.name, status)
	}
	if failure := v.Get("error"); failure != nil {
		return nil, fmt.Errorf("%s answers the error %s", t.name, printable.Clean(string(failure.GetStringBytes("message")), maxFailureText))
	}
	result := v.Get("result")
	if result == nil || result.Type() == fastjson.TypeNull {
		return nil, fmt.Errorf("%s does not know it", t.name)
	}
	return result, nil
}

// undecided is the outcome of a verdict that could not be reached. Verdicts are
// written by encoding/json, which leaves no space there.
var undecided = []byte(`"outcome":"undecided"`)

// verdictHead is how much of a verdict is searched for its outcome.
const verdictHead = 1 << 10

// judge returns why an answer is none, in a few words that repeat, or "".
func (r request) judge(status int, body []byte, parser *fastjson.Parser) string {
	if status != r.status {
		return "HTTP " + strconv.Itoa(status)
	}
	if !r.rpc {
		if bytes.Contains(body[:min(len(body), verdictHead)], undecided) {
			return "undecided"
		}
		return ""
	}
	v, err := parser.ParseBytes(body)
	if err != nil {
		return "no JSON"
	}
	if failure := v.Get("error"); failure != nil && failure.Type() != fastjson.TypeNull {
		return "error " + strconv.Itoa(failure.GetInt("code"))
	}
	if result := v.Get("result"); result == nil || result.Type() == fastjson.TypeNull {
		return "no result"
	}
	return ""
}

// failureOf says in a few words that repeat why there was no answer.
func failureOf(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection cut"
	}
	return "no connection"
}
