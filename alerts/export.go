package alerts

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// RuleFile returns the shipped rules as one Prometheus rule file.
func RuleFile() []byte {
	const heading = "groups:\n"
	out := bytes.NewBufferString("# The alert rules of bizra-top, from bizra-top export rules.\n" + heading)
	files := Shipped()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		comment, groups, found := strings.Cut(string(files[name]), heading)
		if !found {
			panic(name + " has no groups") // it is part of the binary
		}
		out.WriteString("\n" + comment + groups)
	}
	return out.Bytes()
}

// PrometheusConfig returns the configuration of a Prometheus server that scrapes
// the nodes at the addresses and evaluates the rules in a file. Rates of the rules
// look back 15 s at least, which takes three scrapes.
func PrometheusConfig(nodes []string, ruleFile, alertmanager string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `# A Prometheus server for bizra-top, from bizra-top export prometheus.
global:
  scrape_interval: 5s
  evaluation_interval: 5s
rule_files:
  - %s
scrape_configs:
  - job_name: bizra-top
    static_configs:
      - targets: [%s]
`, strconv.Quote(ruleFile), quoted(nodes))
	if alertmanager != "" {
		fmt.Fprintf(&out, "alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [%s]\n", strconv.Quote(alertmanager))
	}
	return out.Bytes()
}

// quoted lists texts for a YAML sequence; a Go string of printable runes is one of
// YAML's.
func quoted(texts []string) string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = strconv.Quote(t)
	}
	return strings.Join(out, ", ")
}

// AlertmanagerConfig returns the configuration of an Alertmanager for the shipped
// rules: one message for each alert and not for each provider, what is critical at
// once and more often, and nothing about parts where a cause above them is known.
// webhook is the URL that is told; without one the receiver tells nobody yet.
func AlertmanagerConfig(webhook string) []byte {
	out := bytes.NewBufferString(`# An Alertmanager for the alerts of bizra-top, from bizra-top export alertmanager.
route:
  receiver: operator
  group_by: [alertname, part]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 4h
  routes:
    - matchers: [severity="critical"]
      group_wait: 0s
      repeat_interval: 30m
    - matchers: [severity="info"]
      group_wait: 5m
      repeat_interval: 24h
inhibit_rules:
  # With no provider left, each of them fails.
  - source_matchers: [alertname="NoProvider"]
    target_matchers: [alertname=~"Provider(Failures|Lag|Slow)|FewProviders|HeadStalled|BreakerOpen"]
    equal: [instance]
  # A budget that burns fast also burns slowly.
  - source_matchers: [alertname="ApiAvailabilityBurnsFast"]
    target_matchers: [alertname="ApiAvailabilityBurnsSlow"]
  - source_matchers: [alertname="ApiLatencyBurnsFast"]
    target_matchers: [alertname="ApiLatencyBurnsSlow"]
receivers:
  - name: operator
`)
	if webhook != "" {
		fmt.Fprintf(out, "    webhook_configs:\n      - url: %s\n", strconv.Quote(webhook))
	}
	return out.Bytes()
}
