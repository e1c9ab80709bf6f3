// Package settings holds every tunable of the node, each declared once.
//
// The package that uses a tunable declares it with one of the constructors
// (Int, Ratio, Duration, …) and keeps the typed [Value] it gets back; the hot
// path reads that value atomically, so every tunable can change while the node
// runs. The configuration file, the BIZRA_* environment, the command line, the
// control socket, the keys of the screen and the reference page all derive from
// the declaration.
//
// The package is a leaf: it imports nothing else of the node.
package settings

import (
	"sync/atomic"
)

// Kind says how a setting's text is read and written.
type Kind string

// The kinds of settings, and their text forms.
const (
	KindBool     Kind = "bool"     // true, false
	KindInt      Kind = "int"      // 14
	KindRatio    Kind = "ratio"    // 0.5, between 0 and 1
	KindFloat    Kind = "float"    // 2.5
	KindDuration Kind = "duration" // 1m30s, 250ms, 90d
	KindBytes    Kind = "bytes"    // 64MiB
	KindString   Kind = "string"   // one line of text
	KindEnum     Kind = "enum"     // one of Choices
	KindList     Kind = "list"     // a list of strings; one line of text separates them with commas
)

// Risk says what a wrong value can do, and so how loudly a screen asks.
type Risk string

// The levels of risk.
const (
	RiskLow    Risk = "low"    // changes what is shown or reported
	RiskMedium Risk = "medium" // changes speed or cost
	RiskHigh   Risk = "high"   // can refuse or slow requests
)

// Spec is what is declared of a setting, whatever its type.
type Spec struct {
	Key     string   // dotted, in the field's words: "pool.limit"
	Kind    Kind     // set by the constructor
	Unit    string   // what an int or a float counts: "connections"; empty for kinds that carry their unit
	Min     float64  // least value of a numeric kind; seconds for a duration, bytes for bytes
	Max     float64  // greatest value of a numeric kind, in the same unit
	Step    float64  // what one keypress adds, in the same unit; 0 means a twentieth of the value
	Choices []string // values of an enum
	Doc     string   // one line, a full sentence
	Risk    Risk     // RiskLow when empty
	Restart bool     // read at start only; a change while running is refused
	Secret  bool     // the value is never shown, only whether it is set

	// Check is an optional further rule for text kinds; its error is shown
	// behind the key.
	Check func(value string) error
}

// Value is the typed handle of a declared setting. Get may be called from any
// number of goroutines; it costs one atomic load.
type Value[T any] struct {
	p atomic.Pointer[T]
}

// Get returns the value in force.
func (v *Value[T]) Get() T { return *v.p.Load() }

// Source says where the value in force came from. Later sources win.
type Source string

// The sources in the order in which they win, weakest first.
const (
	SourceDefault     Source = "default"
	SourceFile        Source = "file"
	SourceOverrides   Source = "overrides" // saved from changes that were kept
	SourceEnvironment Source = "environment"
	SourceFlag        Source = "flag"
	SourceLive        Source = "live" // changed while the node runs
)

// Setting is a read-only snapshot of one setting.
type Setting struct {
	Spec
	Default string  // text form
	Text    string  // text form of the value in force; "(set)" or "(not set)" for a secret
	Number  float64 // the value in force of a numeric kind; 1 or 0 for a bool
	Numeric bool    // Number means something
	Source  Source
	Started string // text form when the node started; differs from Text after a live change
}

// Change asks for a new value, in text form.
type Change struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Applied tells what a change did or, when nothing was applied, would do.
type Applied struct {
	Key  string `json:"key"`
	Old  string `json:"old"` // as it may be shown
	New  string `json:"new"`
	Risk Risk   `json:"risk"`

	before *string // the live value, nil for none; it may be secret
}

// Layer is what one source says of a setting.
type Layer struct {
	Source Source `json:"source"`
	Text   string `json:"value"` // as it may be shown
	Wins   bool   `json:"wins"`
}
