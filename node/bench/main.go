// Bench measures parts of the node beside the libraries that people would
// otherwise pick, in one run and by turns, and prints ratios. It is a module of
// its own so that who builds the node never downloads those libraries.
//
// It then measures the whole node, as it is deployed, beside a plain net/http
// server, what looking at it costs, and what ninety days of history do.
//
// Usage, in this directory: go run . [-rounds n] [-for duration] [-only parts|ratios|path|observation|history]
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// contender is one way to do what a scene asks for.
type contender struct {
	name string
	// start returns a function that does it n times. It may be called from many
	// goroutines at once.
	start func() func(n int)
}

// scene is one thing that is compared. The first contender is ours.
type scene struct {
	name       string
	parallel   bool // by GOMAXPROCS goroutines on the same object
	contenders []contender
	batch      int // calls between two looks at the clock; 0 means 5000
}

func main() {
	rounds := flag.Int("rounds", 9, "how often every contender has its turn")
	span := flag.Duration("for", 60*time.Millisecond, "how long a turn is")
	only := flag.String("only", "", "measure only the parts, the hit ratios, the path, the observation, the history, or the screen")
	turns := flag.Int("turns", 5, "how often every server of the whole path has its turn")
	long := flag.Duration("turn", 3*time.Second, "how long such a turn is")
	server := flag.String("serve", "", "be one of the servers that are measured; the program runs itself so")
	flag.Parse()
	if *rounds < 1 || *span <= 0 || *turns < 1 || *long <= 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	run := func() error {
		if *server != "" {
			return serve(*server)
		}
		endBySignal()
		for _, m := range []struct {
			name    string
			measure func() error
		}{
			{"parts", func() error { return parts(*rounds, *span) }}, {"ratios", ratios}, {"path", func() error { return path(*turns, *long) }},
			{"observation", func() error { return observation(*turns, 60**long) }}, {"history", history}, {"screen", screens},
		} {
			if *only == "" || *only == m.name {
				if err := m.measure(); err != nil {
					return fmt.Errorf("%s: %w", m.name, err)
				}
			}
		}
		return nil
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parts compares the node's parts with the libraries that people would otherwise
// pick.
func parts(rounds int, span time.Duration) error {
	defer tidy()
	fmt.Printf("%s, GOMAXPROCS %d, medians of %d turns of %s, one after the other.\n", runtime.Version(), runtime.GOMAXPROCS(0), rounds, span)
	fmt.Print("Times are per call; in parallel, wall time over all calls. Ratio: how many times our time.\n\n")
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "scene\tcontender\tns/call\tratio\tratios seen\tallocs/call")
	for _, s := range scenes() {
		for _, r := range s.run(rounds, span) {
			fmt.Fprintf(out, "%s\t%s\t%.1f\t%.2f\t%.2f to %.2f\t%.0f\n", s.name, r.name, r.ns, r.ratio, r.least, r.most, r.allocs)
		}
	}
	return out.Flush()
}

type row struct {
	name               string
	ns                 float64 // median
	ratio, least, most float64 // to the first contender in the same round
	allocs             float64
}

// run lets the contenders take turns and compares each with the first of its round.
func (s scene) run(rounds int, span time.Duration) []row {
	width := 1
	if s.parallel {
		width = runtime.GOMAXPROCS(0)
	}
	batch := cmp.Or(s.batch, 5000)
	does := make([]func(int), len(s.contenders))
	rows := make([]row, len(s.contenders))
	for i, c := range s.contenders {
		does[i] = c.start()
		rows[i].name = c.name
		turn(does[i], width, batch, span) // warm
		rows[i].allocs = allocs(does[i], 4*batch)
	}
	times := make([][]float64, len(does))
	ratios := make([][]float64, len(does))
	for range rounds {
		for i, do := range does {
			times[i] = append(times[i], turn(do, width, batch, span))
			ratios[i] = append(ratios[i], times[i][len(times[i])-1]/times[0][len(times[0])-1])
		}
	}
	for i := range rows {
		slices.Sort(times[i])
		slices.Sort(ratios[i])
		rows[i].ns, rows[i].ratio = times[i][rounds/2], ratios[i][rounds/2]
		rows[i].least, rows[i].most = ratios[i][0], ratios[i][rounds-1]
	}
	return rows
}

// turn runs do in width goroutines for about span, batch calls between two looks
// at the clock, and returns nanoseconds per call.
func turn(do func(n int), width, batch int, span time.Duration) float64 {
	calls := make([]int, width)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range width {
		wg.Go(func() {
			for time.Since(began) < span {
				do(batch)
				calls[i] += batch
			}
		})
	}
	wg.Wait()
	took, total := time.Since(began), 0
	for _, n := range calls {
		total += n
	}
	return float64(took) / float64(total)
}

func allocs(do func(n int), n int) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}
