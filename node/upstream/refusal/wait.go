package refusal

import (
	"encoding/json"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// waits are the headers that say when to come back, the most trusted first. All but the
// first also stand in answers that refuse nothing.
var waits = []string{"Retry-After", "RateLimit-Reset", "X-RateLimit-Reset", "X-Rate-Limit-Reset"}

// inWords is the same in a message: "retry in 10s", "try again in 2 minutes".
var inWords = regexp.MustCompile(`(?:retry|try again|back ?off|wait)[a-z ]{0,20}?:? ?(\d{1,9}(?:\.\d{1,9})?) ?(ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|h)\b`)

var units = map[string]time.Duration{"ms": time.Millisecond, "mi": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour}

// Wait returns how long a provider that refuses for a quota asks to be left alone; 0 where
// it does not say. It may be as long as the provider likes.
func Wait(h http.Header, s Said, now time.Time) time.Duration {
	for _, name := range waits {
		if d := Header(h.Get(name), now); d > 0 {
			return d
		}
	}
	if d := inData(s.Data); d > 0 {
		return d
	}
	return inText(strings.ToLower(s.Message[:min(len(s.Message), most)]))
}

// epoch is when on a number of seconds can only be a moment, and not a time from now.
const epoch = 1e9

// Header reads a header that says when to come back: seconds from now, an HTTP date (RFC
// 9110, 10.2.3), or, as some write it, a moment in seconds or milliseconds since 1970. It
// is 0 for what it cannot read, and for what is over.
func Header(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	n, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil || math.IsNaN(n):
		return 0
	case n >= 1000*epoch:
		n = n/1000 - float64(now.UnixMilli())/1000
	case n >= epoch:
		n -= float64(now.UnixMilli()) / 1000
	}
	return seconds(n)
}

func seconds(n float64) time.Duration {
	if !(n > 0) {
		return 0
	}
	return time.Duration(min(n, 1e9) * float64(time.Second))
}

func inText(message string) time.Duration {
	m := inWords.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0
	}
	unit, ok := units[m[2][:min(2, len(m[2]))]]
	switch {
	case strings.HasPrefix(m[2], "min"):
		unit = time.Minute
	case !ok:
		unit = units[m[2][:1]]
	}
	return seconds(n * unit.Seconds())
}

// inData reads the data of an error: Infura's rate.backoff_seconds, and what others call it.
func inData(data []byte) time.Duration {
	if len(data) == 0 || len(data) > 4<<10 || data[0] != '{' {
		return 0
	}
	var d struct {
		Rate struct {
			Backoff float64 `json:"backoff_seconds"`
		} `json:"rate"`
		Backoff    float64 `json:"backoff_seconds"`
		RetryAfter any     `json:"retry_after"`
		TryAgain   string  `json:"try_again_in"`
	}
	if json.Unmarshal(data, &d) != nil {
		return 0
	}
	if n := max(d.Rate.Backoff, d.Backoff); n > 0 {
		return seconds(n)
	}
	if n, ok := d.RetryAfter.(float64); ok && n > 0 {
		return seconds(n)
	}
	if t, err := time.ParseDuration(d.TryAgain); err == nil && t > 0 {
		return seconds(t.Seconds())
	}
	return 0
}
