//go:build integration && faults

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
)

// jumpSource is put into package time: by how many seconds the wall clock has jumped is read
// from a file every 10 ms. The monotonic clock is left alone, as a host's is. Now itself may
// not read it: the scheduler calls it too.
const jumpSource = `package time

import (
	"sync/atomic"
	"syscall"
)

var jumped atomic.Int64

func init() {
	name, _ := syscall.Getenv("BIZRA_TEST_CLOCK")
	go func() {
		for {
			var text [20]byte
			n := 0
			if fd, err := open(name); err == nil {
				n, _ = read(fd, text[:])
				closefd(fd)
			}
			seconds, sign := int64(0), int64(1)
			for _, c := range text[:max(n, 0)] {
				if c == '-' {
					sign = -1
				} else {
					seconds = 10*seconds + int64(c-'0')
				}
			}
			jumped.Store(sign * seconds)
			Sleep(10 * Millisecond)
		}
	}()
}
`

// withClock builds the program with a package time whose wall clock can be made to jump:
// nothing less shows what libraries make of it, and the clock of the host is not ours.
func withClock(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	place := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(place, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const reads = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	patched := strings.Replace(string(source), reads, reads+"\tsec += jumped.Load()\n", 1)
	if patched == string(source) {
		t.Fatalf("time.Now of this Go is not the one this test knows; mend withClock by %s", filepath.Join(place, "time.go"))
	}
	replace := map[string]string{}
	for name, text := range map[string]string{"time.go": patched, "jump.go": jumpSource} {
		replace[filepath.Join(place, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "bizra-top")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-overlay", path, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// The clock of the host jumps by an hour and by a day, there and back, both ways, while the
// node serves. Every request is answered, with a head that is seconds old and with no verdict
// that calls a true block invalid; sampling goes on and the rates in its history stay what
// they are; and a change on trial goes back in its time, which a clock does not change. The
// first build compiles the standard library anew, which takes minutes.
func TestFaultClockJumps(t *testing.T) {
	program := withClock(t)
	chain, err := devchain.Start(t.Context(), devchain.Config{Seed: 3, Prefill: 40, Traffic: true, MinTx: 1, MaxTx: 3, Interval: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Close()
	var providers []string
	for i, u := range chain.URLs() {
		providers = append(providers, fmt.Sprintf("%c=%s", 'a'+i, u))
	}
	clock := filepath.Join(t.TempDir(), "clock")
	jump := func(by time.Duration) {
		if err := os.WriteFile(clock, []byte(strconv.Itoa(int(by.Seconds()))), 0o600); err != nil {
			t.Error(err)
		}
	}
	jump(0)
	t.Setenv("BIZRA_TEST_CLOCK", clock)
	p := start(t, program, "--headless", "--listen", "127.0.0.1:0", "--state-dir", t.TempDir(), "--upstream.providers", strings.Join(providers, ","),
		"--cache.ttl.rpc", "1s")
	client := control.NewClient(p.socket)
	defer client.Close()

	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var mu sync.Mutex
	asked, oldest, undecided := 0, time.Duration(0), 0
	const every = 50 * time.Millisecond
	asking.Go(func() {
		seen := map[uint64]time.Time{} // when a block became the head
		for tick := time.NewTicker(every); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			head, _ := chain.Chain.Head()
			if _, ok := seen[head]; !ok {
				seen[head] = time.Now()
			}
			var number uint64
			if _, err := fmt.Sscanf(text(rpc(t, p.url, "eth_blockNumber")), "0x%x", &number); err != nil {
				t.Error(err)
			}
			status, body := fetch(t, fmt.Sprintf("%s/v1/blocks/%d", p.url, head-3))
			var v verdict
			if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 || v.Outcome != "valid" && v.Outcome != "undecided" {
				t.Errorf("%d %.300s", status, body)
			}
			mu.Lock()
			asked += 2
			if v.Outcome == "undecided" {
				undecided++
			}
			// The next block has been there for so long, and is not told of.
			if next, ok := seen[number+1]; ok {
				oldest = max(oldest, time.Since(next))
			}
			mu.Unlock()
		}
	})
	time.Sleep(5 * time.Second)

	const onTrial = 12 * time.Second
	made := time.Now()
	if _, err := client.Change(ctx, control.ChangeRequest{Changes: []control.Change{{Key: "pool.limit", Value: "5"}}, RevertAfter: onTrial.String()}); err != nil {
		t.Fatal(err)
	}
	var wentBack time.Duration
	lowest, highest, before := 1e9, 0.0, p.samplesTaken(t)
	for _, by := range []time.Duration{time.Hour, 0, -time.Hour, 0, 24 * time.Hour, 0, -24 * time.Hour, 0} {
		jump(by)
		for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(200 * time.Millisecond) {
			if s, err := client.Setting(ctx, "pool.limit"); err != nil {
				t.Error(err)
			} else if s.Value != "5" && wentBack == 0 {
				wentBack = time.Since(made)
			}
		}
		taken := p.samplesTaken(t)
		if taken <= before {
			t.Errorf("after a jump to %s no samples are taken", by)
		}
		before = taken
		look, err := client.Look(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		rate := 0.0
		for _, v := range look.Panels["request_rate"] {
			if v.Value != nil {
				rate += float64(*v.Value)
			}
		}
		lowest, highest = min(lowest, rate), max(highest, rate)
		t.Logf("at %s: %.1f requests/s in the history", by, rate)
	}
	stop()
	asking.Wait()
	t.Logf("8 jumps: %d answers, the head known %s late at most, %d verdicts undecided; rates of %.1f to %.1f/s in the history; a trial of %s went back after %s",
		asked, oldest.Round(10*time.Millisecond), undecided, lowest, highest, onTrial, wentBack.Round(100*time.Millisecond))
	if oldest > 4*time.Second { // polled every second, cached for one, and a busy machine
		t.Errorf("the head was told of %s late", oldest)
	}
	if wentBack < onTrial-time.Second || wentBack > onTrial+5*time.Second {
		t.Errorf("a trial of %s went back after %s", onTrial, wentBack)
	}
	if most := 2 * float64(time.Second/every); lowest < most/8 || highest > 2*most {
		t.Errorf("rates of %.1f to %.1f/s, where %.0f/s were asked", lowest, highest, most)
	}
	if n := p.value(t, "bizra_history_errors_total"); n > 0 {
		t.Errorf("sampling failed %g times", n)
	}
	p.stop(t)
}

func (p *process) samplesTaken(t *testing.T) float64 {
	return p.value(t, "bizra_history_samples_total")
}
