package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/api"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
)

// Otter ends its goroutine when the cache is collected, which is not asked for.
var otter = goleak.IgnoreTopFunction("github.com/maypok86/otter/v2.periodicCleanUp[...]")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, otter) }

// unobserved is a node whose metrics nobody keeps.
type unobserved struct{}

func (unobserved) Query(context.Context, string) ([]api.Sample, error) { return nil, nil }
func (unobserved) Panel(string) (string, bool)                         { return "", false }

// chain starts a chain with three honest providers.
func chain(t *testing.T) *devchain.Net {
	t.Helper()
	c, err := devchain.Start(context.Background(), devchain.Config{Seed: 3, Prefill: 6, Traffic: true, MinTx: 2, MaxTx: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// build builds a node on a chain; with lists settings as KEY, VALUE.
func build(ctx context.Context, t *testing.T, c *devchain.Net, dir string, with ...string) (*node.Node, *settings.Registry, error) {
	t.Helper()
	var providers []string
	for i, u := range c.URLs() {
		providers = append(providers, fmt.Sprintf("dev-%c=%s", 'a'+i, u))
	}
	with = append([]string{"upstream.providers", strings.Join(providers, ","), "node.name", "one",
		"breaker.upstream.minimum_calls", "2", "upstream.poll_every", "100ms", "api.drain_timeout", "5s"}, with...)
	registry := settings.NewRegistry()
	declared := node.Declare(registry)
	var changes []settings.Change
	for i := 0; i < len(with); i += 2 {
		changes = append(changes, settings.Change{Key: with[i], Value: with[i+1]})
	}
	if err := registry.Load(settings.SourceFile, changes); err != nil {
		t.Fatal(err)
	}
	n, err := node.New(ctx, node.Options{Registry: registry, Settings: declared, StateDir: dir, Mode: "node",
		Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	return n, registry, err
}

// running is a node that serves.
type running struct {
	*node.Node
	*testing.T
	chain    *devchain.Net
	registry *settings.Registry
	host     control.Host
	client   *http.Client
	stop     func() // ends it; the end of the test does at last
}

func start(t *testing.T, c *devchain.Net, dir string, with ...string) *running {
	t.Helper()
	n, registry, err := build(t.Context(), t, c, dir, with...)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, n, &running{Node: n, T: t, chain: c, registry: registry}, node.Opening{Observer: unobserved{}, Listener: l})
}

func serve(t *testing.T, n *node.Node, r *running, o node.Opening) *running {
	t.Helper()
	if err := n.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r.host, r.client = n.Host(), &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
	ctx, end := context.WithCancel(context.Background())
	serving, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() { close(serving) }) }()
	r.stop = sync.OnceFunc(func() {
		end()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the node has not ended within 30 s")
		}
		r.client.CloseIdleConnections()
	})
	t.Cleanup(r.stop)
	select {
	case <-serving:
	case <-time.After(30 * time.Second):
		t.Fatal("the node does not serve after 30 s")
	}
	return r
}

// get returns the status and the body of an answer.
func (r *running) get(path string) (int, string) {
	r.Helper()
	resp, err := r.client.Get("http://" + r.Address() + path)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *running) until(what string, so func() bool) {
	r.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if so() {
			return
		}
	}
	r.Fatalf("after 20 s: %s", what)
}

// told says whether an event with this in its text was told.
func told(n *node.Node, part string) bool {
	list, _ := n.Events().Since(0)
	for _, e := range list {
		if strings.Contains(e.Subject+": "+e.Text, part) {
			return true
		}
	}
	return false
}

// fail has every provider fail, or none.
func (r *running) fail(f *devchain.Fault) {
	for _, p := range r.chain.Providers {
		p.Override(f)
	}
}

// A node says what it is, answers, and has nothing left open at its end.
func TestANodeFromStartToEnd(t *testing.T) {
	r := start(t, chain(t), t.TempDir())
	if status, body := r.get("/v1/blocks/2"); status != http.StatusOK || !strings.Contains(body, `"valid"`) {
		t.Errorf("%d %s", status, body)
	}
	said := r.host.Node()
	if said.Name != "one" || said.Version != "1.2.3" || said.ChainID != r.chain.Chain.ChainID() || said.Listen != r.Address() ||
		said.Ledger != "sqlite" || said.L2 != "off" || said.Draining || said.Started.IsZero() {
		t.Errorf("%+v", said)
	}
	if len(r.host.Breakers()) != 3 || len(r.host.Upstreams()) != 3 {
		t.Errorf("%+v %+v", r.host.Breakers(), r.host.Upstreams())
	}
	if status, body := r.get("/health"); status != http.StatusOK || !strings.Contains(body, "dev-c") {
		t.Errorf("%d %s", status, body)
	}
	if !told(r.Node, "started 1.2.3 on "+r.Address()) || r.Closing() {
		t.Error("its start was not told of")
	}
	r.stop()
	if !r.Closing() || !told(r.Node, "draining") {
		t.Error("its end was not told of")
	}
	if _, err := net.DialTimeout("tcp", r.Address(), time.Second); err == nil {
		t.Error("the address is still open")
	}
}

// Connections that wait for their next request go to who takes over, and are answered
// there; the old node closes none of them.
func TestANodeGivesItsConnectionsAway(t *testing.T) {
	c := chain(t)
	r := start(t, c, t.TempDir())
	if status, _ := r.get("/health/live"); status != http.StatusOK {
		t.Fatal(status)
	}
	var mu sync.Mutex
	var given []net.Conn
	r.HandOver(func(conn net.Conn) error {
		file, err := conn.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		again, err := net.FileConn(file)
		mu.Lock()
		defer mu.Unlock()
		given = append(given, again)
		return errors.Join(err, file.Close())
	})
	client := r.client
	r.client = &http.Client{} // the end of the node closes the connections of its own
	r.stop()
	if len(given) != 1 {
		t.Fatalf("%d connections were given away", len(given))
	}

	n, registry, err := build(t.Context(), t, c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, n, &running{Node: n, T: t, chain: c, registry: registry}, node.Opening{Observer: unobserved{}, Listener: l, Adopted: given})
	resp, err := client.Get("http://" + r.Address() + "/health/live") // nobody listens there any more
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	client.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%d", resp.StatusCode)
	}
}

// A node that starts while no provider says its chain goes on with that of its last
// run; one that never ran cannot start, says why, and leaves nothing open: not the
// connections by which it asked, either.
func TestTheChainIsRemembered(t *testing.T) {
	c, dir := chain(t), t.TempDir()
	start(t, c, dir).stop()
	for _, p := range c.Providers {
		p.Override(&devchain.Fault{ErrorRate: 1})
	}
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	n, _, err := build(ctx, t, c, dir)
	if err != nil {
		t.Fatal(err)
	}
	if !told(n, fmt.Sprintf("going on with chain %d, that of the last run", c.Chain.ChainID())) {
		t.Error("it is not told of")
	}
	n.Close()
	goleak.VerifyNone(t, before)

	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := build(ctx, t, c, t.TempDir()); err == nil || !strings.Contains(err.Error(), "upstream.chain_id") {
		t.Errorf("without a chain: %v", err)
	}
	goleak.VerifyNone(t, before)
}

// A node whose address is taken cannot open, and leaves nothing open.
func TestANodeThatCannotOpenIsClosed(t *testing.T) {
	c := chain(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := goleak.IgnoreCurrent()
	for what, with := range map[string][]string{
		"api.listen": {"api.listen", l.Addr().String()},
		"store.dsn":  {"store.dsn", "postgres://[::1/none"},
	} {
		n, _, err := build(t.Context(), t, c, t.TempDir(), with...)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Open(t.Context(), node.Opening{Observer: unobserved{}}); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	goleak.VerifyNone(t, before, otter)
}
