package probes

import (
	"context"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

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
	now, failed := panelsAt(ctx, m.history, m.panels, time.UnixMilli(last), 1)
	for _, err := range failed {
		m.log.Debug("panel has no values", "error", err)
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
		return now.UnixMilli()
	}
	return last
}

// History returns every panel's series over the last span.
func (m *Sampler) History(ctx context.Context, span, step time.Duration) (map[string][]control.Series, error) {
	end := time.UnixMilli(m.moment())
	// Steps stand at whole multiples, so that two looks a moment apart agree.
	start := end.Add(-span).Truncate(step)
	return HistoryBetween(ctx, m.history, start, end, step, 1)
}

func labelFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Latest returns when the present is: when the newest sample was taken, unless
// sampling has stopped.
func (m *Sampler) Latest() time.Time { return time.UnixMilli(m.moment()) }
