package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/settings"
)

func (d *fakeDoor) Settings(context.Context) ([]control.Setting, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.settings), d.err
}

func (d *fakeDoor) Change(_ context.Context, r control.ChangeRequest) (control.ChangeResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes = append(d.changes, r)
	if err := d.conflict; err != nil && !r.DryRun {
		d.conflict = nil
		d.revision++
		return control.ChangeResult{}, err
	}
	res := control.ChangeResult{Applied: !r.DryRun, Revision: d.revision}
	for _, c := range r.Changes {
		i := slices.IndexFunc(d.settings, func(s control.Setting) bool { return s.Key == c.Key })
		if i < 0 {
			return res, &control.Problem{Status: 404, Text: "no setting " + c.Key}
		}
		s := &d.settings[i]
		res.Changes = append(res.Changes, control.Changed{Key: c.Key, Old: s.Value, New: c.Value, Risk: s.Risk})
		if c.Key == "pool.limit" && c.Value == "64" {
			return res, errors.New("pool.limit: the server allows 50 connections")
		}
		if c.Key == "pool.limit" {
			res.Warnings = []string{"9 connections are in use now."}
		}
		if !r.DryRun {
			old := s.Value
			s.Value, s.Source = c.Value, "live"
			fmt.Sscan(c.Value, &s.Number)
			d.revision++
			d.events = append(d.events, control.Event{Seq: uint64(len(d.events) + 1), Time: d.now(), Kind: "change", Severity: "info", Subject: c.Key, Text: "changed: " + old + " -> " + c.Value, Actor: "uid 0"})
		}
	}
	if !r.DryRun && r.RevertAfter != "" {
		length, err := time.ParseDuration(r.RevertAfter)
		if err != nil {
			return res, err
		}
		res.ID = uint64(len(d.changes))
		d.trials = append(d.trials, control.Trial{ID: res.ID, Changes: res.Changes, By: "uid 0", Since: d.now(), Deadline: d.now().Add(length), Guard: r.Guard, Reason: r.Reason})
		res.Trial = &d.trials[len(d.trials)-1]
	}
	return res, nil
}

// settle ends a trial as the node does.
func (d *fakeDoor) settle(verb, id string) (control.ChangeResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, verb+" "+id)
	i := slices.IndexFunc(d.trials, func(t control.Trial) bool { return fmt.Sprint(t.ID) == id })
	if i < 0 {
		return control.ChangeResult{}, cmp.Or(d.err, error(&control.Problem{Status: 404, Text: "change " + id + " is not on trial: it was kept, or has gone back"}))
	}
	t := d.trials[i]
	d.trials = slices.Delete(slices.Clone(d.trials), i, i+1)
	return control.ChangeResult{ID: t.ID, Applied: true, Changes: t.Changes}, d.err
}

func (d *fakeDoor) Explain(_ context.Context, key string) ([]settings.Layer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "explain "+key)
	return []settings.Layer{{Source: settings.SourceDefault, Text: "8"}, {Source: settings.SourceFile, Text: "10"}, {Source: settings.SourceLive, Text: "14", Wins: true}}, d.err
}

func (d *fakeDoor) Keep(_ context.Context, id string) (control.ChangeResult, error) {
	return d.settle("keep", id)
}

func (d *fakeDoor) Revert(_ context.Context, id string) (control.ChangeResult, error) {
	return d.settle("revert", id)
}

func (d *fakeDoor) Redo(context.Context) (control.ChangeResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, "redo")
	return control.ChangeResult{Applied: true}, d.err
}

func (d *fakeDoor) Save(_ context.Context, r control.SaveRequest) (control.SaveResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !r.DryRun {
		d.asked = append(d.asked, "save")
	}
	res := control.SaveResult{Saved: !r.DryRun, Path: "/var/lib/bizra-top/overrides.yaml", Differences: []settings.Difference{
		{Key: "pool.limit", New: "12", Base: "8"},
		{Key: "cache.ttl.block", Old: "2d", Base: "1d"},
		{Key: "log.level", Old: "warn", New: "debug", Base: "info", Note: "the flag says otherwise and wins at the next start"}}}
	for _, t := range d.trials {
		res.OnTrial = append(res.OnTrial, t.Changes[0].Key)
	}
	return res, d.err
}

func (d *fakeDoor) Undo(context.Context) (control.ChangeResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undos++
	return control.ChangeResult{Applied: true, Changes: []control.Changed{{Key: "pool.limit", Old: "14", New: "8"}}}, nil
}

func (d *fakeDoor) Actions(context.Context) ([]control.Action, error) {
	all := []string{"database", "redis", "upstream/alpha", "upstream/beta", "upstream/gamma"}
	ups := []string{"alpha", "beta", "gamma"}
	return []control.Action{
		{ID: "breaker.force_open", Title: "Force open", Doc: "The breaker refuses every call until it is reset.", Risk: "high", Targets: all},
		{ID: "breaker.force_close", Title: "Force closed", Doc: "The breaker lets every call through until it is reset.", Risk: "high", Targets: all},
		{ID: "breaker.reset", Title: "Reset", Doc: "The breaker forgets its window and closes.", Risk: "medium", Targets: all},
		{ID: "breaker.metrics_only", Title: "Metrics only", Doc: "The breaker counts and never opens.", Risk: "high", Targets: all},
		{ID: "cache.flush_class", Title: "flush class", Doc: "Forget the entries of one class, in memory and in Redis.", Risk: "medium", Targets: []string{"block", "transaction"}, Word: "flush"},
		{ID: "cache.flush_l1", Title: "Flush L1", Doc: "Drops every entry of the L1 cache.", Risk: "medium", Word: "flush"},
		{ID: "cache.flush_l2", Title: "Flush L2", Doc: "Drops every entry of the L2 cache.", Risk: "high", Word: "flush"},
		{ID: "node.drain", Title: "drain the node", Doc: "Say at /health/ready that no traffic should come, until it is restored.", Risk: "high", Word: "drain"},
		{ID: "node.restore", Title: "restore the node", Doc: "Say at /health/ready again that traffic may come.", Risk: "medium"},
		{ID: "pool.reset", Title: "Reset pool", Doc: "Closes idle connections and opens new ones.", Risk: "medium"},
		{ID: "upstream.drain", Title: "Drain", Doc: "No new calls go to the provider.", Risk: "high", Targets: ups},
		{ID: "upstream.restore", Title: "Restore", Doc: "The provider is asked again.", Risk: "low", Targets: ups},
	}, nil
}

func (d *fakeDoor) Act(_ context.Context, r control.ActionRequest) (control.ActionResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acts = append(d.acts, r)
	next := map[string]string{"breaker.force_open": "forced-open", "breaker.force_close": "forced-closed", "breaker.reset": "closed", "breaker.metrics_only": "metrics-only"}[r.ID]
	if next == "" {
		return control.ActionResult{Applied: !r.DryRun, Old: "15,720 entries", New: "0 entries"}, nil
	}
	old := "closed"
	if s := d.states[r.Target]; s != "" {
		old = s
	}
	if !r.DryRun {
		d.states[r.Target] = next
		d.events = append(d.events, control.Event{Seq: uint64(len(d.events) + 1), Time: d.now(), Kind: "action", Severity: "warn", Subject: r.Target, Text: old + " → " + next, Actor: "uid 0"})
	}
	return control.ActionResult{Applied: !r.DryRun, Old: old, New: next}, nil
}

func (d *fakeDoor) AddSilence(_ context.Context, r control.SilenceRequest) (control.Silence, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return control.Silence{}, d.err
	}
	d.silenced[cmp.Or(r.Fingerprint, fmt.Sprint(r.Matchers))] = r
	return control.Silence{ID: "s1"}, nil
}

func (d *fakeDoor) ExpireSilence(_ context.Context, id string) (control.Silence, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.silenced, strings.TrimPrefix(id, "s-"))
	return control.Silence{ID: id}, d.err
}

func (d *fakeDoor) Acknowledge(_ context.Context, r control.AcknowledgeRequest) (control.Alert, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked[r.Fingerprint] = r.Comment
	return control.Alert{}, d.err
}

func (d *fakeDoor) Withdraw(_ context.Context, fingerprint string) (control.Alert, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.acked, fingerprint)
	return control.Alert{}, d.err
}
