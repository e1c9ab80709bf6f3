package remote

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/probes"
)

// measuredNode returns the node once the interval of its scrapes is known. The lock is
// held.
func (d *Door) measuredNode(ctx context.Context) (*node, error) {
	n, err := d.node()
	if err != nil {
		return nil, err
	}
	return n, n.measure(ctx)
}

// LookAt derives one tick from what the server has, as it was at a moment.
func (d *Door) LookAt(ctx context.Context, at time.Time) (control.Look, error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	n, err := d.measuredNode(ctx)
	if err != nil {
		return control.Look{}, err
	}
	l, err := probes.LookAt(ctx, n, at, parallel)
	l.Node.Name = printable.Clean(n.matcher.Value, maxLabel)
	return l, err
}

// HistoryUntil returns every panel's series over a span that ends at a moment.
func (d *Door) HistoryUntil(ctx context.Context, end time.Time, span, step time.Duration) (map[string][]control.Series, error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	n, err := d.measuredNode(ctx)
	if err != nil {
		return nil, err
	}
	return probes.HistoryBetween(ctx, n, end.Add(-span).Truncate(step), end, step, parallel)
}

// Comparison returns both sides of an alert's condition over a span that ends at a
// moment.
func (d *Door) Comparison(ctx context.Context, alert string, end time.Time, span, step time.Duration) (control.Comparison, error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	n, err := d.measuredNode(ctx)
	if err != nil {
		return control.Comparison{}, err
	}
	for _, a := range n.look.Alerts {
		if a.Name == alert {
			return probes.ComparisonBetween(ctx, n, a.Expr, end.Add(-span).Truncate(step), end, step)
		}
	}
	return control.Comparison{}, fmt.Errorf("the Prometheus at %s has no rule %s", n.Name(), printable.Clean(alert, maxLabel))
}

// SettingsAt returns the settings with a number, as they were at a moment.
func (d *Door) SettingsAt(ctx context.Context, at time.Time) ([]control.Setting, error) {
	return d.settingsAt(ctx, at)
}

// Evaluate returns the series of a PromQL expression over the samples of the node,
// between two moments.
func (d *Door) Evaluate(ctx context.Context, expr string, start, end time.Time, step time.Duration) ([]control.Labelled, error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	n, err := d.measuredNode(ctx)
	if err != nil {
		return nil, err
	}
	var out []control.Labelled
	err = n.Range(ctx, expr, start, end, step, func(s promql.Series) {
		one := control.Labelled{Labels: s.Metric.Map()}
		for _, f := range s.Floats {
			one.Points = append(one.Points, control.Point{T: f.T, V: control.Number(f.F)})
		}
		out = append(out, one)
	})
	return out, err
}
