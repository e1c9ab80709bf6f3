package probes

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/bizra/bizra-top/node/control"
)

// What a ratio would have done in the last hour is counted in occasions, each series
// for itself, and only where there were calls enough to judge by.
func TestForesee(t *testing.T) {
	h, _, _ := open(t, t.TempDir())
	end := time.Now().Truncate(time.Second)
	write := h.raw().db.Appender(t.Context())
	put := func(metric labels.Labels, at time.Time, v float64) {
		t.Helper()
		if _, err := write.Append(0, metric, at.UnixMilli(), v); err != nil {
			t.Fatal(err)
		}
	}
	of := func(metric, name string) labels.Labels {
		return labels.FromStrings("__name__", metric, "class", "upstream", "name", name)
	}
	for back := 120; back >= 0; back-- {
		at := end.Add(-time.Duration(back) * time.Second)
		put(labels.FromStrings("__name__", "bizra_setting", "key", "breaker.upstream.minimum_calls"), at, 10)
		one, few := 0.1, 0.9
		if back > 90 && back < 110 || back > 30 && back < 60 { // twice, for 20 and for 30 seconds
			one = 0.6
		}
		put(of("bizra_circuit_breaker_failure_ratio", "one"), at, one)
		put(of("bizra_circuit_breaker_window_calls", "one"), at, 50)
		put(of("bizra_circuit_breaker_failure_ratio", "few"), at, few)
		put(of("bizra_circuit_breaker_window_calls", "few"), at, 3)
	}
	if err := write.Commit(); err != nil {
		t.Fatal(err)
	}
	h.anchor(end.UnixMilli(), time.Now())
	for _, c := range []struct{ key, value, want string }{
		{"breaker.upstream.failure_ratio", "0.5", "history says that 0.5 would have tripped a breaker 2 times in the last hour"},
		{"breaker.upstream.failure_ratio", "0.05", "history says that 0.05 would have tripped a breaker once in the last hour"},
		{"breaker.upstream.failure_ratio", "0.7", ""},
		{"breaker.upstream.failure_ratio", "half", ""},
		{"breaker.upstream.slow_ratio", "0.5", ""}, // nothing was measured
		{"breaker.database.failure_ratio", "0.5", ""},
		{"pool.limit", "0.5", ""},
	} {
		got := h.Foresee(t.Context(), control.Changed{Key: c.key, New: c.value})
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || got[0] != c.want) {
			t.Errorf("%s to %s: %q, want %q", c.key, c.value, got, c.want)
		}
	}
	over := `bizra_circuit_breaker_failure_ratio{name="one"} > 0.5`
	for atLeast, want := range map[time.Duration]int{0: 2, 10 * time.Second: 2, 18 * time.Second: 1, time.Minute: 0} {
		if got, err := h.Episodes(t.Context(), over, atLeast); err != nil || got != want {
			t.Errorf("%d episodes of at least %s, want %d (%v)", got, atLeast, want, err)
		}
	}
	if _, err := h.Episodes(t.Context(), "sum(", 0); err == nil {
		t.Error("a broken expression has episodes")
	}
}
