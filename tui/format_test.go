package tui

import (
	"math"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/bizra/bizra-top/node/control"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		unit control.Unit
		v    float64
		want string
	}{
		{control.UnitCount, 0, "0"}, {control.UnitCount, 12, "12"}, {control.UnitCount, 1.25, "1.2"}, {control.UnitCount, 999, "999"},
		{control.UnitCount, 999.6, "1.0k"}, {control.UnitCount, 1234, "1.2k"}, {control.UnitCount, 99960, "100k"}, {control.UnitCount, 1.5e6, "1.5M"}, {control.UnitCount, -3, "-3"},
		{control.UnitPerSecond, 0, "0/s"}, {control.UnitPerSecond, 0.01, "<0.1/s"}, {control.UnitPerSecond, 3.24, "3.2/s"}, {control.UnitPerSecond, 1240, "1.2k/s"}, {control.UnitPerSecond, 640, "640/s"},
		{control.UnitSeconds, 0, "0ms"}, {control.UnitSeconds, 40e-9, "40ns"}, {control.UnitSeconds, 340e-6, "340µs"}, {control.UnitSeconds, 0.0124, "12.4ms"}, {control.UnitSeconds, 0.00124, "1.24ms"},
		{control.UnitSeconds, 0.9996, "1.00s"}, {control.UnitSeconds, 1.24, "1.24s"}, {control.UnitSeconds, 130, "2m10s"},
		{control.UnitBytes, 512, "512B"}, {control.UnitBytes, 1536, "1.5KiB"}, {control.UnitBytes, 64 << 20, "64MiB"}, {control.UnitBytes, 42123456, "40.2MiB"},
		{control.UnitRatio, 0, "0%"}, {control.UnitRatio, 0.0001, "<0.1%"}, {control.UnitRatio, 0.931, "93.1%"}, {control.UnitRatio, 0.99999, "99.9%"}, {control.UnitRatio, 1, "100%"},
		{control.UnitBlocks, 21345678, "21345678"},
		{control.UnitSeconds, math.NaN(), "–"}, {control.UnitCount, math.Inf(1), "–"}, {control.UnitRatio, math.NaN(), "–"},
	} {
		if got := number(c.unit, c.v); got != c.want {
			t.Errorf("number(%s, %v) = %q; want %q", c.unit, c.v, got, c.want)
		}
	}
}

// Whatever its size, a number stays within its column.
func TestNumbersKeepTheirColumns(t *testing.T) {
	for _, u := range []control.Unit{control.UnitCount, control.UnitPerSecond, control.UnitSeconds, control.UnitBytes, control.UnitRatio} {
		top := 1e14
		if u == control.UnitSeconds {
			top = 1e9
		}
		if u == control.UnitRatio {
			top = 1e4
		}
		for v := 1e-9; v < top; v *= 1.07 {
			if s := number(u, v); width(s) > 8 {
				t.Errorf("number(%s, %v) = %q is wider than 8 columns", u, v, s)
			}
		}
	}
}

func TestAges(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 3 * time.Second: "3s", 130 * time.Second: "2m10s", 3*time.Hour + 12*time.Minute: "3h12m", 98 * time.Hour: "4d02h"} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q; want %q", d, got, want)
		}
	}
}

// The short way to count columns agrees with the long one.
func TestNarrowRunes(t *testing.T) {
	for r := rune(' '); r < 0x3000; r++ {
		s := "a" + string(r) + "b"
		if n, ok := narrow(s); ok && n != ansi.StringWidth(s) {
			t.Errorf("%U counts as %d columns; it takes %d", r, n-2, ansi.StringWidth(s)-2)
		}
	}
	for _, s := range []string{"abc", "━━─│", "p50 340µs → 1.2", "a世界b"} {
		for from := range 5 {
			for to := from; to < 6; to++ {
				if got, want := slice(s, from, to), ansi.Cut(s, from, to); got != want {
					t.Errorf("slice(%q, %d, %d) = %q; want %q", s, from, to, got, want)
				}
			}
		}
	}
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		kind, text string
		lo, hi, st float64
		by         int
		want       string
	}{
		{"int", "14", 1, 64, 1, 1, "15"}, {"int", "64", 1, 64, 1, 1, "64"}, {"int", "1", 1, 64, 0, -1, "1"}, {"int", "100", 1, 1000, 0, 1, "105"},
		{"ratio", "0.5", 0, 1, 0.05, 1, "0.55"}, {"ratio", "0.1", 0, 1, 0.05, 1, "0.15"},
		{"duration", "1m", 0.1, 600, 1, 1, "1m1s"}, {"duration", "250ms", 0.01, 10, 0.05, -1, "200ms"},
		{"bytes", "64MiB", 1 << 20, 1 << 34, 1 << 20, 1, "65MiB"},
		{"bool", "true", 0, 1, 0, 1, "false"},
	} {
		s := control.Setting{Kind: c.kind, Value: c.text, Numeric: true, Min: c.lo, Max: c.hi, Step: c.st}
		if got, ok := stepped(s, c.text, c.by); !ok || got != c.want {
			t.Errorf("%s %s by %d = %q, %v; want %q", c.kind, c.text, c.by, got, ok, c.want)
		}
	}
	enum := control.Setting{Kind: "enum", Choices: []string{"a", "b", "c"}}
	if got, _ := stepped(enum, "a", -1); got != "c" {
		t.Errorf("before the first choice comes %q; want the last", got)
	}
	if _, ok := stepped(control.Setting{Kind: "string"}, "x", 1); ok {
		t.Error("text has no steps")
	}
}

func TestSparks(t *testing.T) {
	nan := math.NaN()
	for want, v := range map[string][]float64{
		"▁▂▄▇": {0, 0.5, 4, 10}, " ▁▇": {nan, 0, 3}, "▁▁": {0, 0}, "  ": {nan, nan}, "▃▃▃": {5, 5, 5},
	} {
		if got := spark(v, 0); got != want {
			t.Errorf("spark(%v) = %q; want %q", v, got, want)
		}
	}
	if got := spark([]float64{0.05, 7}, 0.1); got != "▄▇" {
		t.Errorf("with a fixed top: %q", got)
	}
}

func TestColumnsOfTime(t *testing.T) {
	h, at := newHistory(), func(s int64) time.Time { return time.UnixMilli(s * 1000) }
	for i, v := range []float64{1, 5, 2, 7} {
		x := control.Number(v)
		h.add(at(100+int64(i)), map[string][]control.Value{"p": {{Value: &x}}})
	}
	got := h.columns("p", "", at(103), 2*time.Second, 3)
	if !math.IsNaN(got[0]) || got[1] != 5 || got[2] != 7 {
		t.Errorf("got %v; want NaN, 5, 7", got)
	}
	h.seed(map[string][]control.Series{"p": {{Points: []control.Point{{T: 98000, V: 9}, {T: 101000, V: 99}}}}})
	if got := h.columns("p", "", at(103), 2*time.Second, 3); got[0] != 9 || got[1] != 5 {
		t.Errorf("after the seed got %v; what the screen saw itself must win", got)
	}
	if got := h.columns("p", "", at(130), 2*time.Second, 1); !math.IsNaN(got[0]) {
		t.Errorf("a value of 27 s ago stands for now: %v", got)
	}
	for i := range int64(5 * maxPoints) {
		h.ring("q", "").add(control.Point{T: i})
	}
	if n := len(h.ring("q", "").points); n > 2*maxPoints {
		t.Errorf("a series keeps %d points", n)
	}
}

func TestLayoutCoversTheScreen(t *testing.T) {
	for w := 1; w <= 300; w += 7 {
		for h := 1; h <= 100; h += 3 {
			p := layoutScreen(w, h, 5, (w+h)%5)
			if p.header.h != 1 || p.body.h < 0 || p.footer.y+p.footer.h > h {
				t.Fatalf("%dx%d: %+v", w, h, p)
			}
			if (w+h)%5 > 0 && h >= 3 && p.trials.h < 1 {
				t.Fatalf("%dx%d: a trial is not in sight: %+v", w, h, p)
			}
			o := layoutOverview(p.body, 6)
			all := []rect{o.vitals, o.circuits, o.events, o.detail, o.charts, o.sparks}
			for i, a := range all {
				if a.w < 0 || a.h < 0 || a.h > 0 && (a.x+a.w > w || a.y+a.h > h) {
					t.Fatalf("%dx%d: %+v is outside", w, h, a)
				}
				for _, b := range all[i+1:] {
					if a.w > 0 && b.w > 0 && a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
						t.Fatalf("%dx%d: %+v and %+v overlap", w, h, a, b)
					}
				}
			}
		}
	}
}

func TestMiddleCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{
		{"short", 5, "short"}, {"eth_getBlockByNumber[0x3e9,true]", 16, "eth_getB…9,true]"},
		{"漢字漢字漢字", 7, "漢…漢字"}, {"abcdef", 3, "a…f"}, {"abcdef", 2, "abcdef"}, {"", 4, ""},
	} {
		if got := middleCut(c.in, c.w); got != c.want {
			t.Errorf("%q in %d: %q", c.in, c.w, got)
		}
	}
}
