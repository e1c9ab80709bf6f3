//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/control"
)

// The accounts anvil unlocks.
const (
	sender    = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
	recipient = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
)

// address returns what `make test` starts and names in a variable.
func address(t *testing.T, variable string) string {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		t.Fatalf("%s is not set: run `make test`, which starts PostgreSQL, Redis and an Ethereum client", variable)
	}
	return v
}

func rpc(t *testing.T, url, method string, params ...any) json.RawMessage {
	t.Helper()
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Error != nil {
		t.Fatalf("%s: %v %s", method, err, a.Error)
	}
	return a.Result
}

func text(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // an empty string fails whoever needs it
	return s
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

type verdict struct {
	ID, Outcome, Reason string
	Checks              []struct{ Name, Status, Evidence string }
}

func validate(t *testing.T, url string) verdict {
	t.Helper()
	status, body := fetch(t, url)
	var v verdict
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s", url, status, body)
	}
	return v
}

// config writes a configuration on the real services, with two names for the one
// client, so that a quorum of two is a quorum.
func config(t *testing.T, prefix string) string {
	t.Helper()
	client := address(t, "BIZRA_TEST_ETHEREUM_URL")
	path := filepath.Join(t.TempDir(), "bizra-top.yaml")
	yaml := fmt.Sprintf("upstream:\n  providers: [\"one=%s\", \"two=%s/?key=s3cret\"]\nstore.dsn: %q\ncache.l2.url: %q\ncache.l2.secret: [a secret of the tests]\ncache.l2.prefix: %s\n",
		client, client, address(t, "BIZRA_TEST_POSTGRES_URL"), address(t, "BIZRA_TEST_REDIS_URL"), prefix)
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNodeOnRealServices(t *testing.T) {
	client := address(t, "BIZRA_TEST_ETHEREUM_URL")
	program, prefix := binary(t), fmt.Sprintf("e2e%d", time.Now().UnixNano())
	conf := config(t, prefix)
	if out, err := exec.Command(program, "config", "check", conf).CombinedOutput(); err != nil {
		t.Fatalf("config check: %v %s", err, out)
	}
	state := t.TempDir()
	p := start(t, program, "--headless", "--config", conf, "--listen", "127.0.0.1:0", "--state-dir", state)

	hash := text(rpc(t, client, "eth_sendTransaction", map[string]string{"from": sender, "to": recipient, "value": "0xde0b6b3a7640000"}))
	rpc(t, client, "anvil_mine", "0x2")
	var receipt struct{ BlockNumber, BlockHash string }
	if err := json.Unmarshal(rpc(t, client, "eth_getTransactionReceipt", hash), &receipt); err != nil || receipt.BlockHash == "" {
		t.Fatal(err, receipt)
	}

	transaction := validate(t, p.url+"/v1/transactions/"+hash)
	for _, path := range []string{"/v1/blocks/" + receipt.BlockHash, "/v1/blocks/" + receipt.BlockNumber, "/v1/addresses/" + recipient} {
		if v := validate(t, p.url+path); v.Outcome != "valid" {
			t.Errorf("%s: %s, %s: %+v", path, v.Outcome, v.Reason, v.Checks)
		}
	}
	if transaction.Outcome != "valid" || len(transaction.Checks) < 8 {
		t.Fatalf("%+v", transaction)
	}

	t.Run("the ledger row is in PostgreSQL", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), address(t, "BIZRA_TEST_POSTGRES_URL"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		var outcome, body string
		err = conn.QueryRow(t.Context(), "SELECT outcome, body::text FROM verdicts WHERE id = $1 AND subject = $2", transaction.ID, hash).Scan(&outcome, &body)
		if err != nil || outcome != "valid" || !strings.Contains(body, "transaction_hash") {
			t.Fatal(outcome, err)
		}
		if _, list := fetch(t, p.url+"/v1/validations?subject="+hash); !strings.Contains(list, transaction.ID) {
			t.Fatalf("the API does not list it: %s", list)
		}
	})
	t.Run("the cached value is in Redis", func(t *testing.T) {
		o, err := redis.ParseURL(address(t, "BIZRA_TEST_REDIS_URL"))
		if err != nil {
			t.Fatal(err)
		}
		r := redis.NewClient(o)
		defer r.Close()
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			keys, err := r.Keys(t.Context(), prefix+":31337:*"+hash).Result()
			if err == nil && len(keys) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no key of %s: %v", hash, err)
			}
		}
	})
	t.Run("metrics", func(t *testing.T) {
		_, metrics := fetch(t, p.url+"/metrics")
		for _, want := range []string{"bizra_db_pool_limit ", `bizra_cache_hits_total{class="transaction",tier="l1"}`,
			`bizra_circuit_breaker_state{class="database",name="database",state="closed"} 1`,
			`bizra_validation_verdicts_total{kind="transaction",outcome="valid"} 1`, `bizra_ledger_verdicts_total{store="postgresql"}`} {
			if !strings.Contains(metrics, want) {
				t.Errorf("/metrics lacks %s", want)
			}
		}
		if strings.Contains(metrics, "s3cret") {
			t.Error("/metrics shows the provider's key")
		}
	})
	t.Run("a change through the socket acts", func(t *testing.T) {
		out, err := exec.Command(program, "set", "--socket", p.socket, "api.max_batch", "1", "--reason", "test").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "api.max_batch: 100 -> 1") {
			t.Fatalf("%v %s", err, out)
		}
		resp, err := http.Post(p.url, "application/json", strings.NewReader(`[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"},{"jsonrpc":"2.0","id":2,"method":"eth_chainId"}]`))
		if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatal(resp.StatusCode, err)
		}
		_ = resp.Body.Close()
		out, err = exec.Command(program, "get", "--socket", p.socket, "api.max_batch").CombinedOutput()
		if err != nil || string(out) != "1\n" {
			t.Fatalf("%v %q", err, out)
		}
	})
	t.Run("two lookers see one node", func(t *testing.T) {
		for _, flag := range [][]string{{"--once"}, {"--once", "--json"}} {
			out, err := exec.Command(program, append(flag, "--socket", p.socket)...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "31337") || strings.Contains(string(out), "s3cret") {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	})
	t.Run("an operator holds a breaker", func(t *testing.T) {
		c := control.NewClient(p.socket)
		defer c.Close()
		for _, name := range []string{"upstream/one", "upstream/two"} {
			if _, err := c.Act(t.Context(), control.ActionRequest{ID: "breaker.force_open", Target: name}); err != nil {
				t.Fatal(err)
			}
		}
		if status, body := fetch(t, p.url+"/v1/blocks/0"); status != http.StatusServiceUnavailable {
			t.Fatalf("%d %s", status, body)
		}
		if status, _ := fetch(t, p.url+"/v1/transactions/"+hash); status != http.StatusOK {
			t.Fatalf("what is cached is not served: %d", status)
		}
		for _, name := range []string{"upstream/one", "upstream/two"} {
			if _, err := c.Act(t.Context(), control.ActionRequest{ID: "breaker.reset", Target: name}); err != nil {
				t.Fatal(err)
			}
		}
		if v := validate(t, p.url+"/v1/blocks/0"); v.Outcome == "invalid" {
			t.Fatalf("%+v", v)
		}
	})
	t.Logf("drained in %s", p.stop(t))
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("the control socket was left behind: %v", err)
	}
	if strings.Contains(p.output.String(), "s3cret") {
		t.Error("the log shows the provider's key")
	}
}

func TestSecondNodeOnOneSocketIsRefused(t *testing.T) {
	program := binary(t)
	conf := config(t, "second")
	p := start(t, program, "--headless", "--config", conf, "--listen", "127.0.0.1:0", "--state-dir", t.TempDir())
	out, err := exec.Command(program, "--headless", "--config", conf, "--listen", "127.0.0.1:0", "--state-dir", t.TempDir(), "--socket", p.socket).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "already answers") {
		t.Fatalf("%v %s", err, out)
	}
	p.stop(t)
}

func TestDemoWithoutScreen(t *testing.T) {
	program := binary(t)
	p := start(t, program, "demo", "--headless", "--listen", "127.0.0.1:0", "--state-dir", t.TempDir())
	c := control.NewClient(p.socket)
	defer c.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		events, err := c.Events(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		opened, closed := false, false
		for _, e := range events {
			opened = opened || e.Subject == "upstream/bravo" && strings.HasPrefix(e.Text, "closed -> open")
			closed = closed || opened && e.Subject == "upstream/bravo" && strings.HasPrefix(e.Text, "half-open -> closed")
		}
		if closed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no breaker opened and closed again: %+v", events)
		}
	}
	p.stop(t)
	l, err := net.Listen("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	_ = l.Close()
}
