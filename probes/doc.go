// Package probes looks at the node: it samples the metrics registry into an
// embedded Prometheus TSDB, answers PromQL over it, and declares the panels that
// screens draw.
//
// Observation is a query: what a screen shows, what an alert compares and what
// the past was are the same expressions over the same samples, at different
// moments. The registry is gathered once a second, and at once after a change
// or a transition.
package probes
