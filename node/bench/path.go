package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// The whole path: the node as it is deployed, beside a net/http server that
// answers every request with a constant of the same size.

const (
	cachedKeys  = 100
	connections = 64
)

// process is a server in a process of its own, so that what it costs can be told
// from what the load costs.
type process struct {
	*exec.Cmd
	urls []string
}

// launch starts a server and waits for the line in which it says where it is.
func launch(cmd *exec.Cmd, said io.Reader, read func(line string) []string) (*process, error) {
	if err := begin(cmd, nil); err != nil {
		return nil, err
	}
	lines := make(chan []string, 1)
	go func() {
		scanner := bufio.NewScanner(said)
		for scanner.Scan() {
			if urls := read(scanner.Text()); urls != nil {
				lines <- urls
				break
			}
		}
		_, _ = io.Copy(io.Discard, said)
	}()
	p := &process{Cmd: cmd}
	select {
	case p.urls = <-lines:
		return p, nil
	case <-time.After(time.Minute):
		p.end()
		return nil, fmt.Errorf("%s did not start", cmd.Path)
	}
}

func launchSelf(what string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-serve", what)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return launch(cmd, out, strings.Fields)
}

// buildNode builds the program into a folder, as it is deployed.
func buildNode(dir string) (string, error) {
	binary := filepath.Join(dir, "bizra-top")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/bizra-top")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := output(build); err != nil {
		return "", fmt.Errorf("build the node: %w\n%s", err, out)
	}
	return binary, nil
}

// launchNode starts a node with providers; further flags may follow.
func launchNode(binary, state string, providers []string, flags ...string) (*process, error) {
	named := make([]string, len(providers))
	for i, u := range providers {
		named[i] = fmt.Sprintf("p%d=%s", i, u)
	}
	return launchProgram(binary, append([]string{"--headless", "--state-dir", state, "--listen", "127.0.0.1:0",
		"--upstream.providers", strings.Join(named, ",")}, flags...)...)
}

// launchProgram starts the program so that it serves.
func launchProgram(binary string, args ...string) (*process, error) {
	cmd := exec.Command(binary, args...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	return launch(cmd, errs, func(line string) []string {
		_, rest, ok := strings.Cut(line, "API on ")
		if !ok {
			return nil
		}
		url, _, _ := strings.Cut(rest, ",")
		return []string{url}
	})
}

func (p *process) address() string { return strings.TrimPrefix(p.urls[0], "http://") }

func (p *process) end() {
	_ = p.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(endWithin, func() { _ = p.Process.Kill() })
	defer kill.Stop()
	_ = reap(p.Cmd) // how it ended does not matter
}

// cpu is the processor time a process has used so far.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// rss is the memory a process holds, in bytes.
func (p *process) rss() (int, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	return pages * os.Getpagesize(), err
}

// mallocs is how many objects a process has allocated.
func (p *process) mallocs() (float64, error) {
	resp, err := http.Get(p.urls[0] + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	scanner := bufio.NewScanner(resp.Body)
	for scanner.Scan() {
		if value, ok := strings.CutPrefix(scanner.Text(), "go_memstats_mallocs_total "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.New("no go_memstats_mallocs_total at " + p.urls[0])
}

// measured is one contender under one load.
type measured struct {
	name             string
	rate, cpu        float64 // requests a second; seconds a request
	p50, p99, allocs float64 // seconds, seconds, a request
	errors           int
}

func measure(name string, p *process, l load) (measured, error) {
	cpu, err1 := p.cpu()
	allocs, err2 := p.mallocs()
	t, err3 := l.run()
	cpuAfter, err4 := p.cpu()
	allocsAfter, err5 := p.mallocs()
	n := float64(max(t.requests, 1))
	return measured{name, t.rate(), (cpuAfter - cpu).Seconds() / n, t.quantile(0.5).Seconds(), t.quantile(0.99).Seconds(),
		(allocsAfter - allocs) / n, t.errors}, errors.Join(err1, err2, err3, err4, err5)
}

// path measures the whole path and prints a table.
func path(rounds int, span time.Duration) error {
	dir, remove, err := temporary()
	if err != nil {
		return err
	}
	defer remove()
	binary, err := buildNode(dir)
	if err != nil {
		return err
	}
	var all []*process
	defer func() {
		for _, p := range slices.Backward(all) {
			p.end()
		}
	}()
	started := func(p *process, err error) (*process, error) {
		if err == nil {
			all = append(all, p)
		}
		return p, err
	}
	plain, err := started(launchSelf("plain"))
	if err != nil {
		return err
	}
	provider, err := started(launchSelf("provider"))
	if err != nil {
		return err
	}
	chain, err := started(launchSelf("chain"))
	if err != nil {
		return err
	}
	gateway, err := started(launchNode(binary, filepath.Join(dir, "gateway"), provider.urls))
	if err != nil {
		return err
	}
	verdicts, err := started(launchNode(binary, filepath.Join(dir, "verdicts"), chain.urls))
	if err != nil {
		return err
	}

	cached := make([][]byte, cachedKeys)
	subjects := make([][]byte, cachedKeys)
	for i := range cachedKeys {
		cached[i] = post(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x%x",true]}`, 1000+i))
		subjects[i] = get(fmt.Sprintf("/v1/blocks/%d", 10+i))
	}
	anyOf := func(requests [][]byte) func(*rand.Rand) []byte {
		return func(r *rand.Rand) []byte { return requests[r.IntN(len(requests))] }
	}
	fresh := func(r *rand.Rand) []byte {
		return post(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x%x",true]}`, 5000+r.Uint64N(headBlock/2)))
	}
	unknown := func(r *rand.Rand) []byte { // an account that is not there, which is proved too
		return get(fmt.Sprintf("/v1/addresses/0x%016x%024x", r.Uint64(), r.Uint64()))
	}
	oneInTen := func(rare, usual func(*rand.Rand) []byte) func(*rand.Rand) []byte {
		return func(r *rand.Rand) []byte {
			if r.IntN(10) == 0 {
				return rare(r)
			}
			return usual(r)
		}
	}
	fmt.Printf("\nThe whole path: %d turns of %s each, one after the other; bodies of %d bytes, %d keys. CPU and allocations are\n"+
		"those of the server's process, whatever else it does. Ratio is to the first of each group, by turn, as a median.\n\n", rounds, span, bodySize, cachedKeys)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "load\tserver\tconns\treq/s\tratio\tp50 ms\tp99 ms\tratio p99\tCPU us/req\tallocs/req\terrors")
	for _, g := range []struct {
		name        string
		connections int
		contenders  []contest
	}{
		{"cached gateway reads", connections, []contest{{"net/http, a constant", plain, anyOf(cached)}, {"node", gateway, anyOf(cached)}}},
		{"cached verdicts", connections, []contest{{"net/http, a constant", plain, anyOf(cached)}, {"node", verdicts, anyOf(subjects)}}},
		{"gateway, 90 % cached", connections, []contest{{"net/http, a constant", plain, anyOf(cached)}, {"node", gateway, oneInTen(fresh, anyOf(cached))}}},
		{"verdicts, 90 % cached", connections, []contest{{"net/http, a constant", plain, anyOf(cached)}, {"node", verdicts, oneInTen(unknown, anyOf(subjects))}}},
		{"uncached verdicts", connections, []contest{{"net/http, a constant", plain, anyOf(cached)}, {"node", verdicts, unknown}}},
		{"uncached, one at a time", 1, []contest{{"the provider itself", provider, fresh}, {"node", gateway, fresh}}},
		{"uncached", connections, []contest{{"the provider itself", provider, fresh}, {"node", gateway, fresh}}},
	} {
		if err := contend(out, g.name, g.connections, g.contenders, rounds, span); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	rss, err := gateway.rss()
	fmt.Printf("\nMemory of the node behind the gateway loads, with an L1 of 64 MiB: %d MB.\n", rss/1e6)
	return err
}

type contest struct {
	name   string
	server *process
	next   func(*rand.Rand) []byte
}

// contend lets contenders take turns under the same load and prints their medians.
func contend(out io.Writer, name string, connections int, contenders []contest, rounds int, span time.Duration) error {
	all := make([][]measured, len(contenders))
	for round := range rounds + 1 {
		for i, c := range contenders {
			m, err := measure(c.name, c.server, load{address: c.server.address(), connections: connections, span: span, next: c.next})
			if err != nil {
				return err
			}
			if round > 0 { // the first is to warm up
				all[i] = append(all[i], m)
			}
		}
	}
	median := func(i int, of func(round int) float64) float64 {
		values := make([]float64, rounds)
		for r := range values {
			values[r] = of(r)
		}
		slices.Sort(values)
		return values[rounds/2]
	}
	for i, turns := range all {
		failed := 0
		for _, m := range turns {
			failed += m.errors
		}
		fmt.Fprintf(out, "%s\t%s\t%d\t%.0f\t%.2f\t%.3f\t%.3f\t%.2f\t%.1f\t%.1f\t%d\n", name, contenders[i].name, connections,
			median(i, func(r int) float64 { return turns[r].rate }),
			median(i, func(r int) float64 { return turns[r].rate / all[0][r].rate }),
			median(i, func(r int) float64 { return turns[r].p50 * 1e3 }),
			median(i, func(r int) float64 { return turns[r].p99 * 1e3 }),
			median(i, func(r int) float64 { return turns[r].p99 / all[0][r].p99 }),
			median(i, func(r int) float64 { return turns[r].cpu * 1e6 }),
			median(i, func(r int) float64 { return turns[r].allocs }), failed)
	}
	return nil
}
