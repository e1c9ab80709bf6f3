package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/alerts"
	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/probes"
	"github.com/bizra/bizra-top/probes/promapi"
)

// service is a node with all that looks at it and the door to it.
type service struct {
	node      *node.Node
	history   *probes.History
	sampler   *probes.Sampler
	evaluator *alerts.Evaluator
	door      *control.Server
	queries   *promapi.Server // nil when it is off
	socket    net.Listener
	log       *slog.Logger
}

// place says where a service keeps its things and what it is.
type place struct {
	stateDir, socket, mode string
}

// newService opens everything. After an error nothing stays open. The socket
// comes first: whoever has it is the node of this place.
func newService(ctx context.Context, d declared, p place, log *slog.Logger) (_ *service, err error) {
	s := &service{log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.socket, err = control.Listen(p.socket); err != nil {
		return nil, err
	}
	if s.history, err = probes.OpenHistory(filepath.Join(p.stateDir, "history"), d.history, quiet(log)); err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	s.sampler = probes.NewSampler(s.history, metrics, d.history, log)
	happened := func(e control.Event) {
		s.sampler.Nudge()
		log.Log(context.Background(), level(e.Severity), e.Text, "kind", e.Kind, "subject", e.Subject, "actor", e.Actor)
	}
	// Rules are read before the node is built, so that a broken file stops nothing
	// that runs; their events only come once everything runs.
	if s.evaluator, err = alerts.New(ctx, s.history, metrics, d.alerts, quiet(log), func(e control.Event) { s.node.Events().Add(e) }); err != nil {
		return nil, err
	}
	engine, queryable, _, parser := s.history.Storage()
	queries := promapi.New(promapi.Source{Engine: engine, Queryable: queryable, Parser: parser, Gatherer: metrics,
		Rules: s.evaluator.Groups, Latest: s.sampler.Latest, Parallel: d.queries.MaxQueries.Get()})
	if address := d.queries.Listen.Get(); address != "" {
		if s.queries, err = promapi.Listen(address, queries); err != nil {
			return nil, err
		}
	}
	s.node, err = node.New(ctx, node.Options{Registry: d.registry, Settings: d.node, StateDir: p.stateDir, Socket: p.socket,
		Mode: p.mode, Version: versionText(), Log: log, Metrics: metrics,
		Observer: newObserver(s.history), Happened: happened})
	if err != nil {
		return nil, err
	}
	host := s.node.Host()
	host.Observer, host.Alerts, host.Changed = s.sampler, s.evaluator.List, s.sampler.Nudge
	host.Prometheus = queries
	s.door = control.NewServer(s.socket, host)
	return s, nil
}

// run serves until ctx ends, then drains. The door stays open while the node
// drains, so that a screen can watch it.
func (s *service) run(ctx context.Context) error {
	var wg sync.WaitGroup
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { s.sampler.Run(watch) })
	wg.Go(func() { s.evaluator.Run(watch) })
	wg.Go(func() {
		if err := s.door.Serve(); err != nil {
			s.log.Error("the control socket has stopped answering", "error", err)
		}
	})
	if s.queries != nil {
		s.log.Info("the history answers the Prometheus HTTP API", "address", s.queries.Address())
		wg.Go(func() {
			if err := s.queries.Serve(); err != nil {
				s.log.Error("the Prometheus HTTP API has stopped answering", "error", err)
			}
		})
	}
	err := s.node.Run(ctx)
	err = errors.Join(err, s.door.Close())
	if s.queries != nil {
		err = errors.Join(err, s.queries.Close())
	}
	stop()
	wg.Wait()
	s.close()
	return err
}

// close closes what the service itself opened.
func (s *service) close() {
	if s.history != nil {
		if err := s.history.Close(); err != nil {
			s.log.Error("close the history", "error", err)
		}
	}
	if s.queries != nil {
		_ = s.queries.Close() // closed already after run
	}
	if s.socket != nil {
		_ = s.socket.Close() // closed already after run
	}
}

func level(severity string) slog.Level {
	switch severity {
	case "bad":
		return slog.LevelError
	case "warn":
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// quiet keeps the libraries' own chatter out of the log.
func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(atLeast{log.Handler(), slog.LevelWarn})
}

type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

// running says whether a node answers on the socket.
func running(ctx context.Context, client *control.Client) bool {
	_, err := client.Node(ctx)
	var refusal *control.Problem
	return err == nil || errors.As(err, &refusal)
}

func describe(n control.Node) string {
	return fmt.Sprintf("API on http://%s, control socket %s", n.Listen, n.Socket)
}
