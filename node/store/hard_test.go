//go:build integration

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bizra/bizra-top/node/store"
)

// long says whether the long form of a test was asked for.
func long() bool { return os.Getenv("BIZRA_TEST_LONG") != "" }

// load writes to a ledger all the time from several goroutines, and remembers
// which verdicts were answered.
type load struct {
	ledger   *store.Ledger
	stop     chan struct{}
	writers  sync.WaitGroup
	next     atomic.Int64
	refused  atomic.Int64
	slowest  atomic.Int64
	mu       sync.Mutex
	answered []string
}

// startLoad writes from width goroutines, each with a pause between two verdicts.
func startLoad(l *store.Ledger, width int, pause time.Duration) *load {
	w := &load{ledger: l, stop: make(chan struct{})}
	for range width {
		w.writers.Go(func() {
			for {
				select {
				case <-w.stop:
					return
				case <-time.After(pause):
				}
				w.write()
			}
		})
	}
	return w
}

func (w *load) write() {
	r := record(int(w.next.Add(1)))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	began := time.Now()
	if err := w.ledger.Write(ctx, r); err != nil {
		w.refused.Add(1)
		return
	}
	took := int64(time.Since(began))
	for old := w.slowest.Load(); took > old && !w.slowest.CompareAndSwap(old, took); old = w.slowest.Load() {
	}
	w.mu.Lock()
	w.answered = append(w.answered, r.ID)
	w.mu.Unlock()
}

func (w *load) end() {
	close(w.stop)
	w.writers.Wait()
}

// exactlyOnce checks that the table holds what was answered, each once, and
// nothing that was not asked for.
func (w *load) exactlyOnce(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), "SELECT id FROM verdicts")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]int{}
	for _, id := range ids {
		there[id]++
	}
	missing, twice := 0, 0
	for _, id := range w.answered {
		if there[id] == 0 {
			missing++
		}
	}
	for _, n := range there {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d answered, %d refused, %d in the table, %d missing, %d doubled; slowest answer %s",
		len(w.answered), w.refused.Load(), len(ids), missing, twice, time.Duration(w.slowest.Load()).Round(time.Millisecond))
	if missing > 0 || twice > 0 || len(ids) > len(w.answered)+int(w.refused.Load()) || len(w.answered) == 0 {
		t.Error("not exactly once")
	}
}

// healthy waits until verdicts go to PostgreSQL directly and the ledger can be
// read, and returns how long that took.
func healthy(t *testing.T, l *store.Ledger, within time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := l.Find(ctx, store.Query{Limit: 1})
		cancel()
		took := time.Since(began)
		if err == nil && l.Outbox() == 0 {
			return took
		}
		if took > within {
			t.Fatalf("not healthy within %s: %d in the outbox, %v", within, l.Outbox(), err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Every connection is terminated twenty times under load: healthy again within
// 5 s each time, and no verdict is lost or doubled.
func TestTerminatedConnectionsLoseNothing(t *testing.T) {
	dsn := database(t)
	l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
	w := startLoad(l, 16, time.Millisecond)
	var worst time.Duration
	for range 20 {
		time.Sleep(50 * time.Millisecond)
		execute(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		worst = max(worst, healthy(t, l, 15*time.Second)) // 5 s, and what a busy machine adds
	}
	w.end()
	shipped(t, l)
	t.Logf("healthy again within %s", worst.Round(time.Millisecond))
	w.exactlyOnce(t, dsn)
}

// PostgreSQL is stopped under load, for 4 s, or for 60 with BIZRA_TEST_LONG=1:
// verdicts go on being answered from the outbox, the outbox empties while the
// load goes on, and each verdict is in PostgreSQL once.
func TestStoppedPostgresUnderLoad(t *testing.T) {
	away := 4 * time.Second
	if long() {
		away = time.Minute
	}
	s := newServer(t)
	l := openPostgres(t, s.dsn(), filepath.Join(t.TempDir(), "outbox.db"))
	w := startLoad(l, 16, 2*time.Millisecond)
	time.Sleep(time.Second)
	before := w.next.Load()
	s.stop()
	began := time.Now()
	time.Sleep(away)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := l.Find(ctx, store.Query{}); err == nil || !strings.Contains(err.Error(), "the ledger cannot be read") {
		t.Errorf("read while PostgreSQL is stopped: %v", err)
	}
	meanwhile, waiting := w.next.Load()-before, l.Outbox()
	s.start()
	t.Logf("stopped for %s: %d verdicts meanwhile, %d in the outbox", time.Since(began).Round(time.Millisecond), meanwhile, waiting)
	if waiting == 0 {
		t.Error("nothing in the outbox")
	}
	t.Logf("shipped under load within %s", healthy(t, l, 3*time.Minute).Round(time.Millisecond))
	time.Sleep(200 * time.Millisecond)
	w.end()
	shipped(t, l)
	w.exactlyOnce(t, s.dsn())
	if n := w.refused.Load(); n > 0 {
		t.Errorf("%d verdicts were refused", n)
	}
}

// A server that takes the question and says nothing does not hold who asks
// longer than they want to wait, and verdicts go to the outbox.
func TestAHungPostgresKeepsDeadlines(t *testing.T) {
	g, dsn := behindGateway(t)
	l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
	write(t, l, 0, 20)
	g.hang(true)
	const deadline = 300 * time.Millisecond
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		began := time.Now()
		_, err := l.Find(ctx, store.Query{})
		took := time.Since(began)
		cancel()
		t.Logf("%s after %s", err, took.Round(time.Millisecond))
		if err == nil || took > deadline+200*time.Millisecond {
			t.Errorf("%v after %s", err, took)
		}
	}
	began := time.Now()
	write(t, l, 20, 40)
	if took := time.Since(began); l.Outbox() != 20 || took > 10*time.Second {
		t.Errorf("%d of 20 in the outbox after %s", l.Outbox(), took)
	}
	g.hang(false)
	shipped(t, l)
	healthy(t, l, 10*time.Second)
	if got := find(t, l, store.Query{}); len(got) != 40 {
		t.Errorf("%d of 40 records", len(got))
	}
}

// A table that somebody has locked is as good as hung, and is for writers only
// as long as it is locked.
func TestALockedTableSendsVerdictsToTheOutbox(t *testing.T) {
	dsn := database(t)
	l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
	write(t, l, 0, 10)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE verdicts IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	write(t, l, 10, 30)
	if l.Outbox() != 20 {
		t.Errorf("%d in the outbox, want 20", l.Outbox())
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	shipped(t, l)
	healthy(t, l, 10*time.Second)
	if got := find(t, l, store.Query{}); len(got) != 30 {
		t.Errorf("%d of 30 records", len(got))
	}
}

// Others hold every connection the server allows: verdicts go to the outbox.
func TestAServerWithoutFreeConnections(t *testing.T) {
	s := newServer(t)
	execute(t, s.dsn(), "CREATE ROLE node LOGIN; GRANT ALL ON SCHEMA public TO node; ALTER ROLE node CONNECTION LIMIT 2")
	dsn := strings.Replace(s.dsn(), "bizra@", "node@", 1)
	var others []*pgx.Conn
	for range 2 {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, conn)
	}
	l := openPostgres(t, dsn, filepath.Join(t.TempDir(), "outbox.db"))
	write(t, l, 0, 20)
	if l.Outbox() != 20 {
		t.Errorf("%d in the outbox, want 20", l.Outbox())
	}
	if _, err := l.Find(t.Context(), store.Query{}); err == nil {
		t.Error("read without a connection")
	}
	execute(t, s.dsn(), "ALTER ROLE node CONNECTION LIMIT 10")
	for _, c := range others {
		_ = c.Close(context.Background())
	}
	shipped(t, l)
	healthy(t, l, 10*time.Second)
	got := find(t, l, store.Query{})
	if len(got) != 20 {
		t.Errorf("%d of 20 records", len(got))
	}
	t.Logf("%d verdicts waited for a server that had no connection free", len(got))
}

// Two nodes that start on an empty database at once do not fall over each other.
func TestNodesMigrateOneAtATime(t *testing.T) {
	dsn := database(t)
	var wg sync.WaitGroup
	for i := range 4 {
		l := openPostgres(t, dsn, filepath.Join(t.TempDir(), fmt.Sprintf("outbox%d.db", i)))
		wg.Go(func() {
			if _, err := l.Find(t.Context(), store.Query{}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first read: %v", err)
			}
		})
	}
	wg.Wait()
}

// Old verdicts in PostgreSQL are deleted while others are written, and two nodes
// prune one table.
func TestPostgresIsPrunedUnderLoad(t *testing.T) {
	dsn := database(t)
	first := openPostgresKeeping(t, dsn, filepath.Join(t.TempDir(), "outbox.db"), "0s")
	find(t, first, store.Query{}) // migrates
	execute(t, dsn, `INSERT INTO verdicts SELECT 'old-' || n, 'block', '0x', 'valid', 1, now() - interval '2 hours', '{}' FROM generate_series(1, 5000) n`)
	w := startLoad(first, 8, time.Millisecond)
	for i := range 2 {
		openPostgresKeeping(t, dsn, filepath.Join(t.TempDir(), fmt.Sprintf("outbox%d.db", i)), "1h")
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	eventually(t, "old verdicts are deleted", func() bool {
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM verdicts WHERE id LIKE 'old-%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	w.end()
	shipped(t, first)
	w.exactlyOnce(t, dsn)
}
