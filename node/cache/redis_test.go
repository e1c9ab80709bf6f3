//go:build integration

package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bizra/bizra-top/node/breaker"
	"github.com/bizra/bizra-top/node/cache"
)

// server is a redis-server of the test's own, which may be stopped and killed.
type server struct {
	testing.TB
	port int
	dir  string
	args []string
	cmd  *exec.Cmd
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// startRedis starts a redis-server; `make test` installs it.
func startRedis(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{TB: t, port: freePort(t), dir: t.TempDir(), args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.Helper()
	args := append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir, "--save", "",
		// A master waits five seconds for more replicas before it feeds the first.
		"--repl-diskless-sync-delay", "0"}, s.args...)
	if len(s.args) > 0 && strings.HasSuffix(s.args[0], ".conf") { // a sentinel's file comes first
		args = append([]string{s.args[0], "--port", strconv.Itoa(s.port), "--dir", s.dir}, s.args[1:]...)
	}
	s.cmd = exec.Command("redis-server", args...)
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.Fatalf("%v: run `make test`, which installs Redis", err)
	}
	client := redis.NewClient(&redis.Options{Addr: s.address()})
	defer client.Close()
	for range 200 {
		if client.Ping(context.Background()).Err() == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	s.Fatalf("redis-server did not start:\n%s", text)
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) signal(sig syscall.Signal) {
	s.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.Error(err)
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may be gone already
	_ = s.cmd.Wait()
}

// origin is how long a load takes that Redis could have spared.
const origin = 20 * time.Millisecond

// fresh counts the keys that were asked for once.
var fresh atomic.Uint64

// traffic reads for a while, nine of ten times what was read before, and returns
// how long the reads took, sorted. No read may fail.
func traffic(t testing.TB, c rig, span time.Duration) []time.Duration {
	t.Helper()
	var (
		mu   sync.Mutex
		took []time.Duration
		wg   sync.WaitGroup
	)
	load := func(context.Context) (cache.Loaded, error) {
		time.Sleep(origin)
		return cache.Loaded{Body: []byte(strings.Repeat("v", 300)), Immutable: true}, nil
	}
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(worker)))
			var mine []time.Duration
			for end := time.Now().Add(span); time.Now().Before(end); {
				key := fmt.Sprint("hot ", random.IntN(100))
				if random.IntN(10) == 0 {
					key = fmt.Sprint("cold ", fresh.Add(1))
				}
				began := time.Now()
				if a, err := c.Get(context.Background(), cache.Block, key, load); err != nil || len(a.Body) != 300 {
					t.Errorf("%s: %v", key, err)
				}
				mine = append(mine, time.Since(began))
				time.Sleep(time.Millisecond)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

func p99(took []time.Duration) time.Duration { return took[len(took)*99/100] }

// Redis paused, killed and emptied: no read fails, and the slowest hundredth is
// hardly slower than without Redis. The long form troubles it for 30 s and bears
// nothing more than 1.2 times; the short one bears as much again as a healthy Redis
// costs where all processors are busy, since every goroutine waits there.
func TestRedisInTroubleCostsOnlyHits(t *testing.T) {
	span, slack, long := 3*time.Second, time.Duration(0), os.Getenv("BIZRA_TEST_LONG") != ""
	if long {
		span = 30 * time.Second
	}
	s := startRedis(t)
	c, alone := buildOn(t, "single", "redis://"+s.address()+"/0", nil), buildOn(t, "single", "", nil)
	// Both at the same time: what the machine does to one it does to the other.
	both := func() (with, without time.Duration) {
		var wg sync.WaitGroup
		wg.Go(func() { without = p99(traffic(t, alone, span)) })
		with = p99(traffic(t, c, span))
		wg.Wait()
		return with, without
	}
	with, without := both()
	t.Logf("p99 while Redis is healthy: %s, L1 only %s", with, without)
	if !long {
		slack = max(with-without, 0) + 5*time.Millisecond
	}
	for _, trouble := range []struct {
		name        string
		begin, mend func()
	}{
		{"paused", func() { s.signal(syscall.SIGSTOP) }, func() { s.signal(syscall.SIGCONT) }},
		{"killed", s.kill, s.start},
		{"emptied", func() { flushAll(t, s) }, func() {}},
	} {
		trouble.begin()
		with, without := both()
		t.Logf("p99 while Redis is %s: %s, L1 only %s: %.2f", trouble.name, with, without, with.Seconds()/without.Seconds())
		if with > without*12/10+slack {
			t.Errorf("%s: p99 %s, L1 only %s", trouble.name, with, without)
		}
		trouble.mend()
		eventually(t, "Redis is used again", func() bool { return c.breaker.State() == breaker.Closed })
	}
}

func flushAll(t testing.TB, s *server) {
	client := redis.NewClient(&redis.Options{Addr: s.address()})
	defer client.Close()
	if err := client.FlushAll(context.Background()).Err(); err != nil {
		t.Error(err)
	}
}

// serves waits until L2 answers for a key that was written through the cache.
func serves(t testing.TB, c rig, what string) {
	t.Helper()
	for i := range 300 {
		key := fmt.Sprint(what, " ", i)
		load := func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: []byte("v")}, nil }
		if _, err := c.Get(context.Background(), cache.Block, key, load); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		c.FlushL1()
		a, err := c.Get(context.Background(), cache.Block, key, load)
		if err != nil {
			t.Fatal(err)
		}
		if a.Tier == cache.L2 {
			return
		}
	}
	t.Fatalf("%s: L2 never answered: %+v", what, c.breaker.Snapshot())
}

// A master dies, its replica takes over.
func TestFailover(t *testing.T) {
	master := startRedis(t)
	replica := startRedis(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port))
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor m 127.0.0.1 %d 1\nsentinel down-after-milliseconds m 500\nsentinel failover-timeout m 3000\n", master.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := startRedis(t, conf, "--sentinel")
	c := buildOn(t, "sentinel", "redis://"+sentinel.address()+"/0?master_name=m", nil)
	serves(t, c, "before")
	// Only a replica that is known can take over.
	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinel.address()})
	defer watch.Close()
	eventually(t, "the replica is known", func() bool {
		known, err := watch.Replicas(context.Background(), "m").Result()
		return err == nil && len(known) == 1
	})
	done := make(chan struct{})
	go func() { defer close(done); traffic(t, c, 6*time.Second) }() // waited for below
	time.Sleep(300 * time.Millisecond)
	master.kill()
	<-done
	serves(t, c, "after")
	now, err := watch.GetMasterAddrByName(context.Background(), "m").Result()
	if err != nil || now[1] != strconv.Itoa(replica.port) {
		t.Errorf("the master is %v, %v", now, err)
	}
}

// Six processes on loopback, three of them masters, one of which dies.
func TestCluster(t *testing.T) {
	var nodes []*server
	args := []string{"--cluster", "create"}
	for range 6 {
		n := startRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", strconv.Itoa(freePort(t)))
		nodes = append(nodes, n)
		args = append(args, n.address())
	}
	create := exec.Command("redis-cli", append(args, "--cluster-replicas", "1", "--cluster-yes")...)
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("create the cluster: %v\n%s", err, out)
	}
	url := "redis://" + nodes[0].address()
	for i, n := range nodes[1:] {
		url += string("?&"[min(i, 1)]) + "addr=" + n.address()
	}
	c := buildOn(t, "cluster", url, nil)
	serves(t, c, "before")
	for i := range 200 {
		get := func(context.Context) (cache.Loaded, error) { return cache.Loaded{Body: []byte("v")}, nil }
		if _, err := c.Get(t.Context(), cache.Block, fmt.Sprint("spread ", i), get); err != nil {
			t.Fatal(err)
		}
	}
	holding := func() (masters int) {
		for _, n := range nodes {
			client := redis.NewClient(&redis.Options{Addr: n.address()})
			if keys, err := client.DBSize(context.Background()).Result(); err == nil && keys > 20 {
				masters++
			}
			_ = client.Close()
		}
		return masters
	}
	eventually(t, "every node holds a share", func() bool { return holding() == 6 })

	done := make(chan struct{})
	go func() { defer close(done); traffic(t, c, 6*time.Second) }() // waited for below
	time.Sleep(300 * time.Millisecond)
	nodes[0].kill()
	<-done
	serves(t, c, "after")
	if n, err := c.FlushL2(t.Context()); err != nil || n < 100 {
		t.Errorf("flushed %d, %v", n, err)
	}
}
