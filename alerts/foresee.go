package alerts

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/rules"

	"github.com/bizra/bizra-top/node/settings"
	"github.com/bizra/bizra-top/probes"
)

// Foresee says how often rules would have fired in the last hour if a threshold
// had been another value.
func (e *Evaluator) Foresee(ctx context.Context, threshold settings.Setting, value string) []string {
	number, err := settings.ParseNumber(threshold.Kind, value)
	if err != nil {
		return nil
	}
	var out []string
	compared := fmt.Sprintf("bizra_setting{key=%q}", threshold.Key)
	for _, r := range e.manager.AlertingRules() {
		expr := r.Query().String()
		if !strings.Contains(expr, compared) {
			continue
		}
		times, err := e.history.Episodes(ctx, strings.ReplaceAll(expr, compared, "vector("+strconv.FormatFloat(number, 'g', -1, 64)+")"), r.HoldDuration())
		if err == nil && times > 0 { // a warning that cannot be had stops no change
			out = append(out, fmt.Sprintf("history says that with %s %s would have fired %s in the last hour", value, r.Name(), probes.Times(times)))
		}
	}
	return out
}

// Firing says whether a rule has a name, and whether one of its alerts fires.
func (e *Evaluator) Firing(name string) (firing, known bool) {
	for _, r := range e.manager.AlertingRules() {
		if r.Name() == name {
			known = true
			firing = firing || slices.ContainsFunc(r.ActiveAlerts(), func(a *rules.Alert) bool { return a.State == rules.StateFiring })
		}
	}
	return firing, known
}
