// Package promapi answers the Prometheus HTTP API over a node's history, so that
// Grafana, promtool and every other client of Prometheus reads a node as it reads a
// Prometheus server.
//
// Served are /api/v1/query, query_range, series, labels (these four with GET and
// with POST of a form), label/{name}/values, metadata, rules, alerts, format_query
// and status/buildinfo, and /-/healthy and /-/ready. Nothing of it changes the node.
//
// Prometheus's own implementation (web/api/v1) is not used: it brings the scraper,
// remote write and the OpenTelemetry collector, 111 packages and 35 lines of
// go.mod. The engine, the storage, the parser and the encoding of values are
// Prometheus's; what is here is the reading of requests, their bounds and the
// envelope.
//
// Every request is bounded: its form, the time of its query, how many run and wait
// at once, the samples a query may touch, and what an answer may hold.
package promapi
