package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// observedRate is the load under which observation is measured, in requests a
// second.
const observedRate = 3500

// observation measures what all observation together costs a node: one that samples
// once a second, evaluates every rule and serves a screen, beside one that does none
// of that, by turns under the same load.
func observation(rounds int, span time.Duration) error {
	dir, err := os.MkdirTemp("", "bizra-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := buildNode(dir)
	if err != nil {
		return err
	}
	provider, err := launchSelf("provider")
	if err != nil {
		return err
	}
	defer provider.end()
	observed, err := launchNode(binary, filepath.Join(dir, "observed"), provider.urls)
	if err != nil {
		return err
	}
	defer observed.end()
	unobserved, err := launchNode(binary, filepath.Join(dir, "unobserved"), provider.urls,
		"--history.sample_every", "60s", "--alerts.evaluate_every", "300s")
	if err != nil {
		return err
	}
	defer unobserved.end()
	reads := make([][]byte, cachedKeys)
	for i := range reads {
		reads[i] = post(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x%x",true]}`, 1000+i))
	}
	turn := func(p *process, watched bool) (share, p99 float64, err error) {
		if watched {
			defer screen(filepath.Join(dir, "observed", "control.sock"))()
		}
		before, err1 := p.cpu()
		t, err2 := load{address: p.address(), connections: connections, span: span, rate: observedRate,
			next: func(r *rand.Rand) []byte { return reads[r.IntN(len(reads))] }}.run()
		after, err3 := p.cpu()
		return (after - before).Seconds() / t.took.Seconds(), t.quantile(0.99).Seconds(), errors.Join(err1, err2, err3)
	}
	var with, without, differences, ratios []float64
	for round := range rounds + 1 {
		on, slow, err := turn(observed, true)
		if err != nil {
			return err
		}
		off, fast, err := turn(unobserved, false)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // to warm up
		}
		with, without = append(with, on), append(without, off)
		differences, ratios = append(differences, on-off), append(ratios, slow/fast)
	}
	for _, list := range [][]float64{with, without, differences, ratios} {
		slices.Sort(list)
	}
	n := len(with) / 2
	fmt.Printf("\nObservation at %d cached reads a second, %d turns of %s: %.2f %% of a core with it, %.2f %% without,\n"+
		"difference %.2f %% (%.2f to %.2f), p99 %.2f times (medians).\n", observedRate, len(with), span,
		100*with[n], 100*without[n], 100*differences[n], 100*differences[0], 100*differences[len(differences)-1], ratios[n])
	return nil
}

// screen looks at a node once a second, as an attached screen does, until the
// function it returns is called.
func screen(socket string) func() {
	ctx, cancel := context.WithCancel(context.Background())
	client := control.NewClient(socket)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var last uint64
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if look, err := client.Look(ctx, last); err == nil {
				last = look.LastEvent
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
		client.Close()
	}
}
