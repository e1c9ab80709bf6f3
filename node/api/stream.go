package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/supervise"
)

const (
	streamRoute = "GET /ws/metrics"

	// What one client may have and send.
	maxSubscriptions = 16
	maxExpr          = 1 << 10
	maxStreamMessage = 4 << 10
	maxStreamSeries  = 64

	streamEvery = time.Second
	// All queries of one round together, with the rest after each: four times as
	// long as it took, so that streams take a fifth of one core at most and a
	// request that meets a query meets no second one.
	roundFor  = 2 * time.Second
	queryRest = 4

	heartbeatEvery = 10 * time.Second
	heartbeatFor   = 5 * time.Second
	// A client that has not taken a message after this, or is this many behind, is
	// dropped.
	streamWriteFor = 5 * time.Second
	streamBehind   = 4
	// goodbyeFor bounds the closing handshake.
	goodbyeFor = 300 * time.Millisecond
)

// streams sends samples to WebSocket clients. One goroutine evaluates what all of
// them have asked for, each query once a second however many want it, and never
// waits for a client. A client has two goroutines, which end with it.
type streams struct {
	settings Settings
	observer Observer

	mu      sync.Mutex
	clients map[*streamClient]struct{}
	closed  bool
	working sync.WaitGroup

	opened, sent prometheus.Counter
	ended        *prometheus.CounterVec
}

// Why a stream ended.
const (
	endLeft  = "left"
	endSlow  = "slow"
	endDrain = "drain"
)

func newStreams(s Settings, o Observer) *streams {
	st := &streams{settings: s, observer: o, clients: map[*streamClient]struct{}{},
		opened: prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_http_streams_opened_total", Help: "WebSocket streams opened."}),
		sent:   prometheus.NewCounter(prometheus.CounterOpts{Name: "bizra_http_stream_messages_total", Help: "Messages handed to WebSocket streams."}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bizra_http_streams_ended_total",
			Help: "WebSocket streams that ended, by reason: left, slow, drain."}, []string{"reason"})}
	for _, reason := range []string{endLeft, endSlow, endDrain} {
		st.ended.WithLabelValues(reason)
	}
	return st
}

func (s *streams) collectors() []prometheus.Collector {
	return []prometheus.Collector{s.opened, s.sent, s.ended,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bizra_http_streams", Help: "Open WebSocket streams."}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(len(s.clients))
		})}
}

// streamClient is one connection.
type streamClient struct {
	conn   *websocket.Conn
	out    chan []byte
	cut    context.CancelFunc // ends reading and writing at once
	once   sync.Once
	reason string // why it ends; written before ending is closed
	ending chan struct{}

	mu            sync.Mutex
	subscriptions map[string]string // queries by the client's id
}

// end has the connection closed, by its writer or, when that hangs, by force.
func (c *streamClient) end(reason string) {
	c.once.Do(func() {
		c.reason = reason
		close(c.ending)
		time.AfterFunc(goodbyeFor, c.cut)
	})
}

// command is what a client sends.
type command struct {
	Subscribe   []subscription `json:"subscribe"`
	Unsubscribe []string       `json:"unsubscribe"`
}

// subscription asks for a panel by its name, or for a query.
type subscription struct {
	ID    string `json:"id"`
	Panel string `json:"panel"`
	Query string `json:"query"`
}

// streamed is what a client gets: samples, or what is wrong.
type streamed struct {
	Time    time.Time      `json:"time"`
	Samples []streamResult `json:"samples,omitempty"`
	Error   string         `json:"error,omitempty"`
}

type streamResult struct {
	ID     string         `json:"id"`
	Series []streamSeries `json:"series"`
	Error  string         `json:"error,omitempty"` // then the subscription has ended
}

type streamSeries struct {
	Labels map[string]string `json:"labels"`
	Value  *float64          `json:"value"` // null when it is no number
}

// ServeHTTP opens a stream.
func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		problemJSON(w, http.StatusUpgradeRequired, "this is a WebSocket; send {\"subscribe\": [{\"id\": \"a\", \"panel\": \"request_rate\"}]} over it")
		return
	}
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	c := &streamClient{cut: cut, out: make(chan []byte, streamBehind), ending: make(chan struct{}), subscriptions: map[string]string{}}
	if !s.join(c) {
		w.Header().Set("Retry-After", "10")
		problemJSON(w, http.StatusServiceUnavailable, "the node has as many streams as api.max_streams, or is shutting down")
		return
	}
	defer s.leave(c)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: slices.Concat(s.settings.StreamOrigins.Get(), s.settings.Origins.Get())})
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(maxStreamMessage)
	c.conn = conn
	s.opened.Inc()
	var writing sync.WaitGroup
	supervise.Go(&writing, "writes of a stream", func() { s.write(ctx, c) }, func(error) { cut() })
	s.read(ctx, c)
	c.end(endLeft)
	writing.Wait()
	s.ended.WithLabelValues(c.reason).Inc()
}

func (s *streams) join(c *streamClient) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.clients) >= s.settings.MaxStreams.Get() {
		return false
	}
	s.clients[c] = struct{}{}
	s.working.Add(1)
	return true
}

func (s *streams) leave(c *streamClient) {
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
	s.working.Done()
}

// goodbye closes a connection with the reason.
func (c *streamClient) goodbye() {
	code, text := websocket.StatusNormalClosure, ""
	switch c.reason {
	case endDrain:
		code, text = websocket.StatusGoingAway, "the node is shutting down"
	case endSlow:
		code, text = websocket.StatusPolicyViolation, "too slow"
	}
	_ = c.conn.Close(code, text) // it may be gone already
}

// read takes commands until the connection ends.
func (s *streams) read(ctx context.Context, c *streamClient) {
	for {
		_, data, err := c.conn.Read(ctx)
		if err != nil {
			return
		}
		if err := s.obey(c, data); err != nil {
			s.send(c, streamed{Time: time.Now().UTC(), Error: printable.Clean(err.Error(), 200)})
		}
	}
}

// obey does what a command says, as a whole or not at all.
func (s *streams) obey(c *streamClient, data []byte) error {
	var cmd command
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&cmd); err != nil {
		return fmt.Errorf("not a command: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[string]string, len(c.subscriptions))
	for id, expr := range c.subscriptions {
		next[id] = expr
	}
	for _, id := range cmd.Unsubscribe {
		delete(next, id)
	}
	for _, sub := range cmd.Subscribe {
		expr := sub.Query
		switch {
		case sub.ID == "" || len(sub.ID) > 64 || printable.Clean(sub.ID, 64) != sub.ID:
			return errors.New("a subscription needs an id of at most 64 printable characters")
		case (sub.Panel == "") == (sub.Query == ""):
			return fmt.Errorf("subscription %s needs either a panel or a query", sub.ID)
		case len(sub.Query) > maxExpr:
			return fmt.Errorf("the query of %s is longer than %d bytes", sub.ID, maxExpr)
		}
		if sub.Panel != "" {
			var ok bool
			if expr, ok = s.observer.Panel(sub.Panel); !ok {
				return fmt.Errorf("there is no panel %s", sub.Panel)
			}
		}
		next[sub.ID] = expr
	}
	if len(next) > maxSubscriptions {
		return fmt.Errorf("at most %d subscriptions", maxSubscriptions)
	}
	c.subscriptions = next
	return nil
}

// write sends what is queued, and heartbeats, and says goodbye at the end.
func (s *streams) write(ctx context.Context, c *streamClient) {
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-c.ending:
			c.goodbye()
			return
		case message := <-c.out:
			limited, cancel := context.WithTimeout(ctx, streamWriteFor)
			err = c.conn.Write(limited, websocket.MessageText, message)
			cancel()
		case <-beat.C:
			limited, cancel := context.WithTimeout(ctx, heartbeatFor)
			err = c.conn.Ping(limited)
			cancel()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			c.end(endSlow)
		} else if err != nil {
			c.end(endLeft)
		}
	}
}

// send queues a message; a client that is too far behind is dropped.
func (s *streams) send(c *streamClient, m streamed) {
	data, err := json.Marshal(m)
	if err != nil {
		return // it is made of strings and numbers
	}
	select {
	case c.out <- data:
		s.sent.Inc()
	default:
		c.end(endSlow)
	}
}

// run evaluates and sends until ctx ends, then ends every stream.
func (s *streams) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		s.round(ctx)
		rest(ctx, streamEvery-time.Since(began))
	}
	s.mu.Lock()
	s.closed = true
	for c := range s.clients {
		c.end(endDrain)
	}
	s.mu.Unlock()
	s.working.Wait() // each ends within goodbyeFor
}

// evaluated is the answer to one query.
type evaluated struct {
	series []streamSeries
	err    string
}

// round evaluates each query once and sends the answers.
func (s *streams) round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, roundFor)
	defer cancel()
	s.mu.Lock()
	clients := make([]*streamClient, 0, len(s.clients))
	for c := range s.clients {
		clients = append(clients, c)
	}
	s.mu.Unlock()
	answers, at := map[string]evaluated{}, time.Now().UTC()
	for _, c := range clients {
		c.mu.Lock()
		wanted := c.subscriptions // replaced as a whole, never changed
		c.mu.Unlock()
		m := streamed{Time: at}
		for id, expr := range wanted {
			a, ok := answers[expr]
			if !ok && ctx.Err() != nil {
				continue // the rest of the round's queries; map order is random, so each gets its turn
			} else if !ok {
				began := time.Now()
				a = s.evaluate(ctx, expr)
				answers[expr] = a
				rest(ctx, queryRest*time.Since(began))
			}
			if a.err != "" {
				c.forget(id, expr)
			}
			m.Samples = append(m.Samples, streamResult{id, a.series, a.err})
		}
		if len(m.Samples) > 0 {
			s.send(c, m)
		}
	}
}

// rest waits for a while, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// forget ends a subscription, unless it has become another.
func (c *streamClient) forget(id, expr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]string{}
	for i, e := range c.subscriptions {
		if i != id || e != expr {
			next[i] = e
		}
	}
	c.subscriptions = next
}

func (s *streams) evaluate(ctx context.Context, expr string) evaluated {
	samples, err := s.observer.Query(ctx, expr)
	if err != nil {
		return evaluated{err: queryText(err)}
	}
	out := make([]streamSeries, 0, min(len(samples), maxStreamSeries))
	for _, sample := range samples[:min(len(samples), maxStreamSeries)] {
		series := streamSeries{Labels: sample.Labels}
		if v := sample.Value; !math.IsNaN(v) && !math.IsInf(v, 0) {
			series.Value = &v
		}
		out = append(out, series)
	}
	return evaluated{series: out}
}
