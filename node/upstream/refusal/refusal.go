// Package refusal reads what JSON-RPC providers say instead of a result.
//
// There is no standard for it: clients and hosted providers use the same code for
// different things, and different codes and words for the same thing. What is known of
// them is one table, in table.go, whose rows are tried in order. A new wording is a new
// row there, and a new row of its test.
package refusal

import (
	"slices"
	"strings"
)

// Class says what a refusal is about, and with that what to do about it.
type Class uint8

const (
	// Unknown is what no row of the table knows. One other provider is worth asking.
	Unknown Class = iota
	// Verdict is the chain's: every provider would say the same.
	Verdict
	// Known is the verdict that a transaction has been sent before.
	Known
	// Limit is about the size of the question. Another provider may allow more.
	Limit
	// Method says that the provider does not serve the method.
	Method
	// State says that the provider does not keep the state that was asked for.
	State
	// Block says that the provider does not have the block that was asked for.
	Block
	// Quota says that the provider was asked too often, or for more than is paid for.
	Quota
	// Auth says that the provider does not know its key, or that the key does not open
	// this chain.
	Auth
	// Internal says that the provider failed while it worked on the question.
	Internal
	// Unavailable says that the provider cannot work at all now.
	Unavailable
	classes
)

var names = [classes]string{"unknown", "verdict", "known", "limit", "method", "state", "block", "quota", "auth", "internal", "unavailable"}

// String returns the class as metrics name it.
func (c Class) String() string { return names[c] }

// Classes returns all classes.
func Classes() []Class {
	all := make([]Class, classes)
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// Final says that the refusal is an answer: no other provider is asked.
func (c Class) Final() bool { return c == Verdict || c == Known }

// Ill says that something is wrong with the provider, which its breaker must know.
func (c Class) Ill() bool { return c == Auth || c == Internal || c == Unavailable }

// Capability is what a refusal teaches about a provider beyond the one call.
type Capability uint8

const (
	// Nothing: the next call may go better.
	Nothing Capability = iota
	// TheMethod: it does not serve the method.
	TheMethod
	// TheState: it does not keep states as old as this one.
	TheState
	// TheSpan: it does not read logs of as many blocks.
	TheSpan
)

// Said is a refusal as it came.
type Said struct {
	Method  string // that was asked for
	Status  int    // of HTTP
	Code    int    // of JSON-RPC; 0 where there is none
	Message string
	Data    []byte // the error's data, or else the body
}

// Reading is what the table makes of a refusal.
type Reading struct {
	Class   Class
	Teaches Capability
}

// row is one row of the table. A condition that is not given holds always.
type row struct {
	class   Class
	teaches Capability
	codes   []int
	status  []int
	method  string   // the method begins with it
	text    []string // one of these patterns is in the message
}

// most bounds how much of a message is read.
const most = 2 << 10

// Read finds the first row that holds.
func Read(s Said) Reading {
	message := strings.ToLower(s.Message[:min(len(s.Message), most)])
	for i := range table {
		if r := &table[i]; r.holds(&s, message) {
			return Reading{r.class, r.teaches}
		}
	}
	return Reading{}
}

func (r *row) holds(s *Said, message string) bool {
	return (r.codes == nil || slices.Contains(r.codes, s.Code)) &&
		(r.status == nil || slices.Contains(r.status, s.Status)) &&
		strings.HasPrefix(s.Method, r.method) &&
		(r.text == nil || slices.ContainsFunc(r.text, func(pattern string) bool { return contains(message, pattern) }))
}

// contains says whether a pattern is in a message. The parts of a pattern between stars
// follow each other in it; a pattern that begins with ^ begins the message.
func contains(message, pattern string) bool {
	pattern, anchored := strings.CutPrefix(pattern, "^")
	for part := range strings.SplitSeq(pattern, "*") {
		i := strings.Index(message, part)
		if i < 0 || anchored && i > 0 {
			return false
		}
		anchored = false
		message = message[i+len(part):]
	}
	return true
}
