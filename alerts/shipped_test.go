package alerts_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"

	"github.com/bizra/bizra-top/alerts"
)

// unitTests is as much of promtool's format as says what is tested.
type unitTests struct {
	Tests []struct {
		PromqlExprTest []struct {
			Expr       string `yaml:"expr"`
			ExpSamples []any  `yaml:"exp_samples"`
		} `yaml:"promql_expr_test"`
	}
}

var alertName = regexp.MustCompile(`ALERTS\{alertname="(\w+)"`)

// Every shipped alert has a unit test in which it fires and one in which it does
// not; TestShippedRulesPassPromtool runs them.
func TestEveryShippedAlertHasUnitTests(t *testing.T) {
	count := 0
	for name, data := range alerts.Shipped() {
		var tests unitTests
		file, err := os.ReadFile("rules/" + strings.TrimSuffix(name, ".yaml") + "_test.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(file, &tests); err != nil {
			t.Fatal(err)
		}
		fires, quiet := map[string]bool{}, map[string]bool{}
		for _, test := range tests.Tests {
			for _, q := range test.PromqlExprTest {
				m := alertName.FindStringSubmatch(q.Expr)
				if m == nil {
					t.Fatalf("%s: %s is about no alert", name, q.Expr)
				}
				if len(q.ExpSamples) > 0 {
					fires[m[1]] = true
				} else {
					quiet[m[1]] = true
				}
			}
		}
		var groups rulefmt.RuleGroups
		if err := yaml.Unmarshal(data, &groups); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups.Groups {
			for _, r := range g.Rules {
				if r.Alert == "" {
					continue
				}
				count++
				if !fires[r.Alert] || !quiet[r.Alert] {
					t.Errorf("%s: %s lacks a unit test: fires %v, quiet %v", name, r.Alert, fires[r.Alert], quiet[r.Alert])
				}
			}
		}
	}
	if count < 30 {
		t.Errorf("only %d alerts", count)
	}
}
