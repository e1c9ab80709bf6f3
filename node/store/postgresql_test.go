//go:build integration

package store_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/store"
)

// database makes an empty database on the test server and returns its address.
func database(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("BIZRA_TEST_POSTGRES_URL")
	if dsn == "" {
		t.Fatal("BIZRA_TEST_POSTGRES_URL is not set: run `make test`, which starts a private PostgreSQL")
	}
	name := fmt.Sprintf("test_%d", time.Now().UnixNano())
	execute(t, dsn, "CREATE DATABASE "+name)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// scan reads one row on a connection of its own.
func scan(t *testing.T, dsn, sql string, into ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(into...); err != nil {
		t.Fatal(err)
	}
}

// openPostgres returns a running ledger in PostgreSQL.
func openPostgres(t *testing.T, dsn, outbox string) *store.Ledger {
	t.Helper()
	return openPostgresKeeping(t, dsn, outbox, "0s")
}

// openPostgresKeeping is openPostgres with a retention.
func openPostgresKeeping(t *testing.T, dsn, outbox, retention string) *store.Ledger {
	t.Helper()
	reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	ledger := store.Declare(reg)
	keep(t, reg, retention)
	s, bs := pool.Declare(reg, 2), breaker.Declare(reg, "database")
	g := pool.NewGate(s, metrics)
	db, err := pool.OpenPostgres(dsn, s, g, breaker.New("database", "database", bs, breaker.WithProber()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	l, err := store.OpenPostgres(t.Context(), ledger, db, outbox, metrics, told(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { db.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	run(t, l)
	return l
}

func shipped(t *testing.T, l *store.Ledger) {
	t.Helper()
	for range 200 {
		if l.Outbox() == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%d verdicts are still in the outbox", l.Outbox())
}

func TestPostgres(t *testing.T) {
	l := openPostgres(t, database(t), filepath.Join(t.TempDir(), "outbox.db"))
	write(t, l, 0, 500)
	write(t, l, 0, 10)
	if l.Outbox() != 0 {
		t.Fatal("verdicts went to the outbox of a healthy database")
	}
	if got := find(t, l, store.Query{Outcome: "invalid", Limit: 7}); len(got) != 7 || got[0].ID != "id-000490" || !strings.Contains(string(got[0].Body), "490") {
		t.Fatalf("%+v", got)
	}
	if got := find(t, l, store.Query{}); len(got) != 500 {
		t.Fatalf("%d records", len(got))
	}
}

// gateway forwards to the server while it is open, so that the database can be
// taken away without stopping it.
type gateway struct {
	net.Listener
	mu    sync.Mutex
	open  bool
	hung  bool // takes everything and passes nothing on
	conns []net.Conn
}

// behindGateway makes an empty database and returns a gateway and the database's
// address behind it.
func behindGateway(t *testing.T) (*gateway, string) {
	t.Helper()
	u, err := url.Parse(database(t))
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, u.Host)
	u.Host = g.Addr().String()
	return g, u.String()
}

func newGateway(t *testing.T, target string) *gateway {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Listener: l, open: true}
	t.Cleanup(func() { g.set(false); _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			if !g.open {
				_ = conn.Close()
			} else if up, err := net.Dial("tcp", target); err == nil {
				g.conns = append(g.conns, conn, up)
				go g.pass(up, conn)
				go g.pass(conn, up)
			}
			g.mu.Unlock()
		}
	}()
	return g
}

// pass copies until one side ends, but not what comes while the gateway hangs.
func (g *gateway) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		g.mu.Lock()
		hung := g.hung
		g.mu.Unlock()
		if hung {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// hang makes the database silent, or ends that and every connection from before.
func (g *gateway) hang(on bool) {
	g.mu.Lock()
	g.hung = on
	g.mu.Unlock()
	if !on {
		g.set(false)
		g.set(true)
	}
}

func (g *gateway) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
	if !open {
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.conns = nil
	}
}

func TestOutboxShipsExactlyOnceWhenPostgresReturns(t *testing.T) {
	g, dsn := behindGateway(t)
	l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
	write(t, l, 0, 50)
	g.set(false)
	write(t, l, 50, 350)
	if l.Outbox() != 300 {
		t.Fatalf("%d in the outbox, want 300", l.Outbox())
	}
	g.set(true)
	write(t, l, 350, 400)
	shipped(t, l)
	if got := find(t, l, store.Query{}); len(got) != 400 {
		t.Fatalf("%d of 400 records", len(got))
	}
}

// A ledger that starts while PostgreSQL is away takes verdicts and ships them
// later, migrations included.
func TestStartWithoutPostgres(t *testing.T) {
	g, dsn := behindGateway(t)
	g.set(false)
	l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
	write(t, l, 0, 20)
	g.set(true)
	shipped(t, l)
	if got := find(t, l, store.Query{}); len(got) != 20 {
		t.Fatalf("%d of 20 records", len(got))
	}
}
