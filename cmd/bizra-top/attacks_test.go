//go:build integration && faults

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// again does something in as many goroutines as asked for, over and over, for a time.
func again(ctx context.Context, goroutines int, do func(ctx context.Context, i int)) (wait func()) {
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			for ctx.Err() == nil {
				do(ctx, i)
			}
		})
	}
	return wg.Wait
}

// dialled is a connection that is closed with the context.
func (a *attacked) dialled(ctx context.Context) (net.Conn, func()) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		return nil, func() {}
	}
	end := context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, func() { end(); _ = c.Close() }
}

func call(method, params string) string {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params)
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// Three hundred connections that say nothing, at a node that may have 256 descriptors: it
// died after a minute, when its history could make no file. It serves on, and samples.
func TestFaultSilentConnections(t *testing.T) {
	a := underAttack(t, 256, 100)
	ctx, cancel := context.WithTimeout(t.Context(), lasting(75*time.Second, 150*time.Second, 10*time.Minute))
	defer cancel()
	var opened atomic.Int64
	again(ctx, 300, func(ctx context.Context, _ int) {
		c, end := a.dialled(ctx)
		defer end()
		if c != nil {
			opened.Add(1)
			_, _ = io.Copy(io.Discard, c) // until it is cut
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	})()
	before := a.value(t, "bizra_history_samples_total")
	if before == 0 {
		t.Error("nothing was sampled")
	}
	a.survived("300 silent connections, opened %d times, at 256 descriptors; %.0f open at the end, %.0f samples", opened.Load(), a.value(t, "process_open_fds"), before)
}

// Ten clients send batches of a hundred members that name one answer of 3 MB, of 12 KB
// each, and read slowly: it took gigabytes.
func TestFaultLargeBatches(t *testing.T) {
	a := underAttack(t, 1024, 3_000_000)
	member := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getCode","params":["0x%040x","0x1"]}`, 7)
	batch := "[" + strings.Repeat(member+",", 99) + member + "]"
	request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(batch), batch)
	ctx, cancel := context.WithTimeout(t.Context(), lasting(15*time.Second, 30*time.Second, 5*time.Minute))
	defer cancel()
	var answered, refused, bytes atomic.Int64
	again(ctx, 10, func(ctx context.Context, i int) {
		c, end := a.dialled(ctx)
		defer end()
		if c == nil {
			return
		}
		_, _ = io.WriteString(c, request)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return
		}
		if resp.StatusCode == http.StatusOK {
			answered.Add(1)
		} else {
			refused.Add(1)
		}
		for err == nil { // five of them some MB a second, the others as fast as they can
			var n int64
			n, err = io.CopyN(io.Discard, resp.Body, 64<<10)
			bytes.Add(n)
			if i%2 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
	})()
	if answered.Load() == 0 {
		t.Error("no batch was answered")
	}
	a.survived("%d batches answered, %d refused, %d MiB read", answered.Load(), refused.Load(), bytes.Load()>>20)
}

// Two hundred clients ask for 4 MB each, of distinct things, and read nothing.
func TestFaultReadersThatStandStill(t *testing.T) {
	a := underAttack(t, 1024, 4_000_000, "--api.max_in_flight", "64")
	ctx, cancel := context.WithTimeout(t.Context(), lasting(15*time.Second, 30*time.Second, 5*time.Minute))
	defer cancel()
	var sent, cut atomic.Int64
	again(ctx, 200, func(ctx context.Context, i int) {
		c, end := a.dialled(ctx)
		defer end()
		if c == nil {
			return
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := io.WriteString(c, call("eth_getCode", fmt.Sprintf(`["0x%040x","0x1"]`, i))); err != nil {
			return
		}
		sent.Add(1)
		for ctx.Err() == nil { // a closed connection shows itself by what is written to it
			time.Sleep(200 * time.Millisecond)
			if _, err := c.Write([]byte("\r\n")); err != nil {
				cut.Add(1)
				return
			}
		}
	})()
	a.survived("%d requests of clients that read nothing, %d cut", sent.Load(), cut.Load())
}

// Twenty thousand reads of distinct keys, each given up after a moment, while the provider
// hangs: as many goroutines were left, for as long as cache.load_timeout.
func TestFaultAbandonedReads(t *testing.T) {
	a := underAttack(t, 1024, 100)
	reads := 20_000
	if testing.Short() {
		reads = 4_000
	}
	var next, refused atomic.Int64
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 50 * time.Millisecond}
	defer client.CloseIdleConnections()
	most := 0
	for range 100 {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(reads) {
					return
				}
				body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x%040x","0x0","0x1"]}`, n)
				if resp, err := client.Post(a.url, "application/json", strings.NewReader(body)); err == nil {
					refused.Add(1)
					_ = resp.Body.Close()
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	for done := false; !done; {
		select {
		case <-ended:
			done = true
		case <-time.After(200 * time.Millisecond):
			most = max(most, int(a.value(t, "go_goroutines")))
		}
	}
	for range 100 {
		if a.value(t, "bizra_cache_loads") == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if left := a.value(t, "bizra_cache_loads"); left != 0 {
		t.Errorf("%.0f loads are left", left)
	}
	if most > 3000 {
		t.Errorf("%d goroutines", most)
	}
	a.survived("%d reads given up, %d answered before that; %d goroutines at most, %.0f afterwards", reads, refused.Load(), most, a.value(t, "go_goroutines"))
}
