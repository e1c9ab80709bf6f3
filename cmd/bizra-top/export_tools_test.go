//go:build integration

package main

import (
	"os/exec"
	"testing"
)

// The tools of Prometheus and Alertmanager take what export prints.
func TestExportsPassTheToolsOfTheirServers(t *testing.T) {
	for _, c := range []struct {
		tool, pkg string
		args      []string
	}{
		{"promtool", "prometheus", []string{"check", "config", "prometheus.yaml"}}, // and its rule file
		{"amtool", "prometheus-alertmanager", []string{"check-config", "alertmanager.yaml"}},
	} {
		path, err := exec.LookPath(c.tool)
		if err != nil {
			t.Errorf("%s is missing: run the tests with .ci/services, or apt-get install %s", c.tool, c.pkg)
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, c.args...)
		cmd.Dir = "testdata/export"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s %v: %v\n%s", c.tool, c.args, err, out)
		}
	}
}
