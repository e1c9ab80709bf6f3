package tui

import (
	"math"
	"strings"
)

// sparkRunes leave out the full block, so that sparklines of rows above each
// other do not run together.
var sparkRunes = []rune("▁▂▃▄▅▆▇")

// scale returns the bottom and the top of a sparkline without a fixed top: from
// zero, unless all values are so close together that only their shape is news.
func scale(values []float64) (low, top float64) {
	low = math.Inf(1)
	for _, v := range values {
		if !math.IsNaN(v) {
			low, top = min(low, v), max(top, v)
		}
	}
	if low < top/2 || top <= 0 {
		return 0, top
	}
	swing := max(top-low, top/4)
	return max(0, low-swing/3), low + swing*4/3
}

// spark draws values in one row, from zero to top; top 0 chooses the scale by
// the values. NaN is a gap.
func spark(values []float64, top float64) string {
	low := 0.0
	if top <= 0 {
		low, top = scale(values)
	}
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case v <= 0 || top <= 0:
			b.WriteRune(sparkRunes[0])
		default:
			// Something is always seen to be more than nothing.
			i := int(math.Ceil(min((v-low)/(top-low), 1) * float64(len(sparkRunes)-1)))
			b.WriteRune(sparkRunes[max(i, 0)])
		}
	}
	return b.String()
}

// bar draws ratio as part of w columns. mark, when it is between 0 and 1, is
// drawn as a stroke: the threshold that the ratio is held against.
func bar(w int, ratio, mark float64, i ink) line {
	if w <= 0 {
		return nil
	}
	if math.IsNaN(ratio) {
		ratio = 0
	}
	full := int(math.Round(max(0, min(ratio, 1)) * float64(w)))
	if ratio > 0 && full == 0 {
		full = 1
	}
	at := -1
	if mark > 0 && mark <= 1 {
		at = min(int(mark*float64(w)), w-1)
	}
	piece := func(from, to int, s string, i ink) line {
		if from >= to {
			return nil
		}
		if at < from || at >= to {
			return txt(i, repeat(s, to-from))
		}
		return line{{repeat(s, at-from), i}, {"│", inkText}, {repeat(s, to-at-1), i}}
	}
	return cat(piece(0, full, "━", i), piece(full, w, "─", inkTrack))
}
