package printable_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/bizra/bizra-top/node/printable"
)

func TestClean(t *testing.T) {
	for _, c := range []struct {
		name, in string
		max      int
		want     string
	}{
		{"plain", "execution reverted", 40, "execution reverted"},
		{"escape", "a\x1b[31mred\x1b[0m", 40, "a·[31mred·[0m"},
		{"newlines", "one\r\n\ttwo", 40, "one two"},
		{"bidi override", "abc\u202edcb", 40, "abc·dcb"},
		{"C1 control", "x\u009b31m", 40, "x·31m"},
		{"bad utf8", "ok\xff\xfe", 40, "ok·"},
		{"cut", "abcdefgh", 4, "abc…"},
		{"none", "abc", 0, ""},
		{"wide", "区块链", 40, "区块链"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := printable.Clean(c.in, c.max); got != c.want {
				t.Errorf("Clean(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\x07", 20)
	f.Add(strings.Repeat("\u202e", 50), 3)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max > 1<<12 {
			max = 1 << 12
		}
		got := printable.Clean(s, max)
		if n := utf8.RuneCountInString(got); n > max && max > 0 {
			t.Fatalf("%d runes, cap %d", n, max)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("unprintable %U in %q", r, got)
			}
		}
	})
}
