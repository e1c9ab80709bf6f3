// Package control is the operator's door to a running node: HTTP with JSON over
// a unix socket and, where it is wanted, over mutual TLS; and the client of it.
//
// Everything an operator can see or change goes through here, from the screen,
// from the command line and from curl alike:
//
//	GET  /v1/node                 who answers
//	GET  /v1/look?since=N         one tick of the screen
//	GET  /v1/look?at=MS           the same as it was, as far as metrics tell
//	GET  /v1/panels               the panel catalogue
//	GET  /v1/panels/history?span=15m&step=5s&end=MS
//	GET  /v1/settings             every tunable; with ?at=MS the numbers as they were
//	GET  /v1/settings/{key}
//	GET  /v1/settings/{key}/explain  what each source says of it
//	GET  /v1/changes              what was changed and holds, newest first
//	POST /v1/changes              propose or set one or more tunables
//	POST /v1/changes/{id}/keep    end a trial; "last" is the newest one
//	POST /v1/changes/{id}/revert
//	POST /v1/undo                 take back the last change
//	POST /v1/redo                 do it again
//	POST /v1/save                 write kept changes to the overrides file
//	GET  /v1/audit?limit=100      who did what, newest first
//	GET  /v1/actions              what can be done by hand
//	POST /v1/actions              do it
//	GET  /v1/transitions?breaker=NAME  what a breaker did lately, oldest first
//	GET  /v1/outcomes?breaker=NAME     what is in a breaker's window, oldest first
//	GET  /v1/hotkeys?limit=20     what most of the cache's hits are for, the hottest first
//	GET  /v1/events?since=N       the event list
//	GET  /v1/events/until?at=MS   what happened until then, with what the audit trail
//	                              and the alert history know of it
//	GET  /v1/alerts               rules and their state
//	GET  /v1/alerts/{name}/history?span=15m&step=5s&end=MS
//	GET  /v1/silences             what is silenced
//	POST /v1/silences             silence what matches, for a while
//	DELETE /v1/silences/{id}      end a silence
//	POST /v1/acknowledgements     look after an alert
//	DELETE /v1/acknowledgements/{fingerprint}
//	GET  /v1/drill                what is practised on the node, and what can be
//	POST /v1/drill/load           put a load on it
//	DELETE /v1/drill/load         end it
//	POST /v1/drill/faults         have a part of a demo fail
//	DELETE /v1/drill/faults       lift all faults
//	DELETE /v1/drill/faults/{id}
//	GET  /api/v1/…                the Prometheus HTTP API: query, query_range, series,
//	                              labels, label/{name}/values, metadata, rules, alerts,
//	                              format_query, status/buildinfo
//	POST /api/v1/…                the same with a form: query, query_range, series,
//	                              labels, format_query
//	GET  /-/healthy, /-/ready
//	GET  /metrics                 Prometheus text
//
// GET never changes anything, nor does anything below /api. The types below are
// what goes over the wire.
package control

import (
	"time"

	"github.com/bizra/bizra-top/node/control/events"
)

// Node says which node answers.
type Node struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Mode     string    `json:"mode"` // "demo" or "node"
	Listen   string    `json:"listen"`
	StateDir string    `json:"state_dir"`
	Socket   string    `json:"socket"`
	ChainID  uint64    `json:"chain_id"`
	Started  time.Time `json:"started"`
	Draining bool      `json:"draining"`
	Ledger   string    `json:"ledger"` // "sqlite" or "postgresql"
	L2       string    `json:"l2"`     // "off", "redis" or "embedded"
	Head     Head      `json:"head"`   // of the chain
}

// Head is the trusted head of the chain.
type Head struct {
	Number uint64 `json:"number"` // 0 until it is known
	// Trust is on whose word it is known: "quorum", "single" (one provider's), or "none"
	// while it is not known or nobody has stood behind it lately. Nodes of older versions
	// do not tell.
	Trust  string `json:"trust,omitempty"`
	Votes  int    `json:"votes"`  // providers that named it
	Voters int    `json:"voters"` // providers that could have
	Final  uint64 `json:"final"`  // newest block that is final; 0 where none is known
}

// The words for on whose word a head is known.
const (
	TrustQuorum = "quorum"
	TrustSingle = "single"
	TrustNone   = "none"
)

// Panel declares something drawn: a title, a PromQL expression, a unit and a
// shape.
type Panel struct {
	ID     string `json:"id"` // "pool_in_use"
	Title  string `json:"title"`
	Expr   string `json:"expr"`
	Unit   Unit   `json:"unit"`
	Shape  Shape  `json:"shape"`
	Part   string `json:"part"`             // api, pool, cache, breaker, upstream, validation, ledger, alerts, runtime
	Legend string `json:"legend,omitempty"` // the label that tells the series apart; empty for a single series
	Doc    string `json:"doc"`              // one sentence
}

// Unit says how a panel's numbers are formatted.
type Unit string

// The units of panels.
const (
	UnitCount     Unit = "count"
	UnitPerSecond Unit = "per_second"
	UnitSeconds   Unit = "seconds"
	UnitBytes     Unit = "bytes"
	UnitRatio     Unit = "ratio" // 0 to 1, shown in percent
	UnitBlocks    Unit = "blocks"
	UnitState     Unit = "state"
)

// Shape says how a panel is drawn.
type Shape string

// The shapes of panels.
const (
	ShapeNumber Shape = "number"
	ShapeGauge  Shape = "gauge" // a bar from 0 to 1
	ShapeSpark  Shape = "spark"
	ShapeChart  Shape = "chart"
	ShapeTable  Shape = "table" // a row for each series; none of the node's own panels is one
)

// Value is the current point of one series of a panel.
type Value struct {
	Label string  `json:"label,omitempty"` // the value of the panel's legend label
	Value *Number `json:"value"`           // null when there is no data
}

// Point is one sample of a series: Unix milliseconds and the value.
type Point struct {
	T int64  `json:"t"`
	V Number `json:"v"`
}

// Series is one line of a panel over time.
type Series struct {
	Label  string  `json:"label,omitempty"`
	Points []Point `json:"points"`
}

// Comparison is what the condition of an alert compares, over time. Labels are those
// that tell series apart, as name=value.
type Comparison struct {
	Values     []Series `json:"values"`
	Thresholds []Series `json:"thresholds"` // none where nothing is compared
}

// Look is one tick of the screen: all that changes, in one answer.
type Look struct {
	Time      time.Time          `json:"time"`
	Node      Node               `json:"node"`
	Revision  uint64             `json:"revision"` // of the settings; fetch them again when it moves
	Panels    map[string][]Value `json:"panels"`   // by panel id
	Breakers  []Breaker          `json:"breakers"`
	Upstreams []Upstream         `json:"upstreams"`
	Pool      Pool               `json:"pool"`
	Tiers     []Tier             `json:"tiers"`
	Warming   Warming            `json:"warming"`
	Alerts    []Alert            `json:"alerts"` // every rule, firing first
	Events    []Event            `json:"events"` // newer than since, oldest first
	LastEvent uint64             `json:"last_event"`
	Undoable  string             `json:"undoable,omitempty"` // what undo would take back
	Redoable  string             `json:"redoable,omitempty"` // what redo would do again
	Trials    []Trial            `json:"trials,omitempty"`   // changes that go back unless they are kept
	Unsaved   int                `json:"unsaved"`            // settings that a restart would lose
	Role      string             `json:"role"`               // of who asks: viewer, operator, admin
}

// Breaker is one circuit breaker as an operator sees it.
type Breaker struct {
	Name         string    `json:"name"`  // "upstream/alpha", "database", "redis"
	Class        string    `json:"class"` // upstream, database, redis
	State        string    `json:"state"` // closed, open, half-open, forced-open, forced-closed, metrics-only
	Reason       string    `json:"reason"`
	Since        time.Time `json:"since"`
	Calls        uint64    `json:"calls"` // in the window
	Failures     uint64    `json:"failures"`
	Slow         uint64    `json:"slow"`
	FailureRatio Number    `json:"failure_ratio"`
	SlowRatio    Number    `json:"slow_ratio"`
	Threshold    Number    `json:"threshold"` // failure ratio that opens it
	NextProbe    time.Time `json:"next_probe"`
	LastError    string    `json:"last_error"`
	Opened       uint64    `json:"opened"` // times opened since the start
}

// Transition is a breaker's step from one state to another.
type Transition struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Labelled is a series of a PromQL expression with its labels.
type Labelled struct {
	Labels map[string]string
	Points []Point
}

// Outcomes are a breaker's window in at most [MaxCells] parts, the oldest first. Each
// is as long as Span, or as many calls as Each, whichever is not 0.
type Outcomes struct {
	Span  time.Duration `json:"span,omitempty"` // in nanoseconds
	Each  uint64        `json:"each,omitempty"`
	Cells []Cell        `json:"cells"`
}

// Cell counts the outcomes of a part of a window. A call that was slow and failed is in
// both.
type Cell struct {
	Calls    uint64 `json:"calls"`
	Failures uint64 `json:"failures,omitempty"`
	Slow     uint64 `json:"slow,omitempty"`
}

// MaxCells bounds the cells of [Outcomes].
const MaxCells = 60

// Upstream is one JSON-RPC provider.
type Upstream struct {
	Name       string `json:"name"`
	Host       string `json:"host"` // never the whole URL: it may hold a key
	Breaker    string `json:"breaker"`
	State      string `json:"state"` // of its breaker, or "wrong chain"
	Healthy    bool   `json:"healthy"`
	Head       uint64 `json:"head"`
	Lag        uint64 `json:"lag"` // blocks behind the trusted head
	P50        Number `json:"p50"` // seconds
	P95        Number `json:"p95"`
	P99        Number `json:"p99"`
	InFlight   int64  `json:"in_flight"`
	Calls      uint64 `json:"calls"`
	Failures   uint64 `json:"failures"`
	Lies       uint64 `json:"lies"`
	LastError  string `json:"last_error"`
	Preference int    `json:"preference"` // 1 is asked first
	// Lacks is what it was found not to have or not to allow, in a few words each; or that
	// it keeps all states, where that is configured.
	Lacks []string `json:"lacks,omitempty"`
}

// Pool is the database gate.
type Pool struct {
	Backend   string `json:"backend"` // sqlite or postgresql
	Limit     int    `json:"limit"`
	InUse     int    `json:"in_use"`
	Waiting   int    `json:"waiting"`
	Idle      int    `json:"idle"`
	Ceiling   int    `json:"ceiling"`
	Outbox    int64  `json:"outbox"` // verdicts not yet in PostgreSQL
	Reachable bool   `json:"reachable"`
	LastError string `json:"last_error"`
}

// Tier is one cache tier and class.
type Tier struct {
	Tier      string `json:"tier"`  // l1 or l2
	Class     string `json:"class"` // transaction, block, address, rpc, not_found
	Hits      uint64 `json:"hits"`
	Misses    uint64 `json:"misses"`
	Entries   uint64 `json:"entries"` // l1 only
	Bytes     uint64 `json:"bytes"`
	Evictions uint64 `json:"evictions"`
	TTL       string `json:"ttl"`
}

// HotKey is a key of the cache that is read much.
type HotKey struct {
	Key   string `json:"key"` // clean, and cut when it is long
	Class string `json:"class"`
	Share Number `json:"share"` // of the hits of L1 in the last minutes, at least
	Bytes uint64 `json:"bytes"` // in L1; 0 when it is not there now
}

// MaxHotKeys bounds how many hot keys are told.
const MaxHotKeys = 100

// Warming is how far the newest round of warming the cache is. Total is 0 before the
// first.
type Warming struct {
	Running bool      `json:"running"`
	Done    int64     `json:"done"` // loads that have ended, the failed ones included
	Failed  int64     `json:"failed"`
	Total   int64     `json:"total"`
	Since   time.Time `json:"since"` // when it began, or ended
}

// Alert is one alerting rule, or one of its instances when it is not inactive.
type Alert struct {
	Name       string            `json:"name"`
	Part       string            `json:"part"`
	State      string            `json:"state"` // inactive, pending, firing, resolved (a moment ago)
	Severity   string            `json:"severity"`
	Summary    string            `json:"summary"`
	WhatToDo   string            `json:"what_to_do"`
	Labels     map[string]string `json:"labels,omitempty"`
	Expr       string            `json:"expr"`
	For        string            `json:"for"`
	Value      *Number           `json:"value,omitempty"`
	Since      time.Time         `json:"since"`
	Thresholds []string          `json:"thresholds,omitempty"` // keys of the settings it compares with

	// Of an instance that is pending or firing.
	Fingerprint  string        `json:"fingerprint,omitempty"` // names it among all
	Silenced     *SilencedBy   `json:"silenced,omitempty"`
	Acknowledged *Acknowledged `json:"acknowledged,omitempty"`
}

// Event is something that happened: a change, a transition, an alert, an error.
type Event = events.Event

// Events is the node's list of what happened.
type Events = events.List

// NewEvents returns an empty list; see [events.New].
func NewEvents(hook func(Event)) *Events { return events.New(hook) }

// Happened is what happened up to a moment, from memory and, before what memory has,
// from what is on disk.
type Happened struct {
	Events  []Event  `json:"events"` // oldest first
	Sources []Source `json:"sources"`
}

// Source says where some of the events were read.
type Source struct {
	Name    string    `json:"name"`              // memory, audit trail, alert history
	What    string    `json:"what"`              // of it: everything, changes, alerts
	Since   time.Time `json:"since"`             // how far back it goes; zero for nothing
	Problem string    `json:"problem,omitempty"` // why it could not be read
}
