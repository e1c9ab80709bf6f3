package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/files"
	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/tui"
)

func runRoot(cmd *cobra.Command, o *options) error {
	if err := o.check(); err != nil {
		return fmt.Errorf("%w; %w", err, errUsage)
	}
	ctx := cmd.Context()
	if o.fleet.url != "" {
		return o.showFleet(ctx, cmd.OutOrStdout())
	}
	client := o.client()
	defer client.Close()
	if o.elsewhere() {
		if o.headless {
			return errors.New("--headless runs a node here, --node looks at one elsewhere: they exclude each other")
		}
		return o.show(ctx, cmd.OutOrStdout(), client, tui.Options{})
	}
	if !o.headless {
		if there, err := running(ctx, client); err != nil {
			return err
		} else if there {
			return o.show(ctx, cmd.OutOrStdout(), client, tui.Options{})
		}
	}
	d := declareAll()
	if err := o.load(d, o.config); err != nil {
		return err
	}
	if len(d.node.Upstream.Providers.Get()) == 0 && !o.headless {
		return fmt.Errorf("no node answers on %s, and none can be started here: upstream.providers is empty; "+
			"give a configuration with --config, another node with --socket, or try `bizra-top demo`", o.socketPath())
	}
	dir, err := o.statePath()
	if err != nil {
		return err
	}
	return o.serve(ctx, cmd, d, place{stateDir: dir, socket: o.socketPath(), mode: "node"}, nil)
}

// serve runs a node here: without a screen, for one look, or with the screen on
// it. alongside, which may be nil, runs beside the node until ctx ends.
func (o *options) serve(ctx context.Context, cmd *cobra.Command, d declared, p place, alongside func(ctx context.Context, address string)) error {
	warning, err := prepareState(d, p)
	if err != nil {
		return err
	}
	log, closeLog, err := o.logger(cmd, p)
	if err != nil {
		return err
	}
	defer closeLog()
	if warning != "" {
		log.Warn(warning)
	}
	if o.headless {
		return o.serveHeadless(ctx, cmd, d, p, log, alongside)
	}
	sockets, err := openSockets(d, p, nil)
	if err != nil {
		return err
	}
	s, err := newService(ctx, d, p, log, sockets, nil)
	if err != nil {
		return errors.Join(err, sockets.Close(false))
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	besides := o.beside(ctx, s, alongside)
	served := make(chan error, 1)
	var serving sync.WaitGroup
	defer serving.Wait()
	supervise.Essential(&serving, "node", func() {
		err := s.run(ctx, nil, func(ctx context.Context) { o.watch(s, d, log).run(ctx, nil) })
		served <- errors.Join(err, sockets.Close(false))
	})
	client := control.NewClient(p.socket)
	defer client.Close()
	if o.once {
		settle(ctx, client)
	}
	shown := o.show(ctx, cmd.OutOrStdout(), client, tui.Options{Owner: true})
	stop()
	<-besides
	return errors.Join(shown, <-served)
}

// beside runs what runs beside a node; the channel is closed when it has ended.
func (o *options) beside(ctx context.Context, s *service, alongside func(ctx context.Context, address string)) <-chan struct{} {
	ended := make(chan struct{})
	var running sync.WaitGroup // waited for by the channel
	supervise.Go(&running, "beside the node", func() {
		defer close(ended)
		if alongside != nil {
			alongside(ctx, s.node.Address())
		}
	}, nil)
	return ended
}

// watch returns what watches the configuration of a service.
func (o *options) watch(s *service, d declared, log *slog.Logger) *configFile {
	return &configFile{path: o.config, registry: d.registry, log: log, seen: o.loaded,
		apply: func(batch []settings.Change, mistake error, why string) (err error) {
			s.manager.reloading(func() { err = s.door.Configuration(o.config, batch, mistake, why) })
			return err
		}}
}

// settle waits until the node has something to show, three seconds at most.
func settle(ctx context.Context, client tui.Door) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if look, err := client.Look(ctx, 0); err == nil && len(look.Panels["request_rate"]) > 0 && len(look.Panels["pool_saturation"]) > 0 {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// showFleet draws a node behind a Prometheus server.
func (o *options) showFleet(ctx context.Context, out io.Writer) error {
	door, server, chosen, err := o.fleet.open()
	if err != nil {
		return err
	}
	defer server.Close()
	if !chosen && (o.once || !drawable(out)) {
		if err := o.fleet.onlyNode(ctx, door); err != nil {
			return err
		}
	}
	return o.show(ctx, out, door, tui.Options{Choose: !chosen})
}

// drawable says whether the live screen can be shown on out.
func drawable(out io.Writer) bool {
	f, isFile := out.(*os.File)
	return isFile && term.IsTerminal(f.Fd()) && term.IsTerminal(os.Stdin.Fd()) && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != ""
}

// screenGCPercent is GOGC of a process that is only a screen: it makes little garbage, so
// that collecting twice as often saves a tenth of its memory and costs next to no CPU.
const screenGCPercent = 50

// show draws the node on this terminal, or prints one look where there is none.
func (o *options) show(ctx context.Context, out io.Writer, client tui.Door, how tui.Options) error {
	if o.once {
		return o.printOnce(ctx, out, client)
	}
	if !drawable(out) {
		if how.Owner {
			settle(ctx, client)
		}
		if err := o.printOnce(ctx, out, client); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "bizra-top: this is no terminal that can show the live screen; this was one look (--once). --headless runs a node without a screen.")
		return nil
	}
	how.Theme, how.Themes, how.Panels = o.theme, ownFiles("themes"), o.panels
	how.Bell, how.Desktop, how.Slow = o.bell, o.notify, o.slow
	how.Version = versionText()
	if dir, err := defaultStateDir(); err == nil { // else it is a temporary file of its own
		how.CrashDir = filepath.Join(dir, "crashes")
	}
	if !how.Owner {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(screenGCPercent)
		}
		trimming, stop := context.WithCancel(ctx)
		var trim sync.WaitGroup
		supervise.Go(&trim, "memory of the screen", func() { trimProgram(trimming) }, nil)
		defer trim.Wait()
		defer stop()
	}
	return tui.Run(ctx, client, how)
}

func (o *options) printOnce(ctx context.Context, out io.Writer, client tui.Door) error {
	look, err := client.Look(ctx, 0)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(out, look)
	}
	panels, err := client.Panels(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, tui.Text(look, panels, columns(out)))
	return err
}

// columns is how wide text may be: the terminal's width, or COLUMNS, or 100.
func columns(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if w, _, err := term.GetSize(f.Fd()); err == nil && w > 0 {
			return w
		}
	}
	if w, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && w > 0 {
		return w
	}
	return 100
}

// logger writes to standard error without a screen, and to a file behind one.
func (o *options) logger(cmd *cobra.Command, p place) (*slog.Logger, func(), error) {
	if o.headless {
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)), func() {}, nil
	}
	path := filepath.Join(p.stateDir, "bizra-top.log")
	// One run's log at a time, and the one before: it cannot fill the disk.
	_ = os.Rename(path, path+".1") // there may be none
	f, err := files.OpenState(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	return slog.New(slog.NewTextHandler(f, nil)), func() { _ = f.Close() }, nil
}
