package tui

import (
	"slices"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

// Strings of the node are cleaned here, once, before anything keeps or shows
// them. The node cleans what it takes in as well; the screen does not rely on it.
const (
	nameLength  = 48
	textLength  = 240
	exprLength  = 600
	maxRows     = 500 // of any list of one answer
	maxSettings = 2000
)

func cleanAll(max int, texts ...*string) {
	for _, t := range texts {
		*t = printable.Clean(*t, max)
	}
}

func bounded[T any](list []T, max int) []T { return list[:min(len(list), max)] }

// owned returns at most max of list as a copy: cleaning writes, and what a door
// hands out may be its own.
func owned[T any](list []T, max int) []T { return slices.Clone(bounded(list, max)) }

// cleanLook cleans one tick.
func cleanLook(l control.Look) control.Look {
	n := &l.Node
	cleanAll(nameLength, &n.Name, &n.Version, &n.Mode, &n.Listen, &n.Ledger, &n.L2, &n.Head.Trust)
	cleanAll(textLength, &n.StateDir, &n.Socket, &l.Undoable, &l.Redoable, &l.Pool.LastError)
	cleanAll(nameLength, &l.Pool.Backend, &l.Role)
	l.Trials = owned(l.Trials, maxRows)
	for i := range l.Trials {
		t := &l.Trials[i]
		cleanAll(nameLength, &t.By)
		cleanAll(textLength, &t.Guard, &t.Reason)
		t.Changes = cleanChanges(t.Changes)
	}
	panels := make(map[string][]control.Value, len(l.Panels))
	for id, values := range l.Panels {
		values = owned(values, maxRows)
		for i := range values {
			cleanAll(nameLength, &values[i].Label)
		}
		panels[printable.Clean(id, nameLength)] = values
	}
	l.Panels = panels
	l.Breakers = owned(l.Breakers, maxRows)
	for i := range l.Breakers {
		b := &l.Breakers[i]
		cleanAll(nameLength, &b.Name, &b.Class, &b.State)
		cleanAll(textLength, &b.Reason, &b.LastError)
	}
	l.Upstreams = owned(l.Upstreams, maxRows)
	for i := range l.Upstreams {
		u := &l.Upstreams[i]
		cleanAll(nameLength, &u.Name, &u.Host, &u.Breaker, &u.State)
		cleanAll(textLength, &u.LastError)
		u.Lacks = owned(u.Lacks, maxRows)
		for j := range u.Lacks {
			cleanAll(nameLength, &u.Lacks[j])
		}
	}
	l.Tiers = owned(l.Tiers, maxRows)
	for i := range l.Tiers {
		t := &l.Tiers[i]
		cleanAll(nameLength, &t.Tier, &t.Class, &t.TTL)
	}
	l.Alerts = owned(l.Alerts, maxRows)
	for i := range l.Alerts {
		a := &l.Alerts[i]
		cleanAll(nameLength, &a.Name, &a.Part, &a.State, &a.Severity, &a.For)
		cleanAll(textLength, &a.Summary, &a.WhatToDo)
		cleanAll(exprLength, &a.Expr)
		labels := make(map[string]string, len(a.Labels))
		for k, v := range a.Labels {
			labels[printable.Clean(k, nameLength)] = printable.Clean(v, nameLength)
		}
		a.Labels = labels
		cleanAll(nameLength, &a.Fingerprint)
		if a.Silenced != nil {
			s := *a.Silenced
			cleanAll(nameLength, &s.ID, &s.Author)
			cleanAll(textLength, &s.Comment)
			a.Silenced = &s
		}
		if a.Acknowledged != nil {
			k := *a.Acknowledged
			cleanAll(nameLength, &k.Author)
			cleanAll(textLength, &k.Comment)
			a.Acknowledged = &k
		}
		a.Thresholds = owned(a.Thresholds, maxRows)
		for j := range a.Thresholds {
			cleanAll(nameLength*2, &a.Thresholds[j])
		}
	}
	l.Events = cleanEvents(l.Events)
	return l
}

func cleanChanges(list []control.Changed) []control.Changed {
	list = owned(list, maxRows)
	for i := range list {
		c := &list[i]
		cleanAll(nameLength*2, &c.Key)
		cleanAll(textLength, &c.Old, &c.New)
		cleanAll(nameLength, &c.Risk)
	}
	return list
}

func cleanEvents(events []control.Event) []control.Event {
	events = slices.Clone(events[max(0, len(events)-maxEvents):])
	for i := range events {
		e := &events[i]
		cleanAll(nameLength, &e.Kind, &e.Severity, &e.Subject, &e.Actor)
		cleanAll(textLength, &e.Text)
	}
	return events
}

func cleanSettings(list []control.Setting) []control.Setting {
	list = owned(list, maxSettings)
	for i := range list {
		s := &list[i]
		cleanAll(nameLength*2, &s.Key)
		cleanAll(nameLength, &s.Part, &s.Kind, &s.Unit, &s.Risk, &s.Source)
		cleanAll(textLength, &s.Value, &s.Default, &s.Started, &s.Doc)
		s.Choices = owned(s.Choices, maxRows)
		for j := range s.Choices {
			cleanAll(nameLength, &s.Choices[j])
		}
	}
	return list
}

func cleanActions(list []control.Action) []control.Action {
	list = owned(list, maxRows)
	for i := range list {
		a := &list[i]
		cleanAll(nameLength, &a.ID, &a.Risk, &a.Word)
		cleanAll(textLength, &a.Title, &a.Doc)
		a.Targets = owned(a.Targets, maxRows)
		for j := range a.Targets {
			cleanAll(nameLength, &a.Targets[j])
		}
	}
	return list
}

func cleanPanels(list []control.Panel) map[string]control.Panel {
	out := map[string]control.Panel{}
	for _, p := range owned(list, maxRows) {
		cleanAll(nameLength, &p.ID, &p.Title, &p.Part, &p.Legend)
		cleanAll(textLength, &p.Doc)
		cleanAll(exprLength, &p.Expr)
		out[p.ID] = p
	}
	return out
}

func cleanHistory(past map[string][]control.Series) map[string][]control.Series {
	out := make(map[string][]control.Series, len(past))
	for id, list := range past {
		list = owned(list, maxRows)
		for i := range list {
			cleanAll(nameLength, &list[i].Label)
		}
		out[printable.Clean(id, nameLength)] = list
	}
	return out
}

// cleanError returns an error's text in one safe line.
func cleanError(err error) string {
	switch {
	case err == nil:
		return ""
	case notOffered(err):
		err = control.ErrNotOffered // what an old node says helps nobody here
	}
	return printable.Clean(err.Error(), textLength)
}
