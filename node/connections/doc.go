// Package connections bounds what clients can hold of a listener: connections in all
// and by address, and the time that an answer waits for its reader.
//
// At the bound a new connection takes the place of one that does nothing: first of one
// that has never sent a byte, then of one between two requests, each time one of the
// address that has most. So a flood of silent connections drives out itself. Where every
// connection is at work, the new one is answered 503 and closed.
//
// Writing has no fixed time but a least rate: what a slow reader takes counts, and one
// that takes nothing is cut after a few seconds.
package connections
