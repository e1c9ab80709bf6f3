//go:build integration

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // to look into the ledger of a program that was killed
)

// settingsFile writes a configuration on the real provider.
func settingsFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bizra-top.yaml")
	client := address(t, "BIZRA_TEST_ETHEREUM_URL")
	yaml := fmt.Sprintf("upstream:\n  providers: [\"one=%s\", \"two=%s\"]\n%s\n", client, client, strings.Join(lines, "\n"))
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// role makes a database and who may use it, and returns their address and that
// of the server's owner there.
func role(t *testing.T) (name, dsn, owner string) {
	t.Helper()
	u, err := url.Parse(address(t, "BIZRA_TEST_POSTGRES_URL"))
	if err != nil {
		t.Fatal(err)
	}
	name = fmt.Sprintf("e2e_%d", time.Now().UnixNano())
	onServer(t, u.String(), "CREATE ROLE "+name+" LOGIN", "CREATE DATABASE "+name+" OWNER "+name)
	u.Path = "/" + name
	owner = u.String()
	u.User = url.User(name)
	return name, u.String(), owner
}

func onServer(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// The node is killed (SIGKILL) four times a ledger, with the race detector.
func TestKilledNodesLoseNoAnsweredVerdict(t *testing.T) { killOnBothLedgers(t, binary(t), 4) }

// kills are what became of a node that was killed again and again.
type kills struct {
	rounds   int
	answered []string        // the ids of the verdicts that clients got
	starts   []time.Duration // how long each start took until the node served
}

// killOnBothLedgers kills a node (SIGKILL) so many times on each ledger while verdicts are
// being written: each one that a client got an answer about is in the ledger afterwards,
// once. In PostgreSQL's turn the server refuses the node in every other round, so that it
// is killed with verdicts in the outbox and while it ships them.
func killOnBothLedgers(t *testing.T, program string, rounds int) (all kills) {
	t.Run("SQLite", func(t *testing.T) {
		conf, state := settingsFile(t), t.TempDir()
		k := kill(t, program, conf, state, rounds, func(int) {})
		db, err := sql.Open("sqlite", "file:"+filepath.Join(state, "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		rows, err := db.QueryContext(t.Context(), "SELECT id FROM verdicts")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		there := map[string]int{}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			there[id]++
		}
		once(t, k.answered, there, rows.Err())
		all.add(k)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		name, dsn, owner := role(t)
		conf, state := settingsFile(t, fmt.Sprintf("store.dsn: %q", dsn)), t.TempDir()
		k := kill(t, program, conf, state, rounds, func(round int) {
			limit := -1
			if round%2 == 1 {
				limit = 0
			}
			onServer(t, owner, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT %d", name, limit))
		})
		onServer(t, owner, fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT -1", name))
		p := start(t, program, "--headless", "--config", conf, "--listen", "127.0.0.1:0", "--state-dir", state)
		emptied(t, p)
		p.stop(t)
		conn, err := pgx.Connect(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		rows, err := conn.Query(t.Context(), "SELECT id FROM verdicts")
		if err != nil {
			t.Fatal(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		there := map[string]int{}
		for _, id := range ids {
			there[id]++
		}
		once(t, k.answered, there, err)
		all.add(k)
	})
	return all
}

func (k *kills) add(more kills) {
	k.rounds += more.rounds
	k.answered = append(k.answered, more.answered...)
	k.starts = append(k.starts, more.starts...)
}

// kill starts the program, asks it for verdicts from all sides, kills it a moment later,
// and so on.
func kill(t *testing.T, program, conf, state string, rounds int, before func(round int)) kills {
	t.Helper()
	k := kills{rounds: rounds}
	var mu sync.Mutex // guards k.answered
	var subject atomic.Int64
	for round := range rounds {
		before(round)
		began := time.Now()
		p := start(t, program, "--headless", "--config", conf, "--listen", "127.0.0.1:0", "--state-dir", state)
		k.starts = append(k.starts, time.Since(began))
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				for {
					resp, err := client.Get(fmt.Sprintf("%s/v1/addresses/0x%040x", p.url, 0x1000+subject.Add(1)))
					if err != nil {
						return
					}
					body, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					var v verdict
					if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(body, &v) != nil || v.ID == "" {
						continue // not answered
					}
					mu.Lock()
					k.answered = append(k.answered, v.ID)
					mu.Unlock()
				}
			})
		}
		// In the midst of it: some are answered, others under way.
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			mu.Lock()
			enough := len(k.answered) >= 10*(round+1)
			mu.Unlock()
			if enough {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: only %d verdicts answered", round, len(k.answered))
			}
		}
		time.Sleep(rand.N(100 * time.Millisecond))
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		clients.Wait()
		if strings.Contains(p.output.String(), "DATA RACE") {
			t.Fatalf("%s", p.output)
		}
	}
	return k
}

func once(t *testing.T, answered []string, there map[string]int, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	missing, twice := 0, 0
	for _, id := range answered {
		switch there[id] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	t.Logf("%d verdicts answered, %d in the ledger, %d missing, %d doubled", len(answered), len(there), missing, twice)
	if missing > 0 || twice > 0 || len(answered) == 0 {
		t.Error("not every answered verdict is there once")
	}
}

var outboxMetric = regexp.MustCompile(`(?m)^bizra_ledger_outbox_verdicts (\S+)$`)

// emptied waits until the outbox of a node is empty.
func emptied(t *testing.T, p *process) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, metrics := fetch(t, p.url+"/metrics")
		m := outboxMetric.FindStringSubmatch(metrics)
		if m != nil && m[1] == "0" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the outbox is not empty: %v\n%s", m, p.output)
		}
	}
}

// Somebody has locked the table, so that reads of the ledger hold every
// connection: a further one is refused at its deadline, what is cached is served
// as ever, and a new verdict is answered from the outbox.
func TestCachedReadsGoOnWhileEveryConnectionIsHeld(t *testing.T) {
	_, dsn, owner := role(t)
	conf := settingsFile(t, fmt.Sprintf("store.dsn: %q", dsn), "pool.limit: 2", "pool.acquire_timeout: 400ms", "pool.statement_timeout: 6s")
	p := start(t, binary(t), "--headless", "--config", conf, "--listen", "127.0.0.1:0", "--state-dir", t.TempDir())
	cached := p.url + "/v1/addresses/" + recipient
	validate(t, cached)

	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE verdicts IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var holders sync.WaitGroup
	for range 2 {
		holders.Go(func() { fetch(t, p.url+"/v1/validations") })
	}
	held := regexp.MustCompile(`(?m)^bizra_db_pool_in_use 2$`)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, metrics := fetch(t, p.url+"/metrics"); held.MatchString(metrics) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the connections are not in use")
		}
	}

	var slowest time.Duration
	for range 100 {
		began := time.Now()
		validate(t, cached)
		slowest = max(slowest, time.Since(began))
	}
	began := time.Now()
	status, body := fetch(t, p.url+"/v1/validations")
	took := time.Since(began)
	t.Logf("100 cached reads, the slowest took %s; the ledger was refused after %s: %d %s", slowest.Round(time.Microsecond), took.Round(time.Millisecond), status, body)
	// 50 ms is the aim; the race detector and a busy machine get some more.
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "the ledger cannot be read now") || took < 400*time.Millisecond || took > 700*time.Millisecond {
		t.Errorf("%d after %s: %s", status, took, body)
	}
	if slowest > time.Second {
		t.Errorf("a cached read took %s", slowest)
	}
	if v := validate(t, p.url+"/v1/addresses/"+sender); v.ID == "" {
		t.Errorf("%+v", v)
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	holders.Wait()
	emptied(t, p)
	p.stop(t)
}
