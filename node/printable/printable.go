// Package printable makes strings from outside safe to show.
//
// Provider answers, Redis errors, peer names and client input may carry escape
// codes, bidirectional overrides, newlines or megabytes. Each is cleaned once,
// where it enters the node; everything behind that point may print it to a
// terminal, a log line or a label.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean returns at most max runes of s with every rune that is not a printable
// letter, mark, number, punctuation, symbol or space replaced. Runs of such
// runes become one '·'; invalid UTF-8 counts as such a rune. White space of any
// kind becomes one space. A cut string ends in '…'.
func Clean(s string, max int) string {
	if max <= 0 {
		return ""
	}
	// Work is bounded by what can be shown, not by what was sent.
	if limit := max * 8; len(s) > limit {
		s = s[:limit]
	}
	var b strings.Builder
	b.Grow(min(len(s), max*utf8.UTFMax))
	n, last := 0, rune(0)
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			r = '·'
		}
		if (r == ' ' || r == '·') && r == last {
			continue
		}
		if n == max-1 {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
		last = r
		n++
	}
	return strings.TrimSpace(b.String())
}
