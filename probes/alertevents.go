package probes

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
)

const (
	// alertSteps is in how many steps the history of alerts is read.
	alertSteps = 1440
	// maxAlertEvents bounds what one reading of it returns.
	maxAlertEvents = 500
)

// AlertsBetween returns when alerts began to fire and were resolved between two
// moments, as exactly as a 1,440th of the span, and how far back the history goes
// within it.
func (m *Sampler) AlertsBetween(ctx context.Context, from, to time.Time) (list []control.Event, since time.Time, err error) {
	step := max(to.Sub(from)/alertSteps, time.Second).Round(time.Second)
	from = from.Truncate(step)
	since = to
	err = m.history.Range(ctx, "bizra_node_info", from, to, 10*step, func(s promql.Series) {
		if len(s.Floats) > 0 && time.UnixMilli(s.Floats[0].T).Before(since) {
			since = time.UnixMilli(s.Floats[0].T)
		}
	})
	if err != nil {
		return nil, since, err
	}
	err = m.history.Range(ctx, `ALERTS{alertstate="firing"}`, from, to, step, func(s promql.Series) {
		list = append(list, firings(s, from, to, step)...)
	})
	slices.SortStableFunc(list, func(a, b control.Event) int { return a.Time.Compare(b.Time) })
	return list[max(0, len(list)-maxAlertEvents):], since, err
}

// firings are the beginnings and ends of one alert. One that fires already when the span
// begins began before it, and one that fires when it ends has not ended.
func firings(s promql.Series, from, to time.Time, step time.Duration) (out []control.Event) {
	name := printable.Clean(s.Metric.Get(model.AlertNameLabel), maxLabel)
	severity := "warn"
	if s.Metric.Get("severity") == "critical" {
		severity = "bad"
	}
	var which []string
	s.Metric.Range(func(l labels.Label) {
		if !slices.Contains([]string{model.MetricNameLabel, model.AlertNameLabel, "alertstate", "severity", "part"}, l.Name) {
			which = append(which, printable.Clean(l.Name, maxLabel)+"="+printable.Clean(l.Value, maxLabel))
		}
	})
	add := func(at time.Time, severity, text string) {
		out = append(out, control.Event{Time: at, Kind: "alert", Severity: severity, Subject: name,
			Text: strings.TrimSpace(text + " " + strings.Join(which, " "))})
	}
	last := time.Time{}
	for _, p := range s.Floats {
		at := time.UnixMilli(p.T)
		if last.IsZero() && at.Sub(from) >= step || !last.IsZero() && at.Sub(last) > step {
			if !last.IsZero() {
				add(last.Add(step), "good", "resolved")
			}
			add(at, severity, "firing")
		}
		last = at
	}
	if !last.IsZero() && to.Sub(last) > step {
		add(last.Add(step), "good", "resolved")
	}
	return out
}
