// Package api is the node's public HTTP surface: verdicts under /v1, the JSON-RPC
// gateway at /, metrics and health. It is read-only: nothing on a TCP port
// changes the node.
//
// Everything a client sends is bounded: header, body, nesting, batch, time and
// the number of requests under way. A failure is an HTTP status a load balancer
// understands, with one short text that says what happened.
package api
