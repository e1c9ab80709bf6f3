// Package alerts evaluates Prometheus rule files over the node's history, with
// Prometheus's own rule manager, and tells which alerts are pending and firing,
// silenced and acknowledged. Package delivery sends them out.
package alerts

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"

	"github.com/bizra/bizra-top/alerts/delivery"
	"github.com/bizra/bizra-top/alerts/silence"
	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/supervise"
	"github.com/bizra/bizra-top/probes"
)

// Options are what an evaluator is made of. All are needed.
type Options struct {
	History  *probes.History
	Metrics  prometheus.Registerer
	Settings Settings
	Silences *silence.Store
	// Send is handed what fires, again every [delivery.ResendEvery], and what was
	// resolved; it must not block.
	Send rules.NotifyFunc
	Log  *slog.Logger
	// Notify is told of every alert that turns pending, fires or resolves, and of
	// rule files that are taken up or refused.
	Notify func(control.Event)
}

// Evaluator runs the rules. All methods may be called from any goroutine.
type Evaluator struct {
	manager  *rules.Manager
	history  *probes.History
	silences *silence.Store
	settings Settings
	every    time.Duration
	notify   func(control.Event)
	parser   parser.Parser
	log      *slog.Logger
	loader   loader
	broken   prometheus.Gauge
	// described is what every rule is at rest, by rule: its words never change, and
	// every screen asks for them each second.
	described sync.Map

	// Of Run alone once it runs.
	loaded  map[string][]byte // the rule files that run
	shipped int               // how many they are without the operator's own; 0 before that is known
	refused string            // what was wrong with newer ones

	mu        sync.Mutex
	began     time.Time        // when Run did
	unwritten bool             // the end of an acknowledgement could not be written
	known     map[string]known // by rule and labels
	resolved  []control.Alert  // newest last
}

// known is an alert that was active when it was last looked at.
type known struct {
	state rules.AlertState
	alert control.Alert
}

// showResolved is for how long an alert that has fired is still listed after it
// was resolved: someone who looks up sees that it is over, and when.
const showResolved = 2 * time.Minute

// maxResolved bounds how many of them there are, whatever rules come and go.
const maxResolved = 100

// lookEvery is how often the rule files are looked at for changes.
const lookEvery = 2 * time.Second

// New loads the shipped rules and the files of the settings; a broken file is
// an error that names it, its line and column. While Run runs, files that change
// are taken up, and broken ones refused.
func New(ctx context.Context, o Options) (*Evaluator, error) {
	engine, queryable, appendable, p := o.History.Storage()
	e := &Evaluator{history: o.History, silences: o.Silences, settings: o.Settings, every: o.Settings.EvaluateEvery.Get(), notify: o.Notify,
		known: map[string]known{}, parser: p, log: o.Log,
		loader: loader{new(atomic.Pointer[ruleFiles]), o.Settings.EvaluateEvery.Get()},
		broken: prometheus.NewGauge(prometheus.GaugeOpts{Name: "bizra_alert_rule_files_refused",
			Help: "1 while the rule files on disk are broken and the rules before them go on."})}
	o.Metrics.MustRegister(e.broken)
	e.manager = rules.NewManager(&rules.ManagerOptions{
		NameValidationScheme: model.UTF8Validation,
		ExternalURL:          &url.URL{},
		QueryFunc:            rules.EngineQueryFunc(engine, queryable),
		NotifyFunc:           e.send(o.Send),
		Context:              ctx,
		Appendable:           appendable,
		Queryable:            queryable,
		Logger:               o.Log,
		OutageTolerance:      time.Hour,
		ForGracePeriod:       10 * time.Second,
		ResendDelay:          delivery.ResendEvery,
		GroupLoader:          e.loader,
		MaxConcurrentEvals:   1,
		Parser:               p,
	})
	if err := e.load(); err != nil {
		return nil, fmt.Errorf("alert rules: %w", err)
	}
	return e, nil
}

// loader hands the rule manager the files that were read last.
type loader struct {
	files *atomic.Pointer[ruleFiles]
	every time.Duration // alerts.evaluate_every
}

func (l loader) Load(name string, ignoreUnknown bool, scheme model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	groups, errs := l.files.Load().Load(name, ignoreUnknown, scheme)
	if groups != nil && !filepath.IsAbs(name) {
		for i := range groups.Groups {
			g := &groups.Groups[i]
			g.Interval = model.Duration(l.interval(time.Duration(g.Interval), slices.ContainsFunc(g.Rules, func(r rulefmt.Rule) bool { return r.Record != "" })))
		}
	}
	return groups, errs
}

// interval is how often a group of a shipped file is evaluated that says how often it is
// to be when alerts.evaluate_every is as usual. What is recorded is read back over a
// minute, and so never comes less often.
func (l loader) interval(usual time.Duration, records bool) time.Duration {
	switch {
	case usual == 0 || records && l.every > usualEvery:
		return usual
	default:
		return time.Duration(float64(usual) * l.every.Seconds() / usualEvery.Seconds())
	}
}

func (l loader) Parse(query string) (parser.Expr, error) { return l.files.Load().Parse(query) }

// Run evaluates until ctx ends.
func (e *Evaluator) Run(ctx context.Context) {
	e.mu.Lock()
	e.began = time.Now()
	e.mu.Unlock()
	var wg sync.WaitGroup
	supervise.Essential(&wg, "alert rules", e.manager.Run)
	tick := time.NewTicker(min(e.every/2, time.Second))
	defer tick.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			e.compare()
		case <-look.C:
			e.reload(ctx)
		}
	}
	e.manager.Stop()
	wg.Wait()
}

// evaluate runs a group where the history's time is. The clock that the manager goes by may
// have been set back, and would look for a while at what has long passed.
func (e *Evaluator) evaluate(ctx context.Context, g *rules.Group, at time.Time) {
	rules.DefaultEvalIterationFunc(ctx, g, at.Add(e.history.Lead()))
}

// send hands alerts on, their times those of the host's clock, which receivers compare with
// theirs.
func (e *Evaluator) send(to rules.NotifyFunc) rules.NotifyFunc {
	return func(ctx context.Context, expr string, alerts ...*rules.Alert) {
		if lead := e.history.Lead(); lead > 0 {
			for _, a := range alerts { // copies, of this call alone
				for _, t := range []*time.Time{&a.ActiveAt, &a.FiredAt, &a.ResolvedAt, &a.ValidUntil} {
					if !t.IsZero() {
						*t = t.Add(-lead)
					}
				}
			}
		}
		to(ctx, expr, alerts...)
	}
}

// compare tells of alerts that have changed state since it last looked.
func (e *Evaluator) compare() {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := map[string]bool{}
	for _, r := range e.manager.AlertingRules() {
		for _, a := range r.ActiveAlerts() {
			key := r.Name() + a.Labels.String()
			seen[key] = true
			if e.known[key].state == a.State || a.State == rules.StateInactive {
				continue
			}
			now := e.active(r, a)
			e.known[key] = known{a.State, now}
			e.resolved = slices.DeleteFunc(e.resolved, func(b control.Alert) bool { return b.Name == now.Name && maps.Equal(b.Labels, now.Labels) })
			severity := "warn"
			if a.State == rules.StateFiring && a.Labels.Get("severity") == "critical" {
				severity = "bad"
			}
			text := a.State.String() + ": " + a.Annotations.Get("summary")
			if now.Silenced != nil {
				severity, text = "info", "silenced, "+text
			}
			e.notify(control.Event{Kind: "alert", Severity: severity, Subject: r.Name(), Text: text})
		}
	}
	over := map[string]bool{}
	for key, k := range e.known {
		if seen[key] {
			continue
		}
		delete(e.known, key)
		over[k.alert.Fingerprint] = true
		k.alert.Fingerprint, k.alert.Silenced, k.alert.Acknowledged = "", nil, nil
		text := "passed before it fired"
		if k.state == rules.StateFiring {
			text = "resolved"
			k.alert.State, k.alert.Since = "resolved", time.Now()
			e.resolved = append(e.resolved, k.alert)
		}
		e.notify(control.Event{Kind: "alert", Severity: "good", Subject: k.alert.Name, Text: text})
	}
	e.resolved = slices.DeleteFunc(e.resolved, func(a control.Alert) bool { return time.Since(a.Since) > showResolved })
	e.resolved = e.resolved[max(0, len(e.resolved)-maxResolved):]
	e.endAcknowledgements(over)
}

// endAcknowledgements ends those of alerts that are over. After a start an alert
// has some time to come back before its acknowledgement is forgotten.
func (e *Evaluator) endAcknowledgements(over map[string]bool) {
	listed := map[string]bool{}
	for _, k := range e.known {
		listed[k.alert.Fingerprint] = true
	}
	starting := time.Since(e.began) < delivery.RestartGrace
	if err := e.silences.Retain(func(f model.Fingerprint) bool {
		return listed[f.String()] || starting && !over[f.String()]
	}); err != nil && !e.unwritten {
		e.log.Error("an acknowledgement of an alert that is over could not be ended", "error", err)
		e.unwritten = true
	} else if err == nil {
		e.unwritten = false
	}
}

var settingKey = regexp.MustCompile(`bizra_setting\{key="(alerts\.[^"]+)"\}`)

// List returns every active alert, firing ones first, then those that were
// resolved a moment ago, then the rules that are inactive.
func (e *Evaluator) List() []control.Alert {
	e.mu.Lock()
	out := slices.Clone(e.resolved)
	e.mu.Unlock()
	for _, r := range e.manager.AlertingRules() {
		quiet := !slices.ContainsFunc(out, func(a control.Alert) bool { return a.Name == r.Name() })
		for _, a := range r.ActiveAlerts() {
			if a.State == rules.StateInactive {
				continue
			}
			out = append(out, e.active(r, a))
			quiet = false
		}
		if quiet {
			out = append(out, e.rule(r))
		}
	}
	probes.SortAlerts(out)
	return out
}

// Groups returns the rules that run, as the rule manager has them.
func (e *Evaluator) Groups() []*rules.Group { return e.manager.RuleGroups() }

// rule describes an alerting rule at rest.
func (e *Evaluator) rule(r *rules.AlertingRule) control.Alert {
	described, ok := e.described.Load(r)
	if !ok {
		described, _ = e.described.LoadOrStore(r, atRest(r))
	}
	out := described.(control.Alert)
	out.Since = r.GetEvaluationTimestamp()
	return out
}

// maxLabel bounds what is told of a name or a label: rule files may be the operator's,
// and label values are what the node measured.
const maxLabel = 200

func atRest(r *rules.AlertingRule) control.Alert {
	out := control.Alert{
		Name: printable.Clean(r.Name(), maxLabel), State: "inactive",
		Part: printable.Clean(r.Labels().Get("part"), maxLabel), Severity: printable.Clean(r.Labels().Get("severity"), maxLabel),
		Summary: printable.Clean(r.Annotations().Get("description"), 200),
		Expr:    r.Query().String(), For: model.Duration(r.HoldDuration()).String(),
		WhatToDo: printable.Clean(r.Annotations().Get("what_to_do"), 500),
	}
	for _, m := range settingKey.FindAllStringSubmatch(out.Expr, -1) {
		if !slices.Contains(out.Thresholds, m[1]) {
			out.Thresholds = append(out.Thresholds, m[1])
		}
	}
	return out
}

// active describes one pending or firing alert of a rule.
func (e *Evaluator) active(r *rules.AlertingRule, a *rules.Alert) control.Alert {
	out, value := e.rule(r), control.Number(a.Value)
	out.State, out.Value, out.Since = a.State.String(), &value, a.ActiveAt
	if a.State == rules.StateFiring {
		out.Since = a.FiredAt
	}
	out.Since = out.Since.Add(-e.history.Lead())
	out.Summary = printable.Clean(a.Annotations.Get("summary"), 200)
	out.Labels = map[string]string{}
	labels.NewBuilder(a.Labels).Del(labels.AlertName, "severity", "part").Labels().Range(func(l labels.Label) {
		out.Labels[printable.Clean(l.Name, maxLabel)] = printable.Clean(l.Value, maxLabel)
	})
	set := delivery.LabelSet(a.Labels)
	out.Fingerprint = set.Fingerprint().String()
	if s, ok := e.silences.Silenced(set); ok {
		out.Silenced = &control.SilencedBy{ID: s.ID, Until: s.EndsAt, Author: s.Author, Comment: s.Comment}
	}
	if a, ok := e.silences.Acknowledged(set); ok {
		out.Acknowledged = &control.Acknowledged{Author: a.Author, Since: a.Since, Comment: a.Comment}
	}
	return out
}
