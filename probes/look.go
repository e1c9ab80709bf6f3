package probes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/control"
	"github.com/bizra/bizra-top/node/printable"
	"github.com/bizra/bizra-top/node/supervise"
)

// Evaluator evaluates PromQL at one moment. [*History] does over the node's own
// samples; package remote over those of a Prometheus server.
type Evaluator interface {
	Instant(ctx context.Context, expr string, at time.Time) (promql.Vector, error)
}

// RangeEvaluator evaluates PromQL over time, and gives each series to visit, which
// may keep nothing of it.
type RangeEvaluator interface {
	Range(ctx context.Context, expr string, start, end time.Time, step time.Duration, visit func(promql.Series)) error
}

// expressions are all that a look evaluates.
func expressions() []string {
	all := []string{tablesExpr, alertsExpr, upstreamP50, upstreamP95, upstreamP99}
	for _, p := range Panels() {
		all = append(all, p.Expr)
	}
	return all
}

// maxPanelSeries bounds the series of one panel.
const maxPanelSeries = 64

// maxLabel bounds a label's value that is shown.
const maxLabel = 200

// LookAt derives one tick of the screen from metrics alone, as they were at a
// moment: the panels, the tables and the active alerts. parallel bounds how many
// queries are under way at once.
//
// What no metric tells stays empty: the node's name and addresses, reasons and
// texts of errors, hosts, events.
func LookAt(ctx context.Context, e Evaluator, at time.Time, parallel int) (control.Look, error) {
	panels, failed := panelsAt(ctx, e, Panels(), at, parallel)
	if len(failed) > 0 {
		return control.Look{}, errors.Join(failed...)
	}
	l, err := tablesAt(ctx, e, at)
	l.Time, l.Panels = at, panels
	return l, err
}

// panelsAt returns every panel's values at a moment. A panel whose query fails has
// none; the errors are returned beside.
func panelsAt(ctx context.Context, e Evaluator, panels []control.Panel, at time.Time, parallel int) (map[string][]control.Value, []error) {
	var mu sync.Mutex
	var failed []error
	out := make(map[string][]control.Value, len(panels))
	_ = eachPanel(ctx, panels, parallel, func(ctx context.Context, p control.Panel) error {
		v, err := e.Instant(ctx, p.Expr, at)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, fmt.Errorf("panel %s: %w", p.ID, err))
			return nil
		}
		out[p.ID] = panelValues(p, v)
		return nil
	}) // errors are in failed
	return out, failed
}

// eachPanel calls do for every panel, by parallel goroutines; the context ends when
// one fails. They are as few as that because an evaluation needs a deep stack: each
// grows its own but once.
func eachPanel(ctx context.Context, panels []control.Panel, parallel int, do func(context.Context, control.Panel) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g supervise.Group
	var next atomic.Int64
	for range min(max(parallel, 1), len(panels)) {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(panels)); i = next.Add(1) - 1 {
				if err := do(ctx, panels[i]); err != nil {
					cancel()
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// panelValues are the current points of a panel, sorted by their labels.
func panelValues(p control.Panel, v promql.Vector) []control.Value {
	values := make([]control.Value, 0, len(v))
	for _, s := range v[:min(len(v), maxPanelSeries)] {
		n := control.Number(s.F)
		value := control.Value{Value: &n}
		if p.Legend != "" {
			value.Label = printable.Clean(s.Metric.Get(p.Legend), maxLabel)
		}
		values = append(values, value)
	}
	slices.SortFunc(values, func(a, b control.Value) int { return strings.Compare(a.Label, b.Label) })
	return values
}

// HistoryBetween returns every panel's series between two moments, by panel id.
// parallel bounds how many queries are under way at once.
func HistoryBetween(ctx context.Context, e RangeEvaluator, start, end time.Time, step time.Duration, parallel int) (map[string][]control.Series, error) {
	var mu sync.Mutex
	panels := Panels()
	out := make(map[string][]control.Series, len(panels))
	err := eachPanel(ctx, panels, parallel, func(ctx context.Context, p control.Panel) error {
		err := e.Range(ctx, p.Expr, start, end, step, func(s promql.Series) {
			mu.Lock()
			defer mu.Unlock()
			if len(out[p.ID]) >= maxPanelSeries {
				return
			}
			series := control.Series{Points: make([]control.Point, 0, len(s.Floats))}
			if p.Legend != "" {
				series.Label = printable.Clean(s.Metric.Get(p.Legend), maxLabel)
			}
			for _, f := range s.Floats {
				series.Points = append(series.Points, control.Point{T: f.T, V: control.Number(f.F)})
			}
			out[p.ID] = append(out[p.ID], series)
		})
		if err != nil {
			return fmt.Errorf("panel %s: %w", p.ID, err)
		}
		return nil
	})
	return out, err
}
