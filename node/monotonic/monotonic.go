// Package monotonic gives moments that can be kept in an atomic integer and still do not
// jump: time.Time carries a reading of the monotonic clock, UnixNano drops it. What is kept
// in Unix nanoseconds lives an hour too long when the host's clock is set back by one.
package monotonic

import "time"

var start = time.Now()

// Of returns when t, which time.Now has returned, was, in nanoseconds since the process
// began.
func Of(t time.Time) int64 { return int64(t.Sub(start)) }

// Now returns the nanoseconds since the process began.
func Now() int64 { return int64(time.Since(start)) }
