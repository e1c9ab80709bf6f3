package tui

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/bizra/bizra-top/node/control"
)

// noData stands for a value that is not known.
const noData = "–"

// number formats v by its unit in at most eight columns.
func number(u control.Unit, v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return noData
	}
	switch u {
	case control.UnitPerSecond:
		return perSecond(v)
	case control.UnitSeconds:
		return seconds(v)
	case control.UnitBytes:
		return bytesOf(v)
	case control.UnitRatio, unitShare:
		return percent(v)
	case control.UnitBlocks:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return count(v)
	}
}

// three formats a positive number below 1000 with three digits.
func three(v float64) string {
	switch {
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

var decimals = []struct {
	size   float64
	suffix string
}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}

// count formats a number of things: 12, 1.2k, 340k, 1.5M.
func count(v float64) string {
	if v < 0 {
		return "-" + count(-v)
	}
	for _, d := range decimals {
		// 999.6 rounds to 1000, so it belongs to the next size.
		if v >= d.size*0.9995 {
			if v < d.size*99.95 {
				return strconv.FormatFloat(v/d.size, 'f', 1, 64) + d.suffix
			}
			return strconv.FormatFloat(v/d.size, 'f', 0, 64) + d.suffix
		}
	}
	if v != math.Trunc(v) && v < 99.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func perSecond(v float64) string {
	if v > 0 && v < 0.05 {
		return "<0.1/s"
	}
	if v < 99.95 && v > 0 {
		return strconv.FormatFloat(v, 'f', 1, 64) + "/s"
	}
	return count(math.Round(v)) + "/s"
}

// seconds formats a latency: 340µs, 12.4ms, 1.24s, 2m10s.
func seconds(v float64) string {
	switch {
	case v < 0:
		return "-" + seconds(-v)
	case v == 0:
		return "0ms"
	case v < 999.5e-9:
		return strconv.FormatFloat(v*1e9, 'f', 0, 64) + "ns"
	case v < 999.5e-6:
		return strconv.FormatFloat(v*1e6, 'f', 0, 64) + "µs"
	case v < 0.9995:
		return three(v*1e3) + "ms"
	case v < 59.95:
		return three(v) + "s"
	default:
		return age(time.Duration(v * float64(time.Second)))
	}
}

// bytesOf formats a size: 512B, 12.3KiB, 64MiB.
func bytesOf(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for v >= 1023.5 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if v == math.Trunc(v) || v >= 99.95 || i == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64) + units[i]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + units[i]
}

// percent formats a ratio. It says 100% and 0% only when that is exact.
func percent(v float64) string {
	switch {
	case v > 0 && v < 0.0005:
		return "<0.1%"
	case v > 0.9995 && v < 1:
		return "99.9%"
	case v == 0 || v == 1 || v >= 9.995:
		return strconv.FormatFloat(v*100, 'f', 0, 64) + "%"
	default:
		return strconv.FormatFloat(v*100, 'f', 1, 64) + "%"
	}
}

// age formats a span of time in two parts at most: 3s, 2m10s, 3h12m, 4d2h.
func age(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	d = d.Truncate(time.Second)
	s := int(d.Seconds())
	switch {
	case s < 60:
		return strconv.Itoa(s) + "s"
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	case s < 1000*86400:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	default:
		return coarse(d)
	}
}

// coarse formats a span of time in one part: 3s, 2m, 3h, 4d. It changes seldom,
// so it is used where the exact age does not matter.
func coarse(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(max(0, int(d.Seconds()))) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 24*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

// since formats how long ago t was; the zero time is no data.
func since(now, t time.Time) string {
	if t.IsZero() {
		return noData
	}
	return coarse(now.Sub(t))
}

func whole[T ~int | ~int64 | ~uint64](v T) string { return count(float64(v)) }
