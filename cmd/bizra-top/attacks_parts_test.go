//go:build integration && faults

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/pool"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/smalldisk"
	"github.com/bizra/bizra-top/node/store"
)

// health returns the status of a check and what it says.
func (a *attacked) health(check string) (status, body string) {
	a.Helper()
	resp, err := http.Get(a.url + "/health/" + check)
	if err != nil {
		a.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.Fatal(err)
	}
	var said struct{ Status string }
	_ = json.Unmarshal(text, &said) // an empty status fails whoever waits for another
	return said.Status, string(text)
}

// await waits for a check to have a status and returns how long that took.
func (a *attacked) await(check, status string) time.Duration {
	a.Helper()
	began, last := time.Now(), ""
	for time.Since(began) < time.Minute {
		var now string
		if now, last = a.health(check); now == status {
			return time.Since(began)
		}
		time.Sleep(100 * time.Millisecond)
	}
	a.Fatalf("%s is not %s: %s", check, status, last)
	return 0
}

// The state folder has few inodes: the history, which makes files, stops and says so, and
// goes on when there are more.
func TestFaultOutOfInodes(t *testing.T) {
	smalldisk.RunInodes(t, 200, func(t *testing.T, dir string, grow func()) {
		a := underAttack(t, 1024, 100, "--state-dir", filepath.Join(dir, "state"), "--socket", filepath.Join(t.TempDir(), "s"))
		files := 0
		for ; ; files++ {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint("hog-", files)))
			if err != nil {
				break
			}
			_ = f.Close()
		}
		noticed := a.await("history", "fail")
		grow()
		again := a.await("history", "pass")
		a.survived("%d files took all inodes: noticed after %s; the history goes on %s after there are more", files, noticed.Round(time.Millisecond), again.Round(time.Millisecond))
	})
}

// Sixteen clients ask for what is rare in a ledger of 100,000 verdicts.
func TestFaultLedgerScans(t *testing.T) {
	dir := t.TempDir()
	fill(t, filepath.Join(dir, "ledger.db"), 100_000)
	a := underAttack(t, 1024, 100, "--state-dir", dir)
	ctx, cancel := context.WithTimeout(t.Context(), lasting(15*time.Second, 30*time.Second, 5*time.Minute))
	defer cancel()
	var asked, refused, longest atomic.Int64
	queries := []string{"kind=address", "kind=address&outcome=invalid", "outcome=undecided", "subject=nobody", "kind=block&outcome=not_found&since=2020-01-01T00:00:00Z", "kind=address&limit=1000"}
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	again(ctx, 16, func(_ context.Context, i int) {
		began := time.Now()
		resp, err := client.Get(a.url + "/v1/validations?" + queries[i%len(queries)])
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		asked.Add(1)
		switch resp.StatusCode {
		case http.StatusOK:
			longest.Store(max(longest.Load(), int64(time.Since(began))))
		case http.StatusServiceUnavailable:
			refused.Add(1)
		default:
			t.Errorf("%d", resp.StatusCode)
		}
	})()
	if asked.Load() == refused.Load() {
		t.Error("no query was answered")
	}
	a.survived("%d queries over 100000 verdicts, %d refused, the slowest took %s", asked.Load(), refused.Load(), time.Duration(longest.Load()).Round(time.Millisecond))
}

// fill writes verdicts to a ledger that no node has yet.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	reg, metrics := settings.NewRegistry(), prometheus.NewRegistry()
	gate := pool.NewGate(pool.Declare(reg, 2), metrics)
	l, err := store.OpenSQLite(t.Context(), store.Declare(reg), path, gate, metrics, func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	var next atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	wait := again(ctx, 64, func(ctx context.Context, _ int) {
		i := next.Add(1)
		if i > int64(n) {
			<-ctx.Done()
			return
		}
		kind := "transaction"
		if i%50_000 == 0 {
			kind = "address"
		}
		if err := l.Write(ctx, store.Record{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Kind: kind, Subject: fmt.Sprintf("0x%064x", i), Outcome: "valid",
			ChainID: 1337, At: time.Now(), Body: []byte(`{"outcome":"valid"}`)}); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		if i == int64(n) {
			stop()
		}
	})
	wait()
	l.Stop()
	<-ended
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whoever can write to Redis puts other values in the place of all: no verdict changes.
func TestFaultForgedRedis(t *testing.T) {
	url := address(t, "BIZRA_TEST_REDIS_URL")
	prefix := fmt.Sprintf("forged-%d", time.Now().UnixNano())
	a := underAttack(t, 1024, 100, "--cache.l2.url", url, "--cache.l2.secret", "a secret of the tests", "--cache.l2.prefix", prefix, "--cache.l1.max_bytes", "1MiB", "--cache.refresh_ahead", "0")
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	forger := redis.NewClient(options)
	defer forger.Close()
	verdictOf := func(block int) string {
		status, body := fetch(t, fmt.Sprintf("%s/v1/blocks/%d", a.url, block))
		var v struct{ Outcome, Subject string }
		if json.Unmarshal([]byte(body), &v) != nil || status != http.StatusOK || v.Subject != fmt.Sprint(block) {
			t.Errorf("block %d: %d %.200s", block, status, body)
		}
		return v.Outcome
	}
	ctx, cancel := context.WithTimeout(t.Context(), lasting(10*time.Second, 20*time.Second, 2*time.Minute))
	defer cancel()
	forged, asked := 0, 0
	for ctx.Err() == nil {
		for block := 1; block <= 15; block++ {
			if got := verdictOf(block); got != "valid" {
				t.Fatalf("block %d is %q", block, got)
			}
			asked++
		}
		keys, err := forger.Keys(ctx, prefix+":*").Result()
		if err != nil {
			break
		}
		for i, key := range keys { // the value of another key, and one that was made up
			value, err := forger.Get(ctx, keys[(i+1)%len(keys)]).Bytes()
			if err != nil {
				continue
			}
			if i%2 == 0 && len(value) > 200 {
				copy(value[100:], strings.Repeat("forged", 10))
			}
			forger.Set(ctx, key, value, time.Minute)
			forged++
		}
		a.emptyL1()
	}
	if forged == 0 {
		t.Error("nothing was in Redis")
	}
	a.survived("%d values forged, %d verdicts asked for, none changed; %.0f values were not taken", forged, asked,
		a.value(t, `bizra_cache_l2_errors_total\{kind="unsigned"\}`)+a.value(t, `bizra_cache_l2_errors_total\{kind="corrupt"\}`))
}

// emptyL1 has the node ask Redis.
func (a *attacked) emptyL1() {
	a.Helper()
	out, err := exec.Command(filepath.Join(built, "bizra-top-released"), "act", "cache.flush_l1", "--confirm", "flush", "--socket", a.socket).CombinedOutput()
	if err != nil {
		a.Fatalf("%v\n%s", err, out)
	}
}

// The state folder is removed while verdicts are written: none that was answered is lost.
func TestFaultRemovedStateFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	a := underAttack(t, 1024, 100, "--state-dir", dir, "--socket", filepath.Join(t.TempDir(), "s"))
	answered := func(from, to int) (ids []string) {
		for block := from; block < to; block++ {
			status, body := fetch(t, fmt.Sprintf("%s/v1/blocks/%d", a.url, block))
			var v struct{ ID string }
			if status == http.StatusOK && json.Unmarshal([]byte(body), &v) == nil {
				ids = append(ids, v.ID)
			}
		}
		return ids
	}
	ids := answered(1, 8)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, answered(8, 16)...)
	noticed := a.await("history", "fail")
	var listed []string
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		_, list := fetch(t, a.url+"/v1/validations?limit=1000")
		listed = listed[:0]
		for _, id := range ids {
			if strings.Contains(list, id) {
				listed = append(listed, id)
			}
		}
		if len(listed) == len(ids) || time.Since(began) > 30*time.Second {
			break
		}
	}
	if len(listed) != len(ids) {
		t.Errorf("%d of %d verdicts are in the ledger", len(listed), len(ids))
	}
	if _, err := os.Stat(filepath.Join(dir, "ledger.db")); err != nil {
		t.Error(err)
	}
	a.survived("%d verdicts answered around the removal, all in the new ledger; noticed after %s", len(ids), noticed.Round(time.Millisecond))
}

// The database turns read-only: health says so, verdicts wait in the outbox or are
// refused, and all go on when it can be written to again.
func TestFaultReadOnlyDatabase(t *testing.T) {
	name, dsn, owner := role(t)
	a := underAttack(t, 1024, 100, "--store.dsn", dsn)
	a.await("database", "pass")
	cut := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + name + "'"
	onServer(t, owner, "ALTER ROLE "+name+" SET default_transaction_read_only = on", cut)
	noticed := a.await("database", "fail")
	if _, body := a.health("database"); strings.Contains(body, "cannot execute") {
		t.Errorf("strangers are shown PostgreSQL's text: %s", body)
	}
	onServer(t, owner, "ALTER ROLE "+name+" RESET default_transaction_read_only", cut)
	again := a.await("database", "pass")
	a.survived("read-only noticed after %s, well again after %s", noticed.Round(time.Millisecond), again.Round(time.Millisecond))
}
