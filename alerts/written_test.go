package alerts_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Between two evaluations of a rule that are far apart, the history has what it wrote.
func TestAnAlertIsInTheHistoryBetweenEvaluations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slow.yaml")
	slow := "groups:\n- name: slow\n  interval: 6s\n  rules:\n  - {alert: Always, expr: vector(1)}\n  - {record: 'a:b:c', expr: vector(1)}\n"
	if err := os.WriteFile(path, []byte(slow), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := build(t, path)
	if err != nil {
		t.Fatal(err)
	}
	exprs := []string{`ALERTS{alertname="Always"}`, `{__name__=~"ALERTS|ALERTS_FOR_STATE",alertname="Always"} > 1`, "a:b:c"}
	known := func(expr string) bool {
		v, err := r.history.Instant(t.Context(), expr, r.sampler.Latest())
		return err == nil && len(v) == 1
	}
	// A rule writes no alerts before it has looked for those of the process before.
	for began := time.Now(); slices.ContainsFunc(exprs, func(e string) bool { return !known(e) }); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("they are never written")
		}
	}
	for range 13 {
		time.Sleep(500 * time.Millisecond)
		for _, expr := range exprs {
			if !known(expr) {
				t.Fatalf("%s is gone", expr)
			}
		}
	}
}
