package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/handover"
	"github.com/bizra/bizra-top/node/supervise"
)

// serveHeadless runs a node as a service: SIGHUP reloads its configuration, SIGUSR2
// hands it over to a new process.
func (o *options) serveHeadless(ctx context.Context, cmd *cobra.Command, d declared, p place, log *slog.Logger,
	alongside func(ctx context.Context, address string)) error {
	path, err := program()
	if err != nil {
		return err
	}
	hangups, successions := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(successions, syscall.SIGUSR2)
	defer signal.Stop(hangups)
	defer signal.Stop(successions)
	from, err := handover.Inherit()
	if err != nil {
		return err
	}
	sockets, err := openSockets(d, p, from)
	if err != nil {
		return err
	}
	h := &succession{program: path, sockets: sockets, log: log}
	handedOver := from != nil // until the old process is told it may end
	defer func() {
		if err := sockets.Close(handedOver); err != nil {
			log.Warn("close the sockets", "error", err)
		}
	}()
	var failed error // why this process goes on
	for {
		s, err := newService(ctx, d, p, log, sockets, from)
		if err != nil {
			return err
		}
		if failed != nil {
			s.node.Hold(ctx, h.left.Held)
			s.door.GoOn(failed)
		}
		again, stop := context.WithCancel(ctx)
		besides := o.beside(again, s, alongside)
		var taken error
		err = s.run(again, func() {
			if from != nil {
				if taken = from.Serving(); taken != nil {
					stop()
					return
				}
				handedOver = false
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "bizra-top", versionText(), "is running:", describe(control.Node{Listen: s.node.Address(), Socket: p.socket}))
			s.manager.tell(daemon.SdNotifyReady, s.status())
		}, func(watch context.Context) {
			var wg sync.WaitGroup
			supervise.Loop(watch, &wg, "configuration file", func(ctx context.Context) { o.watch(s, d, log).run(ctx, hangups) })
			supervise.Loop(watch, &wg, "service manager", func(ctx context.Context) { s.manager.watch(ctx, s.live) })
			supervise.Essential(&wg, "handover", func() {
				defer stop()
				h.wait(again, s, successions)
			})
			supervise.Go(&wg, "stopping", func() {
				<-again.Done()
				if ctx.Err() != nil {
					s.manager.tell(daemon.SdNotifyStopping, status("stopping"))
				}
			}, nil)
			wg.Wait()
		})
		stop()
		<-besides
		if h.successor == nil {
			return errors.Join(err, taken)
		}
		if err != nil {
			log.Warn("closed for the handover", "error", err)
		}
		if failed = h.finish(ctx, s.manager); failed == nil {
			handedOver = true
			return nil
		}
		if ctx.Err() != nil {
			return nil // what was asked for has happened: nothing runs
		}
		log.Error("the handover failed, this process goes on", "error", failed)
		from, d = nil, declareAll()
		if err := o.load(d, o.config); err != nil {
			return errors.Join(failed, err)
		}
		if err := d.registry.Inherit(h.left.Live); err != nil {
			log.Warn("live values that do not fit any more", "error", err)
		}
	}
}

// wait waits for SIGUSR2 until ctx ends, or the service is closed for a successor.
func (h *succession) wait(ctx context.Context, s *service, asked <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		if s.node.Host().Node().Mode == "demo" {
			s.door.GoOn(errOnlyHere)
			continue
		}
		if h.prepare(ctx, s) {
			return
		}
	}
}

// live is what the watchdog asks. A node that closes has deadlines of its own.
func (s *service) live(ctx context.Context) error {
	if s.node.Closing() {
		return nil
	}
	return s.alive(ctx)
}

func (s *service) status() string {
	n := s.node.Host().Node()
	return status(fmt.Sprintf("serving chain %d on %s", n.ChainID, n.Listen))
}
