//go:build integration

package alerts_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/bizra/bizra-top/alerts"
)

// promtool runs it in the folder of the shipped rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: run the tests with .ci/services, or apt-get install prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = "rules"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestShippedRulesPassPromtool checks the shipped rules as a Prometheus server
// reads them and runs their unit tests on promtool's synthetic clock.
func TestShippedRulesPassPromtool(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(alerts.Shipped())) {
		t.Run(name, func(t *testing.T) {
			promtool(t, "check", "rules", name)
			promtool(t, "test", "rules", strings.TrimSuffix(name, ".yaml")+"_test.yaml")
		})
	}
}
