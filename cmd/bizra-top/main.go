// Command bizra-top runs an EVM validation node and shows it live in the
// terminal, or attaches to one that runs already.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace/noop"

	_ "github.com/bizra/bizra-top/cmd/bizra-top/addressspace" // a sentence in place of a dump
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

// version is set by the linker for releases.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Nobody takes the traces of the PromQL engine, whose spans are a sixth of what a
	// node at rest allocates.
	otel.SetTracerProvider(noop.NewTracerProvider())
	root, check := rootCommand()
	ran := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		ran = true
		// A terminal that is gone ends the program as politely as SIGTERM does, unless
		// nohup asked for the opposite. A node without a screen reloads instead.
		if headless, err := cmd.Flags().GetBool("headless"); (err != nil || !headless) && !signal.Ignored(syscall.SIGHUP) {
			ctx, _ := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // until the program ends
			cmd.SetContext(ctx)
		}
		return check(cmd)
	}
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bizra-top:", safe(err))
	}
	os.Exit(exitCode(err, ran))
}

// The exit codes, which the help of every command lists.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitRefused
	exitConflict
	exitNoAnswer
	exitMissed
)

// exitCode returns what a script can tell failures apart by. ran says whether the
// command line was understood.
func exitCode(err error, ran bool) int {
	var refusal *control.Problem
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &refusal) && refusal.Status == http.StatusConflict:
		return exitConflict
	case errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError:
		return exitRefused
	case errors.Is(err, control.ErrNoAnswer):
		return exitNoAnswer
	case errors.Is(err, errMissed):
		return exitMissed
	case !ran, errors.Is(err, errUsage):
		return exitUsage
	}
	return exitFailed
}

// errUsage says that the command line is wrong in a way that only its command sees.
var errUsage = errors.New("see --help")

const exitCodes = `Exit codes: 0 done; 1 failed; 2 the command line is wrong; 3 the node refused; 4 it
is another operator's change, or something else that has changed meanwhile; 5 no
node answers; 6 an objective of load, or a promise of bench, was missed.`

// maxErrorLine bounds one line of an error that is printed.
const maxErrorLine = 1000

// safe makes an error fit for a terminal: it may quote a file or a node's answer.
// Its lines stay lines.
func safe(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, l := range lines {
		lines[i] = printable.Clean(l, maxErrorLine)
	}
	return strings.Join(lines, "\n")
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// rootCommand returns the command line, and what is to be checked before a command runs.
func rootCommand() (root *cobra.Command, check func(*cobra.Command) error) {
	o := &options{}
	root = &cobra.Command{
		Use:   "bizra-top",
		Short: "An EVM validation node, and its live screen",
		Long: `bizra-top shows a validation node live in the terminal. It attaches to the node
that answers on the control socket; when none does it starts one here.

Every setting is also a flag: --pool.limit 12. "bizra-top config init" lists all.

` + exitCodes,
		Example: `# everything embedded, nothing needed
bizra-top demo

# a node without a screen, then its screen from another terminal
bizra-top --headless --config /etc/bizra-top.yaml
bizra-top

# one look, for scripts
bizra-top --once --json

# a node that a Prometheus server scrapes
bizra-top --prometheus http://prometheus:9090 --instance 10.0.0.1:3000`,
		Args:          cobra.NoArgs,
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return runRoot(cmd, o) },
	}
	root.SetHelpFunc(help)
	o.registerCommon(root)
	o.registerLook(root)
	o.fleet.register(root)
	root.AddCommand(demoCommand(o), getCommand(o), setCommand(o), confirmCommand(o), revertCommand(o), undoCommand(o), redoCommand(o),
		saveCommand(o), explainCommand(o), actionsCommand(o), actCommand(o), auditCommand(o), alertsCommand(o), ackCommand(o), silenceCommand(o),
		configCommand(o), exportCommand(), queryCommand(o), loadCommand(o), benchCommand(o), manCommand())
	strict(root)
	return root, o.checkState
}
