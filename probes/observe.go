package probes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/control"
)

// maxPanelSeries bounds the series of one panel.
const maxPanelSeries = 64

// Panels returns the panel catalogue.
func (m *Sampler) Panels() []control.Panel { return m.panels }

// Now returns every panel's current values, evaluated once a sample however many
// ask. A panel whose query fails has no values.
func (m *Sampler) Now(ctx context.Context) map[string][]control.Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.last.Load()
	if m.nowFor == last {
		return m.now
	}
	now := make(map[string][]control.Value, len(m.panels))
	for _, p := range m.panels {
		v, err := m.history.Instant(ctx, p.Expr, time.UnixMilli(last))
		if err != nil {
			m.log.Debug("panel has no values", "panel", p.ID, "error", err)
			continue
		}
		values := make([]control.Value, 0, len(v))
		for _, s := range v[:min(len(v), maxPanelSeries)] {
			n := control.Number(s.F)
			value := control.Value{Value: &n}
			if p.Legend != "" {
				value.Label = s.Metric.Get(p.Legend)
			}
			values = append(values, value)
		}
		slices.SortFunc(values, func(a, b control.Value) int { return strings.Compare(a.Label, b.Label) })
		now[p.ID] = values
	}
	if ctx.Err() == nil { // what a caller that left cut short is not kept
		m.now, m.nowFor = now, last
	}
	return now
}

// History returns every panel's series over the last span.
func (m *Sampler) History(ctx context.Context, span, step time.Duration) (map[string][]control.Series, error) {
	end := time.UnixMilli(m.last.Load())
	// Steps stand at whole multiples, so that two looks a moment apart agree.
	start := end.Add(-span).Truncate(step)
	out := make(map[string][]control.Series, len(m.panels))
	for _, p := range m.panels {
		err := m.history.Range(ctx, p.Expr, start, end, step, func(s promql.Series) {
			if len(out[p.ID]) >= maxPanelSeries {
				return
			}
			series := control.Series{Points: make([]control.Point, 0, len(s.Floats))}
			if p.Legend != "" {
				series.Label = s.Metric.Get(p.Legend)
			}
			for _, f := range s.Floats {
				series.Points = append(series.Points, control.Point{T: f.T, V: control.Number(f.F)})
			}
			out[p.ID] = append(out[p.ID], series)
		})
		if err != nil {
			return nil, fmt.Errorf("panel %s: %w", p.ID, err)
		}
	}
	return out, nil
}

func labelFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Latest returns when the newest sample was taken; the Unix epoch before the first.
func (m *Sampler) Latest() time.Time { return time.UnixMilli(m.last.Load()) }
