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

// observedWarmUp is for how long both nodes serve before they are compared: rules and
// panels look back over a minute.
const observedWarmUp = time.Minute

// observation measures what all observation together costs a node: one that samples
// once a second, evaluates every rule and serves a screen, beside one that does none
// of that. Both serve the same load at the same time, so that what else the machine does,
// and how fast it is just then, is the same for both. Two processes of one program
// differ too, so each comparison is of two new ones.
func observation(rounds int, span time.Duration) error {
	dir, remove, err := temporary()
	if err != nil {
		return err
	}
	defer remove()
	binary, err := buildNode(dir)
	if err != nil {
		return err
	}
	provider, err := launchSelf("provider")
	if err != nil {
		return err
	}
	defer provider.end()
	var with, without, differences, ratios []float64
	for round := range rounds {
		on, off, err := compareObserved(binary, filepath.Join(dir, fmt.Sprint(round)), provider.urls, span, round%2 == 0)
		if err != nil {
			return err
		}
		with, without = append(with, on.share), append(without, off.share)
		differences, ratios = append(differences, on.share-off.share), append(ratios, on.p99/off.p99)
		fmt.Fprintf(os.Stderr, "observation: comparison %d of %d: %.2f %% of a core and %.2f %%\n", round+1, rounds, 100*on.share, 100*off.share)
	}
	slices.Sort(ratios)
	slices.Sort(differences)
	on, off, n := mean(with), mean(without), len(differences)
	fmt.Printf("\nObservation at %d cached reads a second, %d comparisons of %s side by side: %.2f %% of a core with it, %.2f %% without,\n"+
		"difference %.2f %% (median %.2f, from %.2f to %.2f), p99 %.2f times (median).\n",
		observedRate, rounds, span, 100*on, 100*off, 100*(on-off), 100*differences[n/2], 100*differences[0], 100*differences[n-1], ratios[n/2])
	return nil
}

// observedTurn is what one node took while it was compared.
type observedTurn struct {
	share float64 // of a core
	p99   float64 // seconds
}

// compareObserved compares one new observed node with one that is not.
func compareObserved(binary, dir string, providers []string, span time.Duration, observedFirst bool) (on, off observedTurn, err error) {
	var observed, unobserved *process
	launch := []func() error{
		func() (err error) {
			observed, err = launchNode(binary, filepath.Join(dir, "observed"), providers)
			return
		},
		func() (err error) {
			unobserved, err = launchNode(binary, filepath.Join(dir, "unobserved"), providers,
				"--history.sample_every", "60s", "--alerts.evaluate_every", "300s")
			return
		},
	}
	if !observedFirst {
		slices.Reverse(launch)
	}
	defer func() {
		for _, p := range []*process{observed, unobserved} {
			if p != nil {
				p.end()
			}
		}
	}()
	for _, f := range launch {
		if err := f(); err != nil {
			return on, off, err
		}
	}
	defer screen(filepath.Join(dir, "observed", "control.sock"))()
	reads := make([][]byte, cachedKeys)
	for i := range reads {
		reads[i] = post(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x%x",true]}`, 1000+i))
	}
	both := func(span time.Duration) error {
		var wg sync.WaitGroup
		var errs [2]error
		for i, p := range []*process{observed, unobserved} {
			turn := []*observedTurn{&on, &off}[i]
			wg.Go(func() {
				before, err1 := p.cpu()
				t, err2 := load{address: p.address(), connections: connections, span: span, rate: observedRate,
					next: func(r *rand.Rand) []byte { return reads[r.IntN(len(reads))] }}.run()
				after, err3 := p.cpu()
				if errs[i] = errors.Join(err1, err2, err3); errs[i] == nil {
					*turn = observedTurn{(after - before).Seconds() / t.took.Seconds(), t.quantile(0.99).Seconds()}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs[:]...)
	}
	if err := both(observedWarmUp); err != nil {
		return on, off, err
	}
	return on, off, both(span)
}

func mean(values []float64) (mean float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	return mean
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
