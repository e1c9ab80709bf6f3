package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bizra/bizra-top/alerts"
	"github.com/bizra/bizra-top/alerts/delivery"
	"github.com/bizra/bizra-top/alerts/silence"
	"github.com/bizra/bizra-top/node"
	"github.com/bizra/bizra-top/node/audit"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/handover"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/probes"
	"github.com/bizra/bizra-top/probes/drill"
	"github.com/bizra/bizra-top/probes/promapi"
)

// service is a node with all that looks at it and the door to it.
type service struct {
	node      *node.Node
	history   *probes.History
	sampler   *probes.Sampler
	evaluator *alerts.Evaluator
	delivery  *delivery.Dispatcher
	door      *control.Server
	trail     *audit.Log
	drill     *drill.Runner
	queries   *promapi.Server // nil when it is off
	log       *slog.Logger
	manager   *manager
	fleet     net.Listener // nil unless the door is open over TCP
	certs     *control.Certificates
	alive     func(context.Context) error // asks the API whether it answers
	state     *stateWatch
}

// place says where a service keeps its things and what it is.
type place struct {
	stateDir, socket, mode string
	// faults lists what can be made to fail; nil where nothing may.
	faults func(*node.Node) []drill.Fault
}

// newService opens everything. After an error nothing stays open but the sockets. A
// process that takes over from another first prepares what both may have, then waits
// for the rest.
func newService(ctx context.Context, d declared, p place, log *slog.Logger, sockets *handover.Sockets, from *handover.Predecessor) (_ *service, err error) {
	s := &service{log: log, manager: &manager{log: log}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	groups, err := d.access.Groups()
	if err != nil {
		return nil, err
	}
	if d.access.Fleet.Listen.Get() != "" {
		if s.certs, err = d.access.Fleet.Certificates(func(err error) {
			s.tell("node", "bad", "control.tls", "the certificates before go on: "+err.Error())
		}); err != nil {
			return nil, err
		}
	}
	metrics := prometheus.NewRegistry()
	var sampler atomic.Pointer[probes.Sampler] // nil until it is there
	happened := func(e control.Event) {
		if there := sampler.Load(); there != nil {
			there.Nudge()
		}
		log.Log(context.Background(), level(e.Severity), e.Text, "kind", e.Kind, "subject", e.Subject, "actor", e.Actor)
	}
	built, err := node.New(ctx, node.Options{Registry: d.registry, Settings: d.node, StateDir: p.stateDir, Socket: p.socket,
		Mode: p.mode, Version: versionText(), Log: log, Metrics: metrics, Happened: happened})
	if err != nil {
		return nil, err
	}
	unopened := built
	defer func() {
		if err != nil && unopened != nil {
			unopened.Close()
		}
	}()
	var before past
	var adopted []net.Conn
	if from != nil {
		if adopted, err = from.Ready(ctx, &before); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				for _, c := range adopted {
					_ = c.Close() // the first error is the one that matters
				}
			}
		}()
	}
	tell := built.Events().Add
	for _, u := range d.registry.Unknown() {
		tell(control.Event{Kind: "node", Severity: "warn", Subject: "overrides", Text: unknownText(overridesPath(p.stateDir), u)})
	}
	if err := d.registry.Inherit(before.Live); err != nil {
		tell(control.Event{Kind: "node", Severity: "warn", Subject: "handover", Text: "live values that do not fit any more: " + err.Error()})
	}
	if s.trail, err = audit.Open(auditPath(p.stateDir), func(severity, text string) {
		tell(control.Event{Kind: "node", Severity: severity, Subject: "audit", Text: text})
	}); err != nil {
		return nil, err
	}
	metrics.MustRegister(s.trail)
	if s.history, err = probes.OpenHistory(filepath.Join(p.stateDir, "history"), d.history, quiet(log)); err != nil {
		return nil, err
	}
	s.state = &stateWatch{service: s, place: p, groups: groups, keep: map[string]func() error{"audit trail": s.trail.Check}}
	s.sampler = probes.NewSampler(s.history, metrics, d.history, log)
	sampler.Store(s.sampler)
	silences, err := silence.Open(filepath.Join(p.stateDir, "alerts", "silences.json"), log)
	if err != nil {
		return nil, err
	}
	if err := silences.Damage(); err != nil {
		tell(control.Event{Kind: "alert", Severity: "bad", Subject: "silences", Text: err.Error()})
	}
	metrics.MustRegister(silences)
	s.delivery, err = delivery.Open(delivery.Options{Path: filepath.Join(p.stateDir, "alerts", "queue.json"), Settings: d.alerts.Delivery,
		Silences: silences, Metrics: metrics, Log: log, Notify: tell,
		Node: func() (string, string) { n := s.node.Host().Node(); return n.Name, n.Listen }})
	if err != nil {
		return nil, err
	}
	s.state.keep["silences"], s.state.keep["queue of alerts"] = silences.Keep, s.delivery.Keep
	// Rules are read before the node is opened, so that a broken file stops nothing
	// that runs.
	if s.evaluator, err = alerts.New(ctx, alerts.Options{History: s.history, Metrics: metrics, Settings: d.alerts,
		Silences: silences, Send: s.delivery.Send, Log: quiet(log), Notify: tell}); err != nil {
		return nil, err
	}
	engine, queryable, _, parser := s.history.Storage()
	queries := promapi.New(promapi.Source{Engine: engine, Queryable: queryable, Parser: parser, Gatherer: metrics,
		Rules: s.evaluator.Groups, Latest: s.sampler.Latest, Parallel: d.queries.MaxQueries.Get()})
	if address := d.queries.Listen.Get(); address != "" {
		if s.queries, err = promapi.Listen(address, queries); err != nil {
			return nil, err
		}
		metrics.MustRegister(s.queries.Collectors()...)
	}
	door, err := sockets.Listen(socketControl)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = door.Close() // nobody was served on it
		}
	}()
	if s.fleet, err = listenFleet(sockets, d.access.Fleet); err != nil {
		return nil, err
	}
	listener, err := listenAPI(sockets, d.node.API)
	if err != nil {
		return nil, err
	}
	unopened = nil // Open closes it after an error
	if err := built.Open(ctx, node.Opening{Observer: newObserver(s.history), Listener: listener, Adopted: adopted, Health: s.health}); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s.node, s.alive = built, liveAt(built.Listens())
	s.node.Hold(ctx, before.Held)
	host := s.node.Host()
	host.Observer, host.Alerts, host.Silencer, host.Changed = s.sampler, s.evaluator.List, s.evaluator, s.sampler.Nudge
	host.Audit, host.Overrides, host.Groups, host.Condition = s.trail, overridesPath(p.stateDir), groups, s.condition
	warn := host.Warn
	host.Warn = func(ctx context.Context, c control.Changed) []string {
		out := append(warn(ctx, c), s.history.Foresee(ctx, c)...)
		if setting, err := d.registry.Get(c.Key); err == nil {
			out = append(out, s.evaluator.Foresee(ctx, setting, c.New)...)
		}
		return out
	}
	host.Prometheus = queries
	s.drill = newDrill(s, p)
	host.Driller = s.drill
	s.door = control.NewServer(door, host)
	if from != nil {
		tell(control.Event{Kind: "node", Severity: "good", Subject: "handover", Text: before.text(len(adopted))})
	}
	return s, nil
}

// newDrill returns what practises on the node.
func newDrill(s *service, p place) *drill.Runner {
	o := drill.Options{Address: s.node.Address(), Demo: p.mode == "demo", Without: "this node is no demo: nothing of it is made to fail",
		Notify: func(severity, subject, text string) { s.tell("drill", severity, subject, text) }}
	if p.faults != nil {
		o.Faults, o.Without = p.faults(s.node), demoFaultsWithout
	}
	return drill.New(o)
}

func (s *service) tell(kind, severity, subject, text string) {
	s.node.Events().Add(control.Event{Kind: kind, Severity: severity, Subject: subject, Text: text})
}

// run serves until ctx ends, then drains. The door stays open while the node
// drains, so that a screen can watch it. serving, which may be nil, is called when it
// serves; beside runs until the node has ended.
func (s *service) run(ctx context.Context, serving func(), beside func(ctx context.Context)) error {
	var wg sync.WaitGroup
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	told := func(severity, text string) { s.tell("history", severity, "history", text) }
	supervise.Loop(watch, &wg, "history", func(ctx context.Context) { s.history.Run(ctx, told) })
	supervise.Loop(watch, &wg, "sampler", func(ctx context.Context) { s.sampler.Run(ctx, told) })
	supervise.Loop(watch, &wg, "alerts", s.evaluator.Run)
	supervise.Loop(watch, &wg, "delivery of alerts", s.delivery.Run)
	supervise.Loop(watch, &wg, "watch of the state folder", s.state.run)
	supervise.Essential(&wg, "control socket", func() {
		if err := s.door.Serve(); err != nil {
			s.log.Error("the control socket has stopped answering", "error", err)
		}
	})
	if s.queries != nil {
		s.log.Info("the history answers the Prometheus HTTP API", "address", s.queries.Address())
		supervise.Essential(&wg, "Prometheus HTTP API", func() {
			if err := s.queries.Serve(); err != nil {
				s.log.Error("the Prometheus HTTP API has stopped answering", "error", err)
			}
		})
	}
	if s.fleet != nil {
		supervise.Essential(&wg, "control socket over TLS", func() {
			if err := s.door.ServeFleet(s.fleet, s.certs); err != nil {
				s.log.Error("the control door has stopped answering over TLS", "error", err)
			}
		})
	}
	supervise.Go(&wg, "beside the node", func() { beside(watch) }, nil)
	practising, end := context.WithCancel(ctx)
	supervise.Go(&wg, "end of drills", func() {
		<-practising.Done()
		s.drill.Close() // while the node drains, which would wait for a load
	}, nil)
	err := s.node.Run(ctx, serving)
	end()
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
	if s.drill != nil {
		s.drill.Close()
	}
	if s.history != nil {
		if err := s.history.Close(); err != nil {
			s.log.Error("close the history", "error", err)
		}
	}
	if s.trail != nil {
		if err := s.trail.Close(); err != nil {
			s.log.Error("close the audit trail", "error", err)
		}
	}
	if s.queries != nil {
		_ = s.queries.Close() // closed already after run
	}
	if s.fleet != nil {
		_ = s.fleet.Close() // closed already after run
	}
}

// condition says whether a guard holds: an alert of that name fires or, where no
// rule has the name, the PromQL expression has a result.
func (s *service) condition(ctx context.Context, guard string) (bool, error) {
	if firing, known := s.evaluator.Firing(guard); known {
		return firing, nil
	}
	result, err := s.history.Instant(ctx, guard, s.history.Present())
	return len(result) > 0, err
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

// running says whether a node is there on the socket; the error says why that cannot be
// told, or why it cannot be used.
func running(ctx context.Context, client *control.Client) (bool, error) {
	_, err := client.Node(ctx)
	var refusal *control.Problem
	switch {
	case err == nil, errors.As(err, &refusal):
		return true, nil
	case control.Absent(err):
		return false, nil
	}
	return false, err
}

func describe(n control.Node) string {
	return fmt.Sprintf("API on http://%s, control socket %s", n.Listen, n.Socket)
}
