package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// observedRate is the load under which observation is measured, in requests a
// second.
const observedRate = 3500

// observation measures what all observation together costs a node: one that samples
// once a second, evaluates every rule and serves a screen, beside one that does none
// of that, by turns under the same load. A turn of 5 s holds one evaluation of the
// rules. The machine's speed drifts by more than what is measured: it takes some
// dozens of pairs to tell one percent from two.
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
	turn := func(p *process, watched bool) (share, own, p99 float64, err error) {
		if watched {
			defer screen(filepath.Join(dir, "observed", "control.sock"))()
		}
		self := ownCPU()
		before, err1 := p.cpu()
		t, err2 := load{address: p.address(), connections: connections, span: span, rate: observedRate,
			next: func(r *rand.Rand) []byte { return reads[r.IntN(len(reads))] }}.run()
		after, err3 := p.cpu()
		return (after - before).Seconds() / t.took.Seconds(), (ownCPU() - self).Seconds() / t.took.Seconds(), t.quantile(0.99).Seconds(), errors.Join(err1, err2, err3)
	}
	var with, without, differences, drifts, ratios []float64
	for round := range rounds + 1 {
		var on, off, drift, slow, fast float64
		// Turns swap places, so that a machine that gets faster favours neither.
		for _, watched := range []bool{round%2 == 0, round%2 != 0} {
			p := unobserved
			if watched {
				p = observed
			}
			share, own, p99, err := turn(p, watched)
			if err != nil {
				return err
			}
			if watched {
				on, slow, drift = share, p99, drift+own
			} else {
				off, fast, drift = share, p99, drift-own
			}
		}
		if round == 0 {
			continue // to warm up
		}
		with, without = append(with, on), append(without, off)
		differences, drifts, ratios = append(differences, on-off), append(drifts, drift), append(ratios, slow/fast)
	}
	slices.Sort(ratios)
	_, plain95 := mean(differences)
	cost, error95 := mean(steadied(differences, drifts))
	on, _ := mean(with)
	off, _ := mean(without)
	fmt.Printf("\nObservation at %d cached reads a second, %d pairs of turns of %s: %.2f %% of a core with it, %.2f %% without,\n"+
		"difference %.2f %%, %.2f ±%.2f (95 %%) without the drift of the machine (±%.2f with it), p99 %.2f times (median).\n", observedRate, len(with), span,
		100*on, 100*off, 100*(on-off), 100*cost, 100*error95, 100*plain95, ratios[len(ratios)/2])
	return nil
}

// steadied takes out of values what goes along with drifts, whose mean is nothing: a
// control variate. The generator does the same work in every turn, so it takes more
// processor time when the machine is slower, as the node does.
func steadied(values, drifts []float64) []float64 {
	v, _ := mean(values)
	d, _ := mean(drifts)
	var along, of float64
	for i := range values {
		along += (values[i] - v) * (drifts[i] - d)
		of += (drifts[i] - d) * (drifts[i] - d)
	}
	out := slices.Clone(values)
	if of > 0 {
		for i := range out {
			out[i] -= along / of * drifts[i]
		}
	}
	return out
}

// ownCPU is the processor time that this process has used so far.
func ownCPU() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // it cannot fail
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// mean is the mean of values and the half width of its 95 % confidence interval.
func mean(values []float64) (mean, error95 float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	var squares float64
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return mean, 1.96 * math.Sqrt(squares/max(1, n-1)/n)
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
