package probes

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
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
	last := m.moment()
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

// moment returns when the present is, in Unix milliseconds: at the newest sample,
// so that panels agree with each other, or, once sampling has stopped, where time
// is, so that the last values are not taken for those of now.
func (m *Sampler) moment() int64 {
	last, now := m.last.Load(), time.Now()
	if now.UnixMilli()-last > max(minLookback, 3*m.settings.SampleEvery.Get()).Milliseconds() {
		return now.Truncate(time.Second).UnixMilli()
	}
	return last
}

// History returns every panel's series over the last span.
func (m *Sampler) History(ctx context.Context, span, step time.Duration) (map[string][]control.Series, error) {
	end := time.UnixMilli(m.moment())
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

// apiAnswer is the envelope of the Prometheus HTTP API.
type apiAnswer struct {
	Status    string `json:"status"`
	Data      any    `json:"data,omitempty"`
	ErrorType string `json:"errorType,omitempty"`
	Error     string `json:"error,omitempty"`
}

// ServeHTTP answers GET /api/v1/query and /api/v1/query_range in the form of the
// Prometheus HTTP API.
func (m *Sampler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := m.query(r)
	answer, status := apiAnswer{Status: "success", Data: data}, http.StatusOK
	if err != nil {
		answer, status = apiAnswer{Status: "error", ErrorType: "bad_data", Error: err.Error()}, http.StatusBadRequest
	}
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that has left cannot be told
}

func (m *Sampler) query(r *http.Request) (any, error) {
	form := r.URL.Query()
	expr := form.Get("query")
	var q promql.Query
	switch r.URL.Path {
	case "/api/v1/query":
		at, err := parseTime(form.Get("time"), time.UnixMilli(m.moment()))
		if err != nil {
			return nil, err
		}
		if q, err = m.history.engine.NewInstantQuery(r.Context(), m.history, nil, expr, at); err != nil {
			return nil, err
		}
	case "/api/v1/query_range":
		end, err := parseTime(form.Get("end"), time.UnixMilli(m.moment()))
		if err != nil {
			return nil, err
		}
		start, err := parseTime(form.Get("start"), end.Add(-15*time.Minute))
		if err != nil {
			return nil, err
		}
		step, err := parseStep(form.Get("step"))
		if err != nil {
			return nil, err
		}
		if end.Before(start) || end.Sub(start)/step > 11000 {
			return nil, fmt.Errorf("the range must go forward and hold at most 11000 steps")
		}
		if q, err = m.history.engine.NewRangeQuery(r.Context(), m.history, nil, expr, start, end, step); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("only /api/v1/query and /api/v1/query_range are served")
	}
	defer q.Close()
	result := q.Exec(r.Context())
	if result.Err != nil {
		return nil, result.Err
	}
	// Encoded before Close, which takes the samples back.
	encoded, err := json.Marshal(result.Value)
	if err != nil {
		return nil, err
	}
	return map[string]any{"resultType": result.Value.Type(), "result": json.RawMessage(encoded)}, nil
}

func parseTime(text string, def time.Time) (time.Time, error) {
	if text == "" {
		return def, nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(seconds) && math.Abs(seconds) < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is neither Unix seconds nor a time such as 2026-01-31T12:00:00Z", text)
}

func parseStep(text string) (time.Duration, error) {
	step, err := time.ParseDuration(text)
	if seconds, ferr := strconv.ParseFloat(text, 64); ferr == nil && seconds < 1e9 {
		step, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || step < time.Millisecond {
		return 0, fmt.Errorf("step must be a duration such as 10s")
	}
	return step, nil
}
