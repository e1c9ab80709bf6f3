package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/probes/promises"
)

// benching is what the command asks for.
type benching struct {
	json, markdown, quick bool
	compare, profile      string
	only                  []string
}

func benchCommand(o *options) *cobra.Command {
	var b benching
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure on this host what the product promises",
		Long: `bench measures the promises of the product here and now, each beside parts that are
built the obvious way: calls one after the other, a FIFO cache that is swept, a breaker
that scans an array, eight connections for each core. Before and after run by turns on
the same providers and database; nothing is quoted.

It needs nothing: a chain in memory, an SQLite file and an embedded Redis are its parts,
and share the host with what is measured. With --config it runs on the providers, the
PostgreSQL and the Redis of that configuration instead: in a schema and under a prefix
of its own, which it removes, but with 3850 requests a second. A run takes about three
minutes.

` + exitCodes,
		Example: `bizra-top bench
bizra-top bench --quick --only breaker,cache
bizra-top bench --json > old.json
bizra-top bench --compare old.json
bizra-top bench --config /etc/bizra-top.yaml --profile profiles`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return b.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&b.json, "json", false, "print the report as JSON")
	f.BoolVar(&b.markdown, "markdown", false, "print the report as Markdown")
	f.BoolVar(&b.quick, "quick", false, "take half a minute: a look, not a proof")
	f.StringVar(&b.compare, "compare", "", "show the change of each row since this report (JSON), and mark what became worse")
	f.StringSliceVar(&b.only, "only", nil, "rows to measure, by name or first part of the name: "+strings.Join(promises.Names(), ", "))
	f.StringVar(&b.profile, "profile", "", "leave profiles of processor, heap and blocking in this folder")
	cmd.MarkFlagsMutuallyExclusive("json", "markdown")
	_ = cmd.MarkFlagDirname("profile")
	_ = cmd.MarkFlagFilename("compare", "json")
	_ = cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(promises.Names(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (b *benching) run(ctx context.Context, out, notes io.Writer, o *options) (err error) {
	var old *promises.Report
	if b.compare != "" {
		if old, err = readReport(b.compare); err != nil {
			return err
		}
	}
	if b.profile != "" {
		end, err := promises.Profile(b.profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	dir, err := os.MkdirTemp("", "bizra-top-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for the bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	parts, base, end, err := b.parts(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	declare := func(changes []settings.Change) (declared, error) {
		d := declareAll()
		if err := d.registry.Load(settings.SourceDefault, base); err != nil {
			return d, err
		}
		if err := o.load(d, o.config); err != nil {
			return d, err
		}
		return d, d.registry.Load(settings.SourceFlag, changes)
	}
	d, err := declare(nil)
	if err != nil {
		return err
	}
	screen := stepper{out: notes, terminal: liveTerminal(notes)}
	report, err := promises.Run(ctx, promises.Options{Settings: d.node, Dir: dir, Parts: parts, Version: versionText(), Only: b.only, Quick: b.quick, Progress: screen.show,
		Start: func(ctx context.Context, changes []settings.Change) (promises.Running, error) {
			d, err := declare(changes)
			if err != nil {
				return promises.Running{}, err
			}
			return startForBench(ctx, d, filepath.Join(dir, "node"))
		}})
	screen.clear()
	if len(report.Rows) > 0 {
		err = errors.Join(err, b.print(out, report, old))
	}
	if err != nil {
		return err
	}
	return missedPromises(report)
}

// parts returns what the bench runs on: the configured parts, or embedded ones.
func (b *benching) parts(ctx context.Context, o *options) (text string, base []settings.Change, end func() error, err error) {
	if o.config != "" {
		return "the parts of " + o.config, nil, func() error { return nil }, nil
	}
	embedded, err := promises.StartEmbedded(ctx)
	if err != nil {
		return "", nil, nil, err
	}
	return embedded.String(), embedded.Settings(), embedded.Close, nil
}

// startForBench runs a whole node, as it is deployed, in a folder of its own.
func startForBench(ctx context.Context, d declared, dir string) (promises.Running, error) {
	at := place{stateDir: dir, socket: filepath.Join(dir, "control.sock"), mode: "node"}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return promises.Running{}, err
	}
	sockets, err := openSockets(d, at, nil)
	if err != nil {
		return promises.Running{}, err
	}
	s, err := newService(ctx, d, at, slog.New(slog.DiscardHandler), sockets, nil)
	if err != nil {
		return promises.Running{}, errors.Join(err, sockets.Close(false))
	}
	ctx, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	var failed error
	serving := make(chan struct{})
	supervise.Essential(&ended, "node", func() {
		failed = errors.Join(s.run(ctx, func() { close(serving) }, func(context.Context) {}), sockets.Close(false))
	})
	<-serving
	return promises.Running{URL: "http://" + s.node.Address(), Metrics: s.node.Host().Gatherer, Close: func() error {
		stop()
		ended.Wait()
		return failed
	}}, nil
}

func readReport(path string) (*promises.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--compare: %w", err)
	}
	defer f.Close()
	r, err := promises.ReadReport(f)
	if err != nil {
		return nil, fmt.Errorf("--compare %s: %w", path, err)
	}
	return &r, nil
}

func missedPromises(r promises.Report) error {
	var names []string
	for _, row := range r.Missed() {
		names = append(names, row.Name)
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%w on this host: %s", errMissed, strings.Join(names, ", "))
}

func (b *benching) print(out io.Writer, r promises.Report, old *promises.Report) error {
	switch {
	case b.json:
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case b.markdown:
		return printBenchMarkdown(out, r, old)
	}
	return printBench(out, r, old)
}

// stepper tells what is being measured: on a terminal in one line that is written
// over, elsewhere in a line each.
type stepper struct {
	out      io.Writer
	terminal bool
}

func (s stepper) show(what string, step, steps int) {
	text := fmt.Sprintf("%2d of %d  %s", step, steps, what)
	if !s.terminal {
		fmt.Fprintln(s.out, text)
		return
	}
	const width = 30
	done := width * (step - 1) / steps
	fmt.Fprintf(s.out, "\r%s%s%s  %s", ansi.EraseEntireLine, strings.Repeat("█", done), strings.Repeat("░", width-done), text)
}

func (s stepper) clear() {
	if s.terminal {
		fmt.Fprint(s.out, "\r"+ansi.EraseEntireLine)
	}
}
