package tui

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// span is text of one ink. It holds no escape codes and no control characters.
type span struct {
	text string
	ink  ink
}

// line is a row of spans, of any width until it is fitted.
type line []span

func txt(i ink, s string) line { return line{{s, i}} }

// cat joins lines into one.
func cat(parts ...line) line {
	var out line
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// width returns the columns that s takes.
func width(s string) int {
	if n, ok := narrow(s); ok {
		return n
	}
	return ansi.StringWidth(s)
}

// narrow counts the runes of s if each is one that takes one column by itself:
// Latin letters and what the screen draws with, which is nearly all there is.
// The whole of Unicode takes a hundred times as long.
func narrow(s string) (n int, ok bool) {
	for _, r := range s {
		switch {
		case r >= ' ' && r < 0x7f, r >= 0xa1 && r < 0x180 && r != 0xad,
			r >= 0x2500 && r < 0x25f0, r == '–', r == '…', r == '←', r == '→', r == '↑', r == '↓':
			n++
		default:
			return 0, false
		}
	}
	return n, true
}

// slice returns the columns of s from start to end.
func slice(s string, start, end int) string {
	if _, ok := narrow(s); !ok {
		return ansi.Cut(s, start, end)
	}
	n, from := 0, len(s)
	for i := range s {
		if n == start {
			from = i
		}
		if n == end {
			return s[from:i]
		}
		n++
	}
	return s[from:]
}

func (l line) width() int {
	n := 0
	for _, s := range l {
		n += width(s.text)
	}
	return n
}

func (l line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return b.String()
}

func spaces(n int) string { return strings.Repeat(" ", max(n, 0)) }

func repeat(s string, n int) string { return strings.Repeat(s, max(n, 0)) }

// cut returns the columns from start to end of l.
func (l line) cut(start, end int) line {
	var out line
	at := 0
	for _, s := range l {
		w := width(s.text)
		from, to := max(start-at, 0), min(end-at, w)
		at += w
		switch {
		case from >= to:
		case from == 0 && to == w:
			out = append(out, s)
		default:
			out = append(out, span{slice(s.text, from, to), s.ink})
		}
	}
	return out
}

// middleCut returns s in at most w columns, without its middle: of keys and addresses the
// beginning says what they are, and the end tells one from another.
func middleCut(s string, w int) string {
	n := width(s)
	if n <= w || w < 3 {
		return s
	}
	head := w / 2
	return slice(s, 0, head) + "…" + slice(s, n-(w-head-1), n)
}

// fit returns l in exactly w columns: cut with an ellipsis, or padded.
func (l line) fit(w int) line {
	if w <= 0 {
		return nil
	}
	n := l.width()
	if n > w {
		last := inkText
		if len(l) > 0 {
			last = l[len(l)-1].ink
		}
		l = append(l.cut(0, w-1), span{"…", last})
		n = l.width()
	}
	if n < w {
		pad := inkText
		if len(l) > 0 {
			pad |= l[len(l)-1].ink & chosen
		}
		l = append(l[:len(l):len(l)], span{spaces(w - n), pad})
	}
	return l
}

// right returns l in w columns, aligned to the right; too wide is cut like fit.
func (l line) right(w int) line {
	if n := l.width(); n < w {
		return append(line{{spaces(w - n), inkText}}, l...)
	}
	return l.fit(w)
}

// choose returns l as part of the selected row.
func (l line) choose() line {
	out := make(line, len(l))
	for i, s := range l {
		out[i] = span{s.text, s.ink | chosen}
	}
	return out
}

// wrap breaks text into lines of at most w columns, at most limit of them.
func wrap(i ink, text string, w, limit int) []line {
	if w <= 0 || text == "" {
		return nil
	}
	var out []line
	for part := range strings.SplitSeq(ansi.Wrap(text, w, ""), "\n") {
		if len(out) == limit {
			out[limit-1] = append(out[limit-1].cut(0, w-1), span{"…", i})
			break
		}
		out = append(out, txt(i, part))
	}
	return out
}

// ends puts a left and a right line into w columns; the right one gives way.
func ends(left, right line, w int) line {
	if left.width()+1+right.width() > w {
		return left.fit(w)
	}
	return cat(left, txt(inkText, spaces(w-left.width()-right.width())), right)
}
