// Package probes looks at the node: it samples the metrics registry into an
// embedded Prometheus TSDB, answers PromQL over it, declares the panels that screens
// draw, and derives the panels and tables of a screen from metrics alone at any moment
// ([LookAt]), over the node's own history or over a Prometheus server.
//
// Observation is a query: what a screen shows, what an alert compares and what
// the past was are the same expressions over the same samples, at different
// moments. The registry is gathered once a second, and at once after a change
// or a transition.
package probes
