package promapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
)

// ruleGroup is a group of rules.
type ruleGroup struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

// ruleState is what every rule says of itself.
type ruleState struct {
	Name           string           `json:"name"`
	Query          string           `json:"query"`
	Labels         labels.Labels    `json:"labels"`
	Health         rules.RuleHealth `json:"health"`
	LastError      string           `json:"lastError,omitempty"`
	EvaluationTime float64          `json:"evaluationTime"`
	LastEvaluation time.Time        `json:"lastEvaluation"`
	Type           string           `json:"type"`
}

type alertingRule struct {
	ruleState
	State         string        `json:"state"`
	Duration      float64       `json:"duration"`
	KeepFiringFor float64       `json:"keepFiringFor"`
	Annotations   labels.Labels `json:"annotations"`
	Alerts        []alert       `json:"alerts"`
}

// alert is one pending or firing alert.
type alert struct {
	Labels      labels.Labels `json:"labels"`
	Annotations labels.Labels `json:"annotations"`
	State       string        `json:"state"`
	ActiveAt    time.Time     `json:"activeAt"`
	Value       string        `json:"value"`
}

func alertsOf(r *rules.AlertingRule) []alert {
	out := []alert{}
	for _, a := range r.ActiveAlerts() {
		out = append(out, alert{a.Labels, a.Annotations, a.State.String(), a.ActiveAt, strconv.FormatFloat(a.Value, 'e', -1, 64)})
	}
	return out
}

func (a *API) groups() []*rules.Group {
	if a.source.Rules == nil {
		return nil
	}
	return a.source.Rules()
}

func (a *API) alerts(context.Context, *http.Request) (result, error) {
	out := []alert{}
	for _, g := range a.groups() {
		for _, r := range g.AlertingRules() {
			out = append(out, alertsOf(r)...)
		}
	}
	return result{data: map[string]any{"alerts": out}}, nil
}

func (a *API) rules(_ context.Context, r *http.Request) (result, error) {
	kind := strings.ToLower(r.Form.Get("type"))
	if kind != "" && kind != "alert" && kind != "record" {
		return result{}, badParameter("type", fmt.Errorf("not supported value %q", kind))
	}
	bare := false
	if text := r.Form.Get("exclude_alerts"); text != "" {
		var err error
		if bare, err = strconv.ParseBool(text); err != nil {
			return result{}, badParameter("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	matchers, err := a.matchersOf(r)
	if err != nil {
		return result{}, err
	}
	asked := func(parameter, name string) bool {
		return len(r.Form[parameter]) == 0 || slices.Contains(r.Form[parameter], name)
	}
	out := []ruleGroup{}
	for _, g := range a.groups() {
		if !asked("rule_group[]", g.Name()) || !asked("file[]", g.File()) {
			continue
		}
		group := ruleGroup{Name: g.Name(), File: g.File(), Rules: []any{}, Interval: g.Interval().Seconds(), Limit: g.Limit(),
			EvaluationTime: g.GetEvaluationTime().Seconds(), LastEvaluation: g.GetLastEvaluation()}
		for _, one := range g.Rules(matchers...) {
			if !asked("rule_name[]", one.Name()) {
				continue
			}
			if described := describe(one, kind, bare); described != nil {
				group.Rules = append(group.Rules, described)
			}
		}
		if len(group.Rules) > 0 {
			out = append(out, group)
		}
	}
	return result{data: map[string]any{"groups": out}}, nil
}

// describe returns a rule of the kind that is asked for, or nil.
func describe(one rules.Rule, kind string, bare bool) any {
	state := ruleState{Name: one.Name(), Query: one.Query().String(), Labels: one.Labels(), Health: one.Health(),
		EvaluationTime: one.GetEvaluationDuration().Seconds(), LastEvaluation: one.GetEvaluationTimestamp(), Type: "recording"}
	if err := one.LastError(); err != nil {
		state.LastError = err.Error()
	}
	r, alerting := one.(*rules.AlertingRule)
	switch {
	case alerting && kind != "record":
		state.Type = "alerting"
		out := alertingRule{ruleState: state, State: r.State().String(), Duration: r.HoldDuration().Seconds(),
			KeepFiringFor: r.KeepFiringFor().Seconds(), Annotations: r.Annotations(), Alerts: []alert{}}
		if !bare {
			out.Alerts = alertsOf(r)
		}
		return out
	case !alerting && kind != "alert":
		return state
	}
	return nil
}

// metricMetadata is what is known of a metric.
type metricMetadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// metricTypes are Prometheus's words for the types of metrics.
var metricTypes = map[dto.MetricType]string{
	dto.MetricType_COUNTER: "counter", dto.MetricType_GAUGE: "gauge", dto.MetricType_SUMMARY: "summary",
	dto.MetricType_HISTOGRAM: "histogram", dto.MetricType_GAUGE_HISTOGRAM: "gaugehistogram", dto.MetricType_UNTYPED: "unknown",
}

func (a *API) metadata(_ context.Context, r *http.Request) (result, error) {
	bound := map[string]int{"limit": -1, "limit_per_metric": -1}
	for name := range bound {
		if text := r.Form.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return result{}, badData(fmt.Errorf("%s must be a number", name))
			}
			bound[name] = n
		}
	}
	// What could be gathered is told, whatever could not.
	families, err := a.source.Gatherer.Gather()
	if len(families) == 0 && err != nil {
		return result{}, failed(err)
	}
	out := map[string][]metricMetadata{}
	for _, f := range families {
		if bound["limit"] >= 0 && len(out) >= bound["limit"] {
			break
		}
		if metric := r.Form.Get("metric"); metric == "" || metric == f.GetName() {
			out[f.GetName()] = []metricMetadata{{metricTypes[f.GetType()], f.GetHelp(), f.GetUnit()}}
		}
	}
	return result{data: out}, nil
}
