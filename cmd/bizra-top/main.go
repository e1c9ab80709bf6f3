// Command bizra-top runs an EVM validation node and shows it live in the
// terminal, or attaches to one that runs already.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"charm.land/fang/v2"
	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/printable"
)

// version is set by the linker for releases.
var version = ""

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	// A terminal that is gone ends the program as politely as SIGTERM does,
	// unless nohup asked for the opposite.
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	err := fang.Execute(ctx, rootCommand(), fang.WithVersion(versionText()), fang.WithErrorHandler(
		func(w io.Writer, _ fang.Styles, err error) { fmt.Fprintln(w, "bizra-top:", safe(err)) }))
	if err != nil {
		os.Exit(1)
	}
}

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

func rootCommand() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "bizra-top",
		Short: "An EVM validation node, and its live screen",
		Long: `bizra-top shows a validation node live in the terminal. It attaches to the node
that answers on the control socket; when none does it starts one here.

Every setting is also a flag: --pool.limit 12. "bizra-top config init" lists all.`,
		Example: `# everything embedded, nothing needed
bizra-top demo

# a node without a screen, then its screen from another terminal
bizra-top --headless --config /etc/bizra-top.yaml
bizra-top

# one look, for scripts
bizra-top --once --json

# a node that a Prometheus server scrapes
bizra-top --prometheus http://prometheus:9090 --instance 10.0.0.1:3000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRoot(cmd, o) },
	}
	o.registerCommon(root)
	o.registerLook(root)
	o.fleet.register(root)
	root.AddCommand(demoCommand(o), getCommand(o), setCommand(o), configCommand(o), exportCommand(), queryCommand(o))
	return root
}
