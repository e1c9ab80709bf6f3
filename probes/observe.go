package probes

import (
	"context"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/bizra/bizra-top/node/control"
)

// Panels returns the panel catalogue.
func (m *Sampler) Panels() []control.Panel { return m.panels }

// Now returns every panel's current values, evaluated once a sample however many
// ask, and no more often than a twelfth of the span that the panel looks back over: a
// quantile of 30 s moves little in one. A panel whose query fails has no values.
func (m *Sampler) Now(ctx context.Context) map[string][]control.Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.moment()
	if m.nowFor == last {
		return m.now
	}
	var due []control.Panel
	for _, p := range m.panels {
		if last-m.evaluated[p.ID] >= m.every[p.ID].Milliseconds() {
			due = append(due, p)
		}
	}
	fresh, failed := panelsAt(ctx, m.sharing(), due, time.UnixMilli(last), 1)
	for _, err := range failed {
		m.log.Debug("panel has no values", "error", err)
	}
	now := maps.Clone(m.now) // the one before has been handed out
	for _, p := range due {
		delete(now, p.ID)
	}
	maps.Copy(now, fresh)
	if ctx.Err() == nil { // what a caller that left cut short is not kept
		m.now, m.nowFor = now, last
		for _, p := range due {
			m.evaluated[p.ID] = last
		}
	}
	return now
}

// worthEvery returns how often a panel's expression is worth evaluating: 0 is at every
// sample.
func worthEvery(p parser.Parser, expr string) time.Duration {
	ast, err := p.ParseExpr(expr)
	if err != nil {
		return 0 // who evaluates it is told
	}
	shortest := time.Duration(math.MaxInt64)
	parser.Inspect(ast, func(node parser.Node, path []parser.Node) error {
		if _, ok := node.(*parser.VectorSelector); ok {
			looksBack := time.Duration(0)
			if len(path) > 0 {
				if m, ok := path[len(path)-1].(*parser.MatrixSelector); ok {
					looksBack = m.Range
				}
			}
			shortest = min(shortest, looksBack)
		}
		return nil
	})
	return shortest / 12
}

func (m *Sampler) sharing() *sharing {
	return &sharing{m.history, m.shared, map[string]promql.Vector{}, map[string][]promql.Series{}}
}

// moment returns when the present is, in Unix milliseconds: at the newest sample,
// so that panels agree with each other, or, once sampling has stopped, where time
// is, so that the last values are not taken for those of now.
func (m *Sampler) moment() int64 {
	last, now := m.last.Load(), m.history.Present()
	if now.UnixMilli()-last > max(minLookback, 3*m.settings.SampleEvery.Get()).Milliseconds() {
		return now.UnixMilli()
	}
	return last
}

// History returns every panel's series over the last span.
func (m *Sampler) History(ctx context.Context, span, step time.Duration) (map[string][]control.Series, error) {
	end := time.UnixMilli(m.moment())
	// Steps stand at whole multiples, so that two looks a moment apart agree.
	start := end.Add(-span).Truncate(step)
	return HistoryBetween(ctx, m.sharing(), start, end, step, 1)
}

// LookAt derives one tick from what was measured, as it was at a moment.
func (m *Sampler) LookAt(ctx context.Context, at time.Time) (control.Look, error) {
	return LookAt(ctx, m.sharing(), at, 1)
}

// HistoryUntil returns every panel's series over a span that ends at a moment.
func (m *Sampler) HistoryUntil(ctx context.Context, end time.Time, span, step time.Duration) (map[string][]control.Series, error) {
	return HistoryBetween(ctx, m.sharing(), end.Add(-span).Truncate(step), end, step, 1)
}

// Comparison returns what the condition of a rule compares, over a span that ends at a
// moment.
func (m *Sampler) Comparison(ctx context.Context, condition string, end time.Time, span, step time.Duration) (control.Comparison, error) {
	return ComparisonBetween(ctx, m.history, condition, end.Add(-span).Truncate(step), end, step)
}

// SettingsAt returns the numbers of the settings in force at a moment, by key.
func (m *Sampler) SettingsAt(ctx context.Context, at time.Time) (map[string]float64, error) {
	return SettingsAt(ctx, m.history, at)
}

func labelFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Latest returns when the present is: when the newest sample was taken, unless
// sampling has stopped.
func (m *Sampler) Latest() time.Time { return time.UnixMilli(m.moment()) }
