// Package printabletest has what tests feed to whatever shows strings from outside.
package printabletest

import "strings"

// Payloads are what a hostile string could do to a terminal: colours, titles, the
// clipboard, device control, cursor and screen, 8-bit forms, links, line breaks,
// controls, and letters that turn the direction of a text or take no room.
var Payloads = []string{
	"\x1b[31mred", "\x1b]0;title\x07", "\x1b]52;c;ZWNobw==\x07", "\x9b31m", "\x1bP1$r\x1b\\", "a\nb\rc\td", "\x00\x07\x08\x7f", "\u202eevil",
	"\x1b[2J\x1b[H", "\u0085\u009b", "\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", "\x1b[?1049l\x1b[?25h", "\x1b_Gf=100\x1b\\", "\u2066\u2067hidden\u2069", "\x1bc\x1b[6n",
}

// Unsafe returns the first rune of a text that a terminal would act on, or that turns
// its direction; 0 when there is none. A line break is one.
func Unsafe(text string) rune {
	if i := strings.IndexFunc(text, unsafe); i >= 0 {
		return []rune(text[i:])[0]
	}
	return 0
}

func unsafe(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
