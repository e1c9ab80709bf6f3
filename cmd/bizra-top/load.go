package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/probes/load"
)

// loading is what the command asks for.
type loading struct {
	rpc, mix, subjects, objectives string
	config                         load.Config
	shape                          string
	blocks                         int
	follow                         bool
	json, csv                      string
}

// errMissed is what ends a command whose bounds were not kept.
var errMissed = errors.New("missed")

func loadCommand(o *options) *cobra.Command {
	var l loading
	cmd := &cobra.Command{
		Use:   "load [URL]",
		Short: "Put load on a node, or on any JSON-RPC endpoint, and report how it answered",
		Long: `load asks for blocks, transactions and addresses that it finds at the target: the
HTTP API at URL, by default the node on this host, or with --rpc any JSON-RPC endpoint.

It is an open model: each request has a due time, whatever became of those before it,
and its latency counts from there, so that a target which stalls is charged with all
that fell due meanwhile. What began late is counted: because --concurrency requests
were under way, or because this program or its host was slow.

Patterns, whose highest rate is --rate:
  constant  the rate, throughout
  ramp      in a line from a tenth of the rate to the rate
  spike     a fifth of the rate, and the rate for the middle fifth of the time
  wave      between a third of the rate and the rate, once in --period
  burst     the rate for the first fifth of each --period, then nothing

Kinds of requests for --mix, at a node:
` + kindList(false) + `
and with --rpc:
` + kindList(true) + `

A verdict that could not be decided, an answer without a result and a JSON-RPC error
count as errors. ctrl+c ends the load and reports.

` + exitCodes,
		Example: `bizra-top load --rate 500 --duration 30s
bizra-top load http://10.0.0.1:3000 --pattern spike --rate 3500 --duration 5m --slo p99=80ms,errors=1%
bizra-top load --mix block=60,transaction=30,address=10 --skew 1.1 --json report.json
bizra-top load --rpc http://127.0.0.1:8545 --mix block=1,receipt=1 --csv timeline.csv`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			address := ""
			if len(args) == 1 {
				address = args[0]
			}
			return l.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o, address)
		},
	}
	f := cmd.Flags()
	f.StringVar(&l.rpc, "rpc", "", "ask the JSON-RPC endpoint at this URL instead of a node")
	f.StringVar(&l.shape, "pattern", string(load.Constant), "one of "+strings.Join(load.Shapes(), ", "))
	f.Float64Var(&l.config.Pattern.Rate, "rate", 100, "requests a second, at most")
	f.DurationVar(&l.config.Pattern.Duration, "duration", 30*time.Second, "how long requests fall due")
	f.DurationVar(&l.config.Pattern.Period, "period", 0, "of waves and bursts (default a quarter of the duration)")
	f.BoolVar(&l.config.Pattern.Poisson, "poisson", false, "let requests fall due at random, as those of many clients do, not evenly")
	f.DurationVar(&l.config.WarmUp, "warm-up", 0, "load at the pattern's first rate before anything is counted")
	f.StringVar(&l.mix, "mix", load.DefaultMix().String(), "kinds of requests and their weights")
	f.Float64Var(&l.config.Skew, "skew", 1, "how much more often the newest are asked for: the k-th k^-SKEW times as often, 0 for all alike")
	f.IntVar(&l.blocks, "blocks", 64, "how many of the newest blocks are asked about, with their transactions and addresses")
	f.BoolVar(&l.follow, "follow", false, "take up new blocks while the load runs")
	f.StringVar(&l.subjects, "subjects", "", "ask for what this file lists instead, a block number, hash or address a line, the hottest first")
	f.DurationVar(&l.config.Timeout, "timeout", 5*time.Second, "how long a request may wait to begin, and then for its answer")
	f.IntVar(&l.config.Concurrency, "concurrency", 256, "requests under way at most")
	f.Uint64Var(&l.config.Seed, "seed", 1, "two runs with the same seed ask for the same")
	f.StringVar(&l.objectives, "slo", "", "what must be kept: p99=80ms,errors=1%,rate=3500 (mean, p50, p90, p95, p99, p99.9, max)")
	f.StringVar(&l.json, "json", "", "write the report to this file; - prints it instead of text")
	f.StringVar(&l.csv, "csv", "", "write the timeline, a row a second, to this file")
	cmd.MarkFlagsMutuallyExclusive("subjects", "follow")
	_ = cmd.RegisterFlagCompletionFunc("pattern", cobra.FixedCompletions(load.Shapes(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func kindList(rpc bool) string {
	var lines []string
	names, docs := load.Kinds(rpc)
	for i, name := range names {
		lines = append(lines, fmt.Sprintf("  %-16s%s", name, docs[i]))
	}
	return strings.Join(lines, "\n")
}

func (l *loading) run(ctx context.Context, out, notes io.Writer, o *options, address string) error {
	mix, err := load.ParseMix(l.mix)
	if err != nil {
		return fmt.Errorf("--mix: %w", err)
	}
	var objectives []load.Objective
	if l.objectives != "" {
		if objectives, err = load.ParseObjectives(l.objectives); err != nil {
			return fmt.Errorf("--slo: %w", err)
		}
	}
	if l.config.Pattern.Duration <= 0 {
		return errors.New("--duration must be above 0")
	}
	target, err := l.target(ctx, o, address)
	if err != nil {
		return err
	}
	defer target.Close()
	l.config.Target, l.config.Mix, l.config.Pattern.Shape = target, mix, load.Shape(l.shape)
	if l.config.Subjects, err = l.find(ctx, target); err != nil {
		return err
	}
	if l.follow {
		l.config.Follow = l.blocks
	}
	fmt.Fprintf(notes, "%s on %s: %s\n", l.describe(), target.Name(), l.config.Subjects)
	screen := newProgress(out, notes, l.config)
	l.config.Progress = screen.show
	report, err := load.Run(ctx, l.config)
	if err != nil {
		return err
	}
	screen.clear()
	return errors.Join(l.write(out, report, objectives), missed(report, objectives))
}

func (l *loading) describe() string {
	return fmt.Sprintf("%s load of at most %g/s for %s", l.shape, l.config.Pattern.Rate, l.config.Pattern.Duration)
}

// target is what the command line names: an endpoint, a node, or the node that
// answers on the control socket.
func (l *loading) target(ctx context.Context, o *options, address string) (*load.Target, error) {
	switch {
	case l.rpc != "" && address != "":
		return nil, errors.New("a URL names a node and --rpc another endpoint: give one")
	case l.rpc != "":
		return load.NewTarget(l.rpc, true)
	case address == "":
		client := o.client()
		defer client.Close()
		node, err := client.Node(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w; name one: bizra-top load http://127.0.0.1:3000", err)
		}
		address = "http://" + node.Listen
	}
	return load.NewTarget(address, false)
}

// maxBlocks bounds how many blocks are searched for subjects.
const maxBlocks = 10_000

func (l *loading) find(ctx context.Context, target *load.Target) (load.Subjects, error) {
	if l.subjects == "" {
		if l.blocks < 1 || l.blocks > maxBlocks {
			return load.Subjects{}, fmt.Errorf("--blocks must be from 1 to %d", maxBlocks)
		}
		return load.Find(ctx, target, l.blocks)
	}
	f, err := os.Open(l.subjects)
	if err != nil {
		return load.Subjects{}, fmt.Errorf("--subjects: %w", err)
	}
	defer f.Close()
	s, err := load.ReadSubjects(f)
	if err != nil {
		return s, fmt.Errorf("%s: %w", l.subjects, err)
	}
	return s, nil
}

// write writes the report where it was asked for.
func (l *loading) write(out io.Writer, r load.Report, objectives []load.Objective) error {
	var errs []error
	switch l.json {
	case "":
	case "-":
		errs = append(errs, printJSON(out, r))
	default:
		data, err := json.MarshalIndent(r, "", "  ")
		errs = append(errs, err, os.WriteFile(l.json, append(data, '\n'), 0o644))
	}
	if l.csv != "" {
		var table bytes.Buffer
		errs = append(errs, r.WriteCSV(&table), os.WriteFile(l.csv, table.Bytes(), 0o644))
	}
	if l.json != "-" {
		errs = append(errs, printLoad(out, r, objectives))
	}
	return errors.Join(errs...)
}

// missed names the objectives that were not kept.
func missed(r load.Report, objectives []load.Objective) error {
	var list []string
	for _, o := range objectives {
		if measured, kept := o.Check(r); !kept {
			list = append(list, fmt.Sprintf("%s (%s)", o, measured))
		}
	}
	if len(list) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errMissed, strings.Join(list, ", "))
}

// progress tells how a load goes: on a terminal by a chart that is drawn anew each
// second, elsewhere by a line now and then.
type progress struct {
	out, notes io.Writer
	terminal   bool
	length     time.Duration
	rows       int // on the screen
	every      float64
	said       float64
}

// lineEvery is how often a long run without a terminal says a line, and briefly is
// up to when it says one each second.
const (
	lineEvery = 10 * time.Second
	briefly   = time.Minute
)

// liveTerminal says whether what is written to out can be written over.
func liveTerminal(out io.Writer) bool {
	f, isFile := out.(*os.File)
	return isFile && term.IsTerminal(f.Fd()) && cmp.Or(os.Getenv("TERM"), "dumb") != "dumb"
}

func newProgress(out, notes io.Writer, c load.Config) *progress {
	p := &progress{out: out, notes: notes, length: c.Pattern.Duration, said: -c.WarmUp.Seconds(),
		terminal: liveTerminal(out)}
	if p.length > briefly {
		p.every = lineEvery.Seconds() - 0.5
	}
	return p
}

func (p *progress) show(r load.Report) {
	if len(r.Timeline) == 0 {
		return
	}
	last := r.Timeline[len(r.Timeline)-1]
	if p.terminal {
		p.draw(r)
		return
	}
	if last.At-p.said < p.every {
		return
	}
	p.said = last.At
	fmt.Fprintln(p.notes, progressLine(r, p.length))
}
