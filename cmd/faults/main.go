// Command faults runs the tests that damage, starve and attack a node, and prints one
// line a fault: number, name, passed or failed, how long it took, and the last figure
// that each of its tests logged. `make faults` starts what the tests need; BIZRA_TEST_LONG=1
// asks for their long forms, -short for what CI runs beside `make test`. It runs in the
// module's root and exits 1 when a row failed.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	only := flag.String("rows", "", "numbers of the rows to run, such as 2,16; all by default")
	short := flag.Bool("short", false, "only tests that make test does not run, in their short forms")
	within := 30 * time.Minute
	if os.Getenv("BIZRA_TEST_LONG") != "" {
		within = 90 * time.Minute // half an hour of steady load, after 18 minutes to warm up
	}
	limit := flag.Duration("timeout", within, "how long one package's tests of a row may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen, err := choose(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	if *short {
		for i, r := range chosen {
			chosen[i] = r.inShort()
		}
		chosen = slices.DeleteFunc(chosen, func(r row) bool { return len(r.tests) == 0 })
	}
	passed := 0
	for _, r := range chosen {
		began, outcome := time.Now(), "passed"
		figures, err := r.run(ctx, *limit, *short)
		if err != nil {
			outcome = "FAILED"
		} else {
			passed++
		}
		fmt.Printf("%2d  %-48s %s  %6s  %s\n", r.number, r.name, outcome, time.Since(began).Round(time.Second), strings.Join(figures, "; "))
		if err != nil {
			fmt.Println(err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Printf("%d of %d rows passed\n", passed, len(chosen))
	if passed < len(chosen) {
		os.Exit(1)
	}
}

func choose(only string) ([]row, error) {
	if only == "" {
		return slices.Clone(rows), nil
	}
	var out []row
	for text := range strings.SplitSeq(only, ",") {
		number, err := strconv.Atoi(strings.TrimSpace(text))
		i := slices.IndexFunc(rows, func(r row) bool { return r.number == number })
		if err != nil || i < 0 {
			return nil, fmt.Errorf("there is no row %q", text)
		}
		out = append(out, rows[i])
	}
	return out, nil
}

// run runs the row's tests and returns the figures that they logged.
func (r row) run(ctx context.Context, limit time.Duration, short bool) (figures []string, err error) {
	for _, t := range r.tests {
		logged, failed := t.run(ctx, limit, short)
		figures, err = append(figures, logged...), errors.Join(err, failed)
	}
	return figures, err
}

// event is a line of go test -json.
type event struct{ Action, Test, Output string }

// logLine is what t.Log writes of a figure. What has no digit only tells how a test goes.
var logLine = regexp.MustCompile(`^\s+\w+_test\.go:\d+: (.*\d.*)\n$`)

func (t tests) run(ctx context.Context, limit time.Duration, short bool) (figures []string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-race", "-tags", "integration,faults", "-json", "-count=1", "-timeout", limit.String(), "-short="+strconv.FormatBool(short),
		"-run", "^("+strings.Join(t.names, "|")+")$", "./"+t.pkg)
	endAll(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	said, passed, logged := follow(out)
	for _, name := range t.names {
		if figure, has := logged[name]; has {
			figures = append(figures, figure)
		}
	}
	if err := cmd.Wait(); err != nil {
		return figures, fmt.Errorf("%s: %w\n%s%s", t.pkg, err, said, errs.String())
	}
	for _, name := range t.names {
		if !slices.Contains(passed, name) {
			err = errors.Join(err, fmt.Errorf("%s has no test %s: mend cmd/faults/rows.go", t.pkg, name))
		}
	}
	return figures, err
}

// endAll makes the end of cmd's context the end of all that cmd has started. go test leaves
// that to the terminal: a signal to this program alone left the test and its nodes behind.
func endAll(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
}

// follow reads what go test says until it ends: all of it, the tests that passed and
// the last figure that each logged, itself or in a part of it.
func follow(in io.Reader) (said string, passed []string, figures map[string]string) {
	figures = map[string]string{}
	var all strings.Builder
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			all.WriteString(e.Output)
			if m := logLine.FindStringSubmatch(e.Output); m != nil {
				test, _, _ := strings.Cut(e.Test, "/")
				figures[test] = m[1]
			}
			if e.Action == "pass" {
				passed = append(passed, e.Test)
			}
		} else {
			all.WriteString(line) // what the compiler says
		}
		if err != nil {
			return all.String(), passed, figures
		}
	}
}
