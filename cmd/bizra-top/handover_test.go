//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/devchain"
)

// site is a node that may be another process after a while. What its processes say
// is in a file: they share it.
type site struct {
	*control.Client
	t            *testing.T
	first        *exec.Cmd
	ended        chan error // of the first process
	url, program string
	log          string
}

// open runs the program headless on a small chain, and waits until it serves.
func open(t *testing.T, program string, args ...string) *site {
	t.Helper()
	chain, err := devchain.Start(context.Background(), devchain.Config{Seed: 5, Prefill: 40, Traffic: true, MinTx: 2, MaxTx: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	var providers []string
	for i, u := range chain.URLs() {
		providers = append(providers, fmt.Sprintf("p%d=%s", i, u))
	}
	state := t.TempDir()
	s := &site{t: t, program: program, log: filepath.Join(state, "stderr"), ended: make(chan error, 1),
		Client: control.NewClient(filepath.Join(state, "control.sock"))}
	t.Cleanup(s.Close)
	f, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.first = exec.Command(program, append([]string{"--headless", "--state-dir", state, "--listen", "127.0.0.1:0",
		"--upstream.providers", strings.Join(providers, ","), "--validation.confirmations_final", "8"}, args...)...)
	s.first.Stderr = f
	if err := diesWithTests(s.first).Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.first.Wait() }()
	t.Cleanup(func() {
		if pid := s.pid(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = s.first.Process.Kill()
		if t.Failed() {
			t.Log(s.said())
		}
	})
	s.url = s.await(announced)[1]
	return s
}

func (s *site) said() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Error(err)
	}
	return string(text)
}

// await waits until the processes have said something and returns its parts.
func (s *site) await(what *regexp.Regexp) []string {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if m := what.FindStringSubmatch(s.said()); m != nil {
			return m
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("it does not say %s", what)
		}
	}
}

// pid returns the process that answers now, or 0.
func (s *site) pid() int {
	n, err := s.Node(context.Background())
	if err != nil {
		return 0
	}
	return n.PID
}

// handOver sends SIGUSR2 and waits for another process.
func (s *site) handOver() (took time.Duration) {
	s.t.Helper()
	before, began := s.pid(), time.Now()
	if before == 0 {
		s.t.Fatal("no process answers")
	}
	if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if now := s.pid(); now != 0 && now != before {
			took = time.Since(began)
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatal("no other process takes over")
		}
	}
	s.gone(before)
	return took
}

// gone waits until a process has ended. One that nobody waits for stays a zombie.
func (s *site) gone(pid int) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("process %d does not end", pid)
		}
	}
}

// stop ends the node and looks for what the race detector says.
func (s *site) stop() {
	s.t.Helper()
	pid := s.pid()
	if pid == 0 {
		s.t.Fatal("no process answers")
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.gone(pid)
	if strings.Contains(s.said(), "DATA RACE") {
		s.t.Error("data race")
	}
	if _, err := os.Stat(s.Socket()); !os.IsNotExist(err) {
		s.t.Errorf("the control socket was left behind: %v", err)
	}
}

// steadyLoad sends requests at a steady rate, whether or not earlier ones are answered.
type steadyLoad struct {
	url             string
	verdict, answer string // what is right
	sent, again     atomic.Int64
	mu              sync.Mutex
	failed          []string
	slowest         time.Duration
}

const cachedCall = `{"jsonrpc":"2.0","id":7,"method":"eth_getBlockByNumber","params":["0x5",false]}`

// run sends rate requests a second until ctx ends: verdicts and JSON-RPC calls, each
// half on connections that are kept and half on new ones, besides the patient, who
// send on a connection of their own that is idle between.
func (l *steadyLoad) run(ctx context.Context, rate int) {
	kept := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	fresh := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	defer kept.CloseIdleConnections()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range 40 {
		wg.Go(func() {
			own := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{}}
			defer own.CloseIdleConnections()
			for ctx.Err() == nil {
				l.ask(own, true)
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(150+37*i) * time.Millisecond):
				}
			}
		})
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wg.Go(func() { l.ask([]*http.Client{kept, fresh}[n%2], n/2%2 == 0) })
	}
}

// ask sends one request, once: a POST is not repeated by the client.
func (l *steadyLoad) ask(client *http.Client, post bool) {
	req, _ := http.NewRequest(http.MethodGet, l.url+"/v1/blocks/5", nil)
	want := l.verdict
	if post {
		req, _ = http.NewRequest(http.MethodPost, l.url, strings.NewReader(cachedCall))
		req.GetBody, want = nil, l.answer
	}
	got := 0
	req = req.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { got++ }}))
	began := time.Now()
	l.sent.Add(1)
	resp, err := client.Do(req)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	l.again.Add(int64(max(0, got-1)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, time.Since(began))
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != want {
		l.failed = append(l.failed, fmt.Sprintf("%s: %v %s", req.Method, err, body))
	}
}

var gap = regexp.MustCompile(`nothing was accepted for ([0-9.a-zµ]+)`)

// A load of 500 requests a second does not notice that the process is another one.
// Two handovers; twenty with BIZRA_TEST_LONG=1.
func TestAHandoverLosesNoRequest(t *testing.T) {
	rounds := 2
	if os.Getenv("BIZRA_TEST_LONG") != "" {
		rounds = 20
	}
	s := open(t, asReleased(t))
	_, verdict := fetch(t, s.url+"/v1/blocks/5")
	resp, err := http.Post(s.url, "application/json", strings.NewReader(cachedCall))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(answer, []byte(`"result":{`)) {
		t.Fatalf("%v %s", err, answer)
	}
	_ = resp.Body.Close()
	if _, err := s.Change(t.Context(), control.ChangeRequest{Changes: []control.Change{{Key: "api.max_batch", Value: "55"}}}); err != nil {
		t.Fatal(err)
	}
	l := &steadyLoad{url: s.url, verdict: verdict, answer: string(answer)}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.run(ctx, 500) })
	began := time.Now()
	var took []time.Duration
	for range rounds {
		time.Sleep(time.Second)
		took = append(took, s.handOver().Round(time.Millisecond))
	}
	time.Sleep(time.Second)
	stop()
	running.Wait()
	var gaps []time.Duration
	for _, m := range gap.FindAllStringSubmatch(s.said(), -1) {
		d, err := time.ParseDuration(m[1])
		if err != nil {
			t.Error(err)
		}
		gaps = append(gaps, d)
	}
	slices.Sort(gaps)
	t.Logf("%d requests in %s, %d failed, %d repeated by the client, slowest %s; %d handovers took %v, gaps %v",
		l.sent.Load(), time.Since(began).Round(time.Second), len(l.failed), l.again.Load(), l.slowest.Round(time.Millisecond), rounds, took, gaps)
	if len(l.failed) > 0 {
		t.Errorf("%d failed, such as %q", len(l.failed), l.failed[:min(5, len(l.failed))])
	}
	if l.again.Load() > 0 {
		t.Errorf("the client repeated %d requests", l.again.Load())
	}
	if len(gaps) != rounds || gaps[len(gaps)-1] > 10*time.Second {
		t.Errorf("gaps %v", gaps)
	}
	if v, err := s.Setting(t.Context(), "api.max_batch"); err != nil || v.Value != "55" || v.Source != "live" {
		t.Errorf("a kept live value did not go along: %+v %v", v, err)
	}
	s.stop()
}
