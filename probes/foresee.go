package probes

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/bizra/bizra-top/node/control"
)

const (
	// foreseeSpan is the past that a new value is tried on, and foreseeStep how
	// closely.
	foreseeSpan = time.Hour
	foreseeStep = 5 * time.Second
)

// ratioOf matches the settings whose past can be asked: the share of failed or of
// slow calls that opens the breakers of a class.
var ratioOf = regexp.MustCompile(`^breaker\.(\w+)\.(failure|slow)_ratio$`)

// Foresee says what a change would have done in the last hour.
func (h *History) Foresee(ctx context.Context, c control.Changed) []string {
	m := ratioOf.FindStringSubmatch(c.Key)
	ratio, err := strconv.ParseFloat(c.New, 64)
	if m == nil || err != nil {
		return nil
	}
	expr := fmt.Sprintf(`bizra_circuit_breaker_%s_ratio{class=%q} >= %g and bizra_circuit_breaker_window_calls >= on () group_left () max(bizra_setting{key="breaker.%s.minimum_calls"})`,
		m[2], m[1], ratio, m[1])
	times, err := h.Episodes(ctx, expr, 0)
	if err != nil || times == 0 {
		return nil // a warning that cannot be had stops no change
	}
	return []string{fmt.Sprintf("history says that %s would have tripped a breaker %s in the last hour", c.New, Times(times))}
}

// Episodes counts how often an expression began to have a result in the last hour,
// and had one for at least a time. Each series counts for itself.
func (h *History) Episodes(ctx context.Context, expr string, atLeast time.Duration) (count int, err error) {
	end := h.Present()
	err = h.Range(ctx, expr, end.Add(-foreseeSpan), end, foreseeStep, func(s promql.Series) {
		var began, last int64
		for _, p := range s.Floats {
			if last == 0 || p.T-last > foreseeStep.Milliseconds() {
				began = p.T
			}
			// Counted at the moment it has lasted long enough.
			if before := last - began; (last < began || before < atLeast.Milliseconds()) && p.T-began >= atLeast.Milliseconds() {
				count++
			}
			last = p.T
		}
	})
	return count, err
}

// Times writes a count of occasions.
func Times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}
