package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/bizra/bizra-top/node/devchain"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

// BenchmarkRequestsBesideStreams compares the p99 of requests, with nobody else on
// the node and beside 20 streams of which 5 never read, in turns so that both see
// the same machine. It reports the median of the turns' ratios; run it with
// -benchtime 1x.
func BenchmarkRequestsBesideStreams(b *testing.B) {
	chain, err := devchain.Start(b.Context(), devchain.Config{Seed: 1, Prefill: 20, Traffic: true, MinTx: 5, MaxTx: 5})
	if err != nil {
		b.Fatal(err)
	}
	defer chain.Close() // nothing of it is worth keeping
	d := declareAll()
	if err := d.registry.Load(settings.SourceFile, []settings.Change{
		{Key: "upstream.providers", Value: "dev=" + chain.URLs()[0]}, {Key: "api.listen", Value: "127.0.0.1:0"},
	}); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	at := place{stateDir: dir, socket: filepath.Join(dir, "s"), mode: "node"}
	sockets, err := openSockets(d, at, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sockets.Close(false) })
	s, err := newService(b.Context(), d, at, slog.New(slog.DiscardHandler), sockets, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.run(ctx, nil, func(context.Context) {}); err != nil {
			b.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	address := s.node.Address()
	p99(b, address, 2*time.Second) // the cache and the history fill
	for b.Loop() {
		var ratios, alone, beside []float64
		for range 5 {
			without := p99(b, address, 4*time.Second)
			end := openStreams(b, address)
			with := p99(b, address, 4*time.Second)
			end()
			alone, beside = append(alone, without), append(beside, with)
			ratios = append(ratios, with/without)
		}
		for _, list := range [][]float64{ratios, alone, beside} {
			slices.Sort(list)
		}
		b.ReportMetric(alone[2]*1e6, "us-p99-alone")
		b.ReportMetric(beside[2]*1e6, "us-p99-beside")
		b.ReportMetric(ratios[2], "ratio")
	}
}

// openStreams opens 15 streams that read and 5 that do not, on all panels.
func openStreams(b *testing.B, address string) (end func()) {
	ctx, cancel := context.WithCancel(b.Context())
	panels := probes.Panels()
	var reading sync.WaitGroup
	var conns []*websocket.Conn
	for i := range 20 {
		conn, _, err := websocket.Dial(ctx, "ws://"+address+"/ws/metrics", nil)
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, conn)
		var subscribe []string
		for k := range 4 {
			subscribe = append(subscribe, fmt.Sprintf(`{"id": "%d", "panel": %q}`, k, panels[(i*4+k)%len(panels)].ID))
		}
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"subscribe": [`+strings.Join(subscribe, ",")+`]}`)); err != nil {
			b.Fatal(err)
		}
		if i < 15 {
			reading.Go(func() {
				for {
					if _, _, err := conn.Read(ctx); err != nil {
						return
					}
				}
			})
		}
	}
	return func() {
		cancel()
		for _, c := range conns {
			_ = c.CloseNow()
		}
		reading.Wait()
	}
}

// p99 asks for blocks at 400 requests a second and returns the 99th percentile in
// seconds, from when each request was due.
func p99(b *testing.B, address string, span time.Duration) float64 {
	const every = time.Second / 400
	var mu sync.Mutex
	var took []float64
	var asking sync.WaitGroup
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	began := time.Now()
	for i := range int(span / every) {
		due := began.Add(time.Duration(i) * every)
		time.Sleep(time.Until(due))
		asking.Go(func() {
			body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x%x",true]}`, i%20)
			resp, err := client.Post("http://"+address+"/", "application/json", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				b.Errorf("%d %v", resp.StatusCode, err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(due).Seconds())
		})
	}
	asking.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}
