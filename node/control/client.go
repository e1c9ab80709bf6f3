package control

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/settings"
)

// callTimeout bounds every call of a client; the node answers each within
// milliseconds unless it is in trouble.
const callTimeout = 5 * time.Second

// maxAnswer bounds what a client reads of one answer.
const maxAnswer = 32 << 20

// ErrNoAnswer says that no node answers.
var ErrNoAnswer = errors.New("no answer from a node")

// ErrNotOffered says that the node does not know what was asked for, as one of an
// older version.
var ErrNotOffered = errors.New("the node does not offer this: it is of another version")

// nothingHere begins the answer to a request that the door does not know, in every
// version.
const nothingHere = "there is nothing here"

// Is says whether the refusal is ErrNotOffered.
func (p *Problem) Is(target error) bool {
	return target == ErrNotOffered && p.Status == http.StatusNotFound && strings.HasPrefix(p.Text, nothingHere)
}

// ErrOtherVersion says that an answer was understood in part: some of it has a form
// that this version does not know. What was understood comes with the error.
var ErrOtherVersion = errors.New("the answer is of another version of bizra-top")

// Client talks to a node through its control socket. It may be used by any
// number of goroutines and survives a restart of the node.
type Client struct {
	http   *http.Client
	socket string // as a person names it
	base   string // of every URL
	broken error  // why no call can be made
}

// NewClient returns a client of the node that listens on the unix socket. It
// does not connect; the first call does.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{
		socket: socket,
		base:   "http://node",
		http: &http.Client{
			Timeout:   callTimeout,
			Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute},
		},
	}
}

// NewFleetClient returns a client of the node at an address such as
// https://node-a.example.org:3443, over TLS with the certificate, key and authority
// (of the node's certificate) in three PEM files. What is wrong with them is the
// error of every call.
func NewFleetClient(address, cert, key, authority string) *Client {
	c := &Client{socket: address}
	u, err := url.Parse(address)
	switch {
	case err != nil:
	case u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		err = errors.New("a node's address is https://HOST:PORT")
	case cert == "" || key == "" || authority == "":
		err = errors.New("a node is asked over TLS with --tls-cert, --tls-key and --tls-ca: three PEM files")
	}
	if err != nil {
		c.broken = err
		return c
	}
	files, err := openCertificates(cert, key, authority, func(error) {})
	if err != nil {
		c.broken = err
		return c
	}
	c.base = "https://" + u.Host
	c.http = &http.Client{
		Timeout: callTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: callTimeout,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: files.now.authority,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return files.current().cert, nil }}},
	}
	return c
}

// Socket returns the path of the socket, or the address of a node over TLS.
func (c *Client) Socket() string { return c.socket }

// Close drops idle connections.
func (c *Client) Close() {
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
}

// Node says which node answers.
func (c *Client) Node(ctx context.Context) (Node, error) {
	return call[Node](ctx, c, http.MethodGet, "/v1/node", nil)
}

// Look returns one tick, with the events after since.
func (c *Client) Look(ctx context.Context, since uint64) (Look, error) {
	return call[Look](ctx, c, http.MethodGet, "/v1/look?since="+strconv.FormatUint(since, 10), nil)
}

// Panels returns the panel catalogue.
func (c *Client) Panels(ctx context.Context) ([]Panel, error) {
	return call[[]Panel](ctx, c, http.MethodGet, "/v1/panels", nil)
}

// History returns every panel's series over the last span, by panel id.
func (c *Client) History(ctx context.Context, span, step time.Duration) (map[string][]Series, error) {
	path := "/v1/panels/history?" + url.Values{"span": {span.String()}, "step": {step.String()}}.Encode()
	return call[map[string][]Series](ctx, c, http.MethodGet, path, nil)
}

// Settings returns every tunable, sorted by key.
func (c *Client) Settings(ctx context.Context) ([]Setting, error) {
	return call[[]Setting](ctx, c, http.MethodGet, "/v1/settings", nil)
}

// Setting returns one tunable.
func (c *Client) Setting(ctx context.Context, key string) (Setting, error) {
	return call[Setting](ctx, c, http.MethodGet, "/v1/settings/"+url.PathEscape(key), nil)
}

// Change sets tunables, all or none, or only says what it would do.
func (c *Client) Change(ctx context.Context, r ChangeRequest) (ChangeResult, error) {
	return call[ChangeResult](ctx, c, http.MethodPost, "/v1/changes", r)
}

// Undo takes back the last change.
func (c *Client) Undo(ctx context.Context) (ChangeResult, error) {
	return call[ChangeResult](ctx, c, http.MethodPost, "/v1/undo", struct{}{})
}

// Redo does what was taken back last again.
func (c *Client) Redo(ctx context.Context) (ChangeResult, error) {
	return call[ChangeResult](ctx, c, http.MethodPost, "/v1/redo", struct{}{})
}

// Keep ends the trial of a change, by its number or "last".
func (c *Client) Keep(ctx context.Context, id string) (ChangeResult, error) {
	return call[ChangeResult](ctx, c, http.MethodPost, "/v1/changes/"+url.PathEscape(id)+"/keep", struct{}{})
}

// Revert takes back a change on trial, by its number or "last".
func (c *Client) Revert(ctx context.Context, id string) (ChangeResult, error) {
	return call[ChangeResult](ctx, c, http.MethodPost, "/v1/changes/"+url.PathEscape(id)+"/revert", struct{}{})
}

// Changes lists what was changed since the start and holds, newest first.
func (c *Client) Changes(ctx context.Context) ([]Trial, error) {
	return call[[]Trial](ctx, c, http.MethodGet, "/v1/changes", nil)
}

// Save writes kept changes to the overrides file, or only shows the difference.
func (c *Client) Save(ctx context.Context, r SaveRequest) (SaveResult, error) {
	return call[SaveResult](ctx, c, http.MethodPost, "/v1/save", r)
}

// Explain returns what each source says of a setting, weakest first.
func (c *Client) Explain(ctx context.Context, key string) ([]settings.Layer, error) {
	return call[[]settings.Layer](ctx, c, http.MethodGet, "/v1/settings/"+url.PathEscape(key)+"/explain", nil)
}

// Audit returns the newest entries of the audit trail, newest first.
func (c *Client) Audit(ctx context.Context, limit int) ([]audit.Entry, error) {
	return call[[]audit.Entry](ctx, c, http.MethodGet, "/v1/audit?limit="+strconv.Itoa(limit), nil)
}

// Actions lists what can be done by hand.
func (c *Client) Actions(ctx context.Context) ([]Action, error) {
	return call[[]Action](ctx, c, http.MethodGet, "/v1/actions", nil)
}

// Act does one action, or only says what it would do.
func (c *Client) Act(ctx context.Context, r ActionRequest) (ActionResult, error) {
	return call[ActionResult](ctx, c, http.MethodPost, "/v1/actions", r)
}

// Transitions returns what a breaker did lately, oldest first.
func (c *Client) Transitions(ctx context.Context, breaker string) ([]Transition, error) {
	return call[[]Transition](ctx, c, http.MethodGet, "/v1/transitions?"+url.Values{"breaker": {breaker}}.Encode(), nil)
}

// Outcomes returns what is in a breaker's window now.
func (c *Client) Outcomes(ctx context.Context, breaker string) (Outcomes, error) {
	return call[Outcomes](ctx, c, http.MethodGet, "/v1/outcomes?"+url.Values{"breaker": {breaker}}.Encode(), nil)
}

// HotKeys returns at most limit keys that most of the cache's hits are for, the hottest
// first.
func (c *Client) HotKeys(ctx context.Context, limit int) ([]HotKey, error) {
	return call[[]HotKey](ctx, c, http.MethodGet, "/v1/hotkeys?limit="+strconv.Itoa(limit), nil)
}

// Events returns the events after since, oldest first.
func (c *Client) Events(ctx context.Context, since uint64) ([]Event, error) {
	return call[[]Event](ctx, c, http.MethodGet, "/v1/events?since="+strconv.FormatUint(since, 10), nil)
}

// Alerts returns every alerting rule and its state.
func (c *Client) Alerts(ctx context.Context) ([]Alert, error) {
	return call[[]Alert](ctx, c, http.MethodGet, "/v1/alerts", nil)
}

func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var out T
	if c.broken != nil {
		return out, c.broken
	}
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return out, fmt.Errorf("encode request: %w", err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return out, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		// The URL inside url.Error is of no use to a person: name the socket.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return out, c.unreached(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, fmt.Errorf("read answer from %s: %w", c.socket, err)
	}
	if resp.StatusCode >= 300 {
		// Not into a Problem: the Prometheus API has a status that is a word.
		var said struct {
			Text string `json:"error"`
		}
		if json.Unmarshal(data, &said) != nil || said.Text == "" {
			said.Text = "the node answered " + resp.Status
		}
		return out, &Problem{Status: resp.StatusCode, Text: said.Text}
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("%w, from %s: %w", ErrOtherVersion, c.socket, err)
	}
	return out, nil
}
