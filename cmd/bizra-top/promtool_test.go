//go:build integration

package main

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/prometheus/common/expfmt"
)

// Prometheus's own linter has nothing to say about any name, type or help text.
func TestPromtoolHasNothingToSayAboutTheMetrics(t *testing.T) {
	var text bytes.Buffer
	for _, f := range everyMetric(t) {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	promtool := exec.Command("promtool", "check", "metrics")
	promtool.Stdin = &text
	if out, err := promtool.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
