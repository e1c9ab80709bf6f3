//go:build integration && faults

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
)

// attackedMemory is what SECURITY.md says a node needs, and gets in these tests.
const attackedMemory = 512 << 20

// attacked is a node with that much memory and few descriptors, in a group of its own
// where the host has control groups, and what others see of it meanwhile.
type attacked struct {
	*process
	testing.TB
	stop      context.CancelFunc
	watching  sync.WaitGroup
	witnesses []*witness
	noise     time.Duration // by which a sleeping goroutine was late, at most
}

// witness asks one thing again and again.
type witness struct {
	name    string
	bound   time.Duration // of the longest answer
	ask     func(context.Context) error
	asked   int
	longest time.Duration
	failed  []error
}

// underAttack starts a node on a chain whose provider has answers of size bytes to
// eth_getCode, and asks it for its liveness, over the control socket and as another client.
func underAttack(t *testing.T, descriptors, size int, args ...string) *attacked {
	t.Helper()
	chain, err := devchain.Start(t.Context(), devchain.Config{Seed: 3, Prefill: 20, Traffic: true, Interval: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	program := asReleased(t)
	// The shell becomes the node: its process id stays.
	shell := `ulimit -n "$1" && { [ -z "$2" ] || echo $$ > "$2"; } && shift 2 && exec "$@"`
	p := start(t, "sh", append([]string{"-c", shell, "sh", strconv.Itoa(descriptors), memoryGroup(t),
		"env", "GOMEMLIMIT=" + strconv.Itoa(attackedMemory), program, "--headless", "--listen", "127.0.0.1:0", "--state-dir", t.TempDir(),
		"--upstream.providers", "one=" + answersOf(t, chain.URLs()[0], size), "--validation.quorum", "1"}, args...)...)
	a := &attacked{process: p, TB: t}
	client := control.NewClient(p.socket)
	t.Cleanup(client.Close)
	a.witnesses = []*witness{
		{name: "/health/live", bound: 100 * time.Millisecond, ask: a.from("127.0.0.2", http.MethodGet, "/health/live", "")},
		{name: "the control socket", bound: time.Second, ask: func(ctx context.Context) error { _, err := client.Node(ctx); return err }},
		{name: "another client", bound: time.Second, ask: a.from("127.0.0.3", http.MethodPost, "/", `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`)},
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	t.Cleanup(func() { stop(); a.watching.Wait() })
	for _, w := range a.witnesses {
		if err := w.ask(ctx); err != nil {
			t.Fatalf("%s before the attack: %v", w.name, err)
		}
		a.watching.Go(func() { w.watch(ctx) })
	}
	a.watching.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			time.Sleep(5 * time.Millisecond)
			a.noise = max(a.noise, time.Since(began)-5*time.Millisecond)
		}
	})
	return a
}

func (w *witness) watch(ctx context.Context) {
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		began := time.Now()
		err := w.ask(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		w.asked++
		w.longest = max(w.longest, time.Since(began))
		if err != nil {
			w.failed = append(w.failed, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// from asks on a new connection from an address of its own.
func (a *attacked) from(address, method, path, body string) func(context.Context) error {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%d %.200s", resp.StatusCode, said)
		}
		return err
	}
}

// survived ends the watch and holds the node to its bounds; figures say what the attack
// was.
func (a *attacked) survived(format string, figures ...any) {
	a.Helper()
	a.stop()
	a.watching.Wait()
	select {
	case err := <-a.ended:
		a.Fatalf("the node ended: %v\n%s", err, a.output)
	default:
	}
	proc, err := procfs.NewProc(a.Process.Pid)
	if err != nil {
		a.Fatal(err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		a.Fatal(err)
	}
	seen := ""
	for _, w := range a.witnesses {
		seen += fmt.Sprintf("; %s: %d asked, %s at most", w.name, w.asked, w.longest.Round(time.Millisecond))
		if len(w.failed) > 0 || w.asked == 0 {
			a.Errorf("%s: %d of %d failed, the first with %v", w.name, len(w.failed), w.asked, append(w.failed, nil)[0])
		}
		if w.longest > w.bound+2*a.noise {
			a.Errorf("%s took %s", w.name, w.longest)
		}
	}
	if status.VmHWM > attackedMemory {
		a.Errorf("the node took %d MiB", status.VmHWM>>20)
	}
	if said := a.output.String(); strings.Contains(said, "panicked") || strings.Contains(said, "goroutine ") {
		a.Errorf("%s", said)
	}
	a.Logf("%s; memory %d MiB at most%s", fmt.Sprintf(format, figures...), status.VmHWM>>20, seen)
}

// memoryGroup makes a control group with a bound on memory and returns the file that a
// process joins it by; "" where the host has none that may be made.
func memoryGroup(t *testing.T) string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(own)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		root, bound := "/sys/fs/cgroup", "memory.max"
		switch fields[1] {
		case "memory": // version 1
			root, bound = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case "":
		default:
			continue
		}
		dir := filepath.Join(root, fields[2], fmt.Sprintf("bizra-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		// A little more than the runtime is told: what is not its heap is in the group too.
		if os.WriteFile(filepath.Join(dir, bound), []byte(strconv.Itoa(attackedMemory+attackedMemory/8)), 0o600) != nil {
			_ = os.Remove(dir)
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) }) // once the node has ended
		return filepath.Join(dir, "cgroup.procs")
	}
	t.Log("no control group can be made here: memory is bounded by GOMEMLIMIT alone")
	return ""
}

// answersOf is a provider that answers eth_getCode with so many bytes and hangs at
// eth_getStorageAt; everything else is the provider's behind it.
func answersOf(t *testing.T, u string, size int) string {
	t.Helper()
	result := strings.Repeat("0", size)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var req struct {
			ID     json.RawMessage
			Method string
		}
		if json.Unmarshal(body, &req) != nil {
			return
		}
		switch req.Method {
		case "eth_getCode":
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x%s"}`, req.ID, result)
		case "eth_getStorageAt":
			<-r.Context().Done()
		default:
			resp, err := http.Post(u, "application/json", strings.NewReader(string(body)))
			if err != nil {
				return
			}
			defer resp.Body.Close()
			_, _ = io.Copy(w, resp.Body)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}
