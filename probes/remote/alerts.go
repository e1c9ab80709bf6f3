package remote

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes"
)

const (
	maxText  = 500
	maxExpr  = 2000
	maxRules = 1000
)

// alerts returns the rules about nodes that the server evaluates, and what is pending
// or firing of them for this node. An alert without the node's label is about some
// node: its rule is evaluated once more for this one. A server without rules, as those
// that only answer queries, leaves the alerts that the metrics tell.
func (n *node) alerts(ctx context.Context, active []control.Alert, at time.Time) ([]control.Alert, error) {
	found, err := n.api.Rules(ctx, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return active, nil
	}
	out := []control.Alert{}
	for _, g := range found.Groups {
		for _, r := range g.Rules {
			rule, ok := r.(v1.AlertingRule)
			if !ok || len(rule.Query) > maxExpr || !aboutNodes(rule.Query) || len(out) >= maxRules {
				continue
			}
			mine, err := n.instances(ctx, rule, at)
			if err != nil {
				return nil, err
			}
			out = append(out, mine...)
		}
	}
	probes.SortAlerts(out)
	return out, nil
}

// aboutNodes says whether an expression looks at metrics of nodes.
func aboutNodes(expr string) bool {
	ast, err := probes.ParseExpr(expr)
	if err != nil {
		return false
	}
	about := false
	parser.Inspect(ast, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok && strings.HasPrefix(s.Name, "bizra_") {
			about = true
		}
		return nil
	})
	return about
}

// instances are a rule's alerts for the node, or the rule at rest.
func (n *node) instances(ctx context.Context, rule v1.AlertingRule, at time.Time) ([]control.Alert, error) {
	var out []control.Alert
	for _, a := range rule.Alerts {
		switch of, labelled := a.Labels[model.LabelName(n.matcher.Name)]; {
		case labelled && string(of) != n.matcher.Value:
			continue
		case !labelled:
			v, err := n.Instant(ctx, rule.Query, at)
			if err != nil {
				return nil, err
			}
			// Of the same subject, if it has one: the other labels of the alert are
			// the rule's.
			if !slices.ContainsFunc(v, func(s promql.Sample) bool { return within(s.Metric, a.Labels) }) {
				continue
			}
		}
		out = append(out, n.active(rule, a))
	}
	if len(out) == 0 {
		out = append(out, atRest(rule))
	}
	return out, nil
}

// within says whether an alert has every label of a sample.
func within(sample labels.Labels, alert model.LabelSet) bool {
	all := true
	sample.Range(func(l labels.Label) {
		all = all && (l.Name == model.MetricNameLabel || string(alert[model.LabelName(l.Name)]) == l.Value)
	})
	return all
}

func atRest(r v1.AlertingRule) control.Alert {
	clean := func(set model.LabelSet, name string) string {
		return printable.Clean(string(set[model.LabelName(name)]), maxText)
	}
	return control.Alert{Name: printable.Clean(r.Name, maxLabel), State: "inactive", Part: clean(r.Labels, "part"), Severity: clean(r.Labels, "severity"),
		Summary: clean(r.Annotations, "description"), WhatToDo: clean(r.Annotations, "what_to_do"), Expr: printable.Clean(r.Query, maxExpr),
		For: model.Duration(math.Min(r.Duration, 1e9) * float64(time.Second)).String(), Since: r.LastEvaluation}
}

func (n *node) active(r v1.AlertingRule, a *v1.Alert) control.Alert {
	out := atRest(r)
	out.State, out.Since = printable.Clean(string(a.State), maxLabel), a.ActiveAt
	if s := a.Annotations["summary"]; s != "" {
		out.Summary = printable.Clean(string(s), maxText)
	}
	if f, err := strconv.ParseFloat(a.Value, 64); err == nil {
		v := control.Number(f)
		out.Value = &v
	}
	out.Labels = map[string]string{}
	for name, value := range a.Labels {
		switch string(name) {
		case model.AlertNameLabel, "part", "severity", n.matcher.Name:
		default:
			out.Labels[printable.Clean(string(name), maxLabel)] = printable.Clean(string(value), maxLabel)
		}
	}
	return out
}
